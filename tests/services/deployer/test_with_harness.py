"""The deployer and the monitor with the real harness in the place of the stand-in."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from contextlib import suppress

import aiohttp
import pytest

from services.core.records import HealthCheck, Instance, InstancePhase, PlacementPhase
from tests.instances import ENVIRONMENT, harness_processes
from tests.parts import wait_until
from tests.services.deployer.parts import Platform, ready

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("modelway_harness") is None, reason="modelway_harness is not installed"
)


@pytest.fixture(autouse=True)
def _real_environment(platform: Platform) -> None:
    python = platform.bench.environments_dir / ENVIRONMENT / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')


async def call(address: str, server: str, body: object) -> tuple[int, object]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(address)) as session,
        session.post("http://model/model", json=body, headers={"X-Modelway-Server": server}) as response,
    ):
        return response.status, await response.json()


async def test_a_function_runs_answers_and_stops(platform: Platform) -> None:
    wanted = await platform.bench.desired(
        "print('loading')\ndef predict(x, y):\n    return x * y\n", workers=2, request_timeout_s=5.0
    )
    await platform.want(wanted)
    placement = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    (instance,) = placement.instances
    for worker, address in enumerate(instance.addresses):
        status, body = await call(address, f"{instance.instance_id}.{worker}", {"data": {"x": 6, "y": 7}})
        assert (status, isinstance(body, dict) and body["result"]) == (200, 42)

    await platform.want_stopped(wanted)
    await platform.until(wanted, lambda p: p.phase is PlacementPhase.STOPPED, what="it stops")
    assert harness_processes(platform.bench.instances_dir) == []
    lines = [line.text for line in await platform.instance_log(wanted, instance.instance_id)]
    assert lines.count("loading") == 2


async def test_workers_are_preloaded_and_recycled_where_the_model_says_so(platform: Platform) -> None:
    wanted = await platform.bench.desired(
        "import os\nprint('loading')\ndef predict():\n    return os.getpid()\n",
        workers=2,
        preload=True,
        recycle_after_calls=10,
    )
    await platform.want(wanted)
    placement = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    (instance,) = placement.instances
    answers: set[str] = set()
    while len(answers) < 3:
        status, body = await call(instance.addresses[0], f"{instance.instance_id}.0", {"data": {}})
        assert (status, isinstance(body, dict)) == (200, True)
        answers.add(str(body["result"]))  # type: ignore[index]  # seen above
    await platform.want_stopped(wanted)
    await platform.until(wanted, lambda p: p.phase is PlacementPhase.STOPPED, what="it stops")
    assert harness_processes(platform.bench.instances_dir) == []
    lines = [line.text for line in await platform.instance_log(wanted, instance.instance_id)]
    assert lines.count("loading") == 1


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("def other(): ...", "predict"),
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("def predict(:", "predict.py"),
    ],
)
async def test_what_cannot_be_loaded_fails_with_the_harnesss_reason(
    platform: Platform, script: str, words: str
) -> None:
    wanted = await platform.bench.desired(script)
    await platform.want(wanted)
    placement = await platform.until(
        wanted, lambda p: p.phase is PlacementPhase.FAILED, what="it is given up", deadline_s=40
    )
    assert words in placement.reason
    assert [each for each in placement.instances if each.phase is not InstancePhase.EXITED] == []
    assert ready(placement) == []


async def test_an_example_that_fails_is_why_the_version_failed(platform: Platform) -> None:
    wanted = await platform.bench.desired(
        "def predict(x):\n    return {}[x]\n", example_input='{"data": {"x": "setosa"}}', request_timeout_s=5.0
    )
    await platform.want(wanted)
    placement = await platform.until(
        wanted, lambda p: p.phase is PlacementPhase.FAILED, what="it is given up", deadline_s=40
    )
    assert placement.reason == "its example input failed: KeyError: 'setosa'"


WAYS_TO_DIE = """
import ctypes, os, socket
from contextlib import suppress
from pathlib import Path

def predict(way):
    if way == "hang":
        ctypes.PyDLL(None).sleep(600)  # and no other thread runs
    if way == "deafen":
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # not a socket
                held = socket.socket(fileno=os.dup(int(name)))
                if held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    held.shutdown(socket.SHUT_RDWR)
    here = Path(os.environ["TMPDIR"])
    (here / f"entered-{os.getpid()}").touch()
    while way == "work" and not (here / "go").exists():
        pass
    return way
"""


async def test_what_lives_and_cannot_answer_is_dead_and_what_is_busy_with_all_its_workers_is_not(
    platform: Platform,
) -> None:
    check = HealthCheck(period_s=0.2, timeout_s=1.0, failure_threshold=4)
    wanted = await platform.bench.desired(
        WAYS_TO_DIE, instances=4, workers=2, request_timeout_s=120.0, health_check=check
    )
    await platform.want(wanted)
    before = await platform.until(wanted, lambda p: len(ready(p)) == 4, what="it runs", deadline_s=40)
    busy, hung, deaf, stopped = before.instances
    here = platform.bench.folders.home(busy.instance_id) / "tmp"
    calls = [asyncio.create_task(way(busy, worker, "work")) for worker in (0, 1)]
    await wait_until(lambda: len([*here.glob("entered-*")]) == 2, what="both its workers are busy")

    calls += [asyncio.create_task(way(hung, 0, "hang")), asyncio.create_task(way(deaf, 1, "deafen"))]
    (leader,) = [
        pid for pid in harness_processes(platform.bench.instances_dir) if os.getsid(pid) == pid and is_of(pid, stopped)
    ]
    os.killpg(leader, signal.SIGSTOP)
    after = await platform.until(
        wanted, lambda p: p.exits == 3 and len(ready(p)) == 4, what="the three are replaced", deadline_s=60
    )
    assert set(ready(after)) & set(ready(before)) == {busy.instance_id}
    (here / "go").touch()
    assert [await call for call in calls[:2]] == [200, 200]
    cut_off, answered = await asyncio.gather(*calls[2:])
    assert cut_off in (0, 502), "its supervisor says so, where it comes to it"
    assert answered == 200
    await platform.deployment_log(
        wanted,
        f"instance {hung.instance_id} exited: worker 0 did not answer its health check within 1 s",
        f"instance {deaf.instance_id} exited: worker 1 takes no connections",
        f"instance {stopped.instance_id} exited: worker 0 did not answer its health check within 1 s",
    )


async def way(instance: Instance, worker: int, way: str) -> int:
    """The status of the answer; 0 when none came."""
    with suppress(aiohttp.ClientError):
        return (await call(instance.addresses[worker], f"{instance.instance_id}.{worker}", {"data": {"way": way}}))[0]
    return 0


def is_of(pid: int, instance: Instance) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return instance.instance_id.encode() in file.read()
