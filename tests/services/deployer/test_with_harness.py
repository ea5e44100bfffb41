"""The deployer and the monitor with the real harness in the place of the stand-in."""

from __future__ import annotations

import importlib.util
import sys

import aiohttp
import pytest

from services.core.records import InstancePhase, PlacementPhase
from tests.instances import ENVIRONMENT, harness_processes
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
