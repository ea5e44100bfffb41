"""The deployer as a process, with a real bus, the real monitor and stand-in instances."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from services.core.errors import Unavailable
from services.core.ids import InstanceId
from services.core.records import InstancePhase, PlacementPhase
from services.kit.setup import create_all
from tests.instances import harness_processes
from tests.makers import MODEL_ID
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.deployer.parts import ROOT, Platform, alive, ready


def leaders(platform: Platform) -> list[int]:
    """The processes that lead an instance: the stand-in starts no others unless its script does."""
    return [pid for pid in harness_processes(platform.bench.instances_dir) if os.getsid(pid) == pid]


def has_started(platform: Platform, count: int) -> bool:
    return len(leaders(platform)) >= count


def stop_all(platform: Platform) -> str:
    folders = {"INSTANCES_DIR": str(platform.bench.instances_dir), "SOCKETS_DIR": str(platform.bench.sockets_dir)}
    command = [sys.executable, "-m", "services.deployer", "--stop-all"]
    return subprocess.run(command, cwd=ROOT, env=folders, capture_output=True, text=True, timeout=30, check=True).stdout


async def test_what_is_desired_runs_and_becomes_ready(platform: Platform) -> None:
    wanted = await platform.bench.desired("print('loaded')", instances=2)
    await platform.want(wanted)

    placement = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")

    assert len(ready(placement)) == 2
    assert len(leaders(platform)) == 2
    said = await platform.deployment_log(wanted, "running")
    assert sum(line.endswith("started") for line in said) == 2
    assert said[-1] == "running"


async def test_a_deployer_killed_while_it_starts_instances_leaves_one_set_of_them(platform: Platform) -> None:
    wanted = await platform.bench.desired("import time; time.sleep(0.3)", instances=4)
    await platform.want(wanted)
    for already in (1, 3, 4):
        await wait_until(partial(has_started, platform, already), what="some have started")
        platform.deployer.kill()
        platform.deployer.start()

    placement = await platform.until(wanted, lambda p: len(ready(p)) == 4, what="all are ready")

    assert len(leaders(platform)) == 4
    assert placement.exits == 0


async def test_instances_outlive_their_deployer_and_are_adopted(platform: Platform) -> None:
    wanted = await platform.bench.desired(instances=2)
    await platform.want(wanted)
    before = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    processes = leaders(platform)

    platform.deployer.kill()
    platform.deployer.start()
    after = await platform.until(wanted, lambda p: p.revision > before.revision, what="the next deployer reports")

    assert leaders(platform) == processes
    assert ready(after) == ready(before)
    assert (after.phase, after.exits) == (PlacementPhase.RUNNING, 0)


async def test_a_lost_instance_is_replaced_and_the_version_stays_running(platform: Platform) -> None:
    wanted = await platform.bench.desired(instances=2)
    await platform.want(wanted)
    before = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")

    os.kill(leaders(platform)[0], signal.SIGKILL)
    after = await platform.until(wanted, lambda p: p.exits == 1 and len(ready(p)) == 2, what="it is replaced")

    assert after.phase is PlacementPhase.RUNNING
    assert after.last_exit == "was killed by SIGKILL"
    assert len(set(ready(before)) & set(ready(after))) == 1


async def test_what_ends_five_times_before_it_is_ready_has_failed_and_says_why(platform: Platform) -> None:
    wanted = await platform.bench.desired("raise ValueError('no weights')")
    await platform.want(wanted)

    await platform.until(wanted, lambda p: p.phase is PlacementPhase.FAILED, what="it is given up")
    placement = await platform.until(wanted, lambda p: p.instances == (), what="nothing of it is left")

    assert (placement.exits, placement.reason) == (5, "predict.py cannot be imported: no weights")
    assert harness_processes(platform.bench.instances_dir) == []


async def test_what_can_never_run_has_failed_with_one_sentence(platform: Platform) -> None:
    wanted = replace(await platform.bench.desired(), artifact="a" * 64)
    await platform.want(wanted)
    placement = await platform.until(wanted, lambda p: p.phase is PlacementPhase.FAILED, what="it is rejected")
    assert placement.reason == "the version's artifact is not in the blob store any more"


async def test_what_waits_for_its_environment_says_so_and_runs_once_it_is_made_again(platform: Platform) -> None:
    wanted = await platform.bench.desired()
    python = platform.bench.environments_dir / ("e" * 64) / "bin" / "python"
    python.rename(aside := python.with_name("aside"))
    await platform.want(wanted)
    reason = "the environment of this version is not on this machine; it is made anew if that can be"
    placement = await platform.until(wanted, lambda p: p.reason == reason, what="it says what it waits for")
    assert placement.phase is PlacementPhase.STARTING
    aside.rename(python)
    await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")


async def test_what_is_not_ready_in_time_is_stalled_and_says_why(platform: Platform) -> None:
    wanted = await platform.bench.desired("health = 503", start_deadline_s=1.0)
    await platform.want(wanted)
    reason = "not ready after 1 s: worker 0 answered its health check with status 503"
    placement = await platform.until(wanted, lambda p: p.reason == reason, what="it says what is amiss")
    assert placement.phase is PlacementPhase.STALLED
    assert len(alive(placement)) == 1

    (platform.bench.folders.home(placement.instances[0].instance_id) / "health").write_text("200")
    await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it came round")


async def test_an_instance_beyond_recovery_is_replaced(platform: Platform) -> None:
    wanted = await platform.bench.desired()
    await platform.want(wanted)
    before = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")

    (platform.bench.folders.home(ready(before)[0]) / "health").write_text("503")
    after = await platform.until(
        wanted, lambda p: p.exits == 1 and len(ready(p)) == 1 and ready(p) != ready(before), what="it is replaced"
    )

    assert after.last_exit == "worker 0 answered its health check with status 503"


async def test_an_instance_that_takes_too_much_memory_is_ended_and_replaced(platform: Platform) -> None:
    script = (
        "import os, pathlib\n"
        "count = pathlib.Path(os.environ['COUNT'])\n"
        "if not count.exists(): count.touch(); x = b'x' * (200 << 20)\n"
    )
    count = platform.bench.instances_dir.parent / "count"
    wanted = await platform.bench.desired(
        script, memory_bytes=100 << 20, environment_variables=platform.bench.sealed(COUNT=str(count))
    )
    await platform.want(wanted)
    placement = await platform.until(wanted, lambda p: p.exits == 1 and len(ready(p)) == 1, what="it is replaced")
    assert placement.last_exit == "used more than its 100 MiB of memory"


async def test_a_stopped_version_drains_only_after_every_router_says_so(platform: Platform) -> None:
    wanted = await platform.bench.desired()
    await platform.report(routes={MODEL_ID: 6})
    await platform.want(wanted)
    running = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    (instance_id,) = ready(running)

    await platform.want_stopped(wanted, routed_out_at=7)
    stopping = await platform.until(wanted, lambda p: p.phase is PlacementPhase.STOPPING, what="it begins to stop")
    assert [each.phase for each in stopping.instances] == [InstancePhase.RUNNING]

    await platform.report(routes={MODEL_ID: 7})
    draining = await platform.until(
        wanted, lambda p: [each.phase for each in p.instances] == [InstancePhase.DRAINING], what="it drains"
    )
    assert len(leaders(platform)) == 1

    effective = {wanted.version_id: draining.revision}
    await platform.report(routes={MODEL_ID: 7}, placements=effective, in_flight={instance_id: 1})
    await platform.report(routes={MODEL_ID: 7}, placements=effective)
    await platform.until(wanted, lambda p: p.phase is PlacementPhase.STOPPED, what="it is stopped")
    assert leaders(platform) == []
    await platform.deployment_log(wanted, "waiting for router-1 to route around what is being stopped")


async def test_a_removed_version_is_drained_stopped_and_leaves_a_tombstone(platform: Platform) -> None:
    wanted = await platform.bench.desired()
    await platform.want(wanted)
    await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    await platform.remove(wanted)
    await wait_until_async(lambda: platform.is_forgotten(wanted), 20, what="its placement is a tombstone")
    assert leaders(platform) == []


async def test_a_new_generation_takes_over_before_the_old_one_goes(platform: Platform) -> None:
    wanted = await platform.bench.desired()
    await platform.want(wanted)
    old = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")

    again = replace(wanted, revision=2, generation=2)
    await platform.want(again)
    await platform.until(
        wanted, lambda p: len(alive(p)) == len(ready(p)) == 1 and ready(p) != ready(old), what="the new one is alone"
    )

    said = await platform.deployment_log(wanted, f"instance {ready(old)[0]} drains")
    assert said.index(f"instance {ready(old)[0]} drains") > said.index("running", said.index("running") + 1)


async def test_scaling_adds_and_drains_single_instances(platform: Platform) -> None:
    wanted = await platform.bench.desired()
    await platform.want(wanted)
    await platform.until(wanted, lambda p: len(ready(p)) == 1, what="one runs")
    await platform.want(replace(wanted, revision=2, instances=3))
    three = await platform.until(wanted, lambda p: len(ready(p)) == 3, what="three run")
    await platform.want(replace(wanted, revision=3, instances=2))
    two = await platform.until(wanted, lambda p: len(p.instances) == 2, what="two run")
    assert ready(two) == ready(three)[:2]
    assert (two.phase, two.exits) == (PlacementPhase.RUNNING, 0)


async def test_stop_all_ends_every_instance_and_the_next_deployer_starts_them_again(platform: Platform) -> None:
    wanted = await platform.bench.desired(instances=2)
    await platform.want(wanted)
    before = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    platform.deployer.stop()

    assert stop_all(platform) == "2 instances ended\n"
    assert harness_processes(platform.bench.instances_dir) == []

    platform.deployer.start()
    after = await platform.until(
        wanted, lambda p: len(ready(p)) == 2 and not set(ready(p)) & set(ready(before)), what="it runs again"
    )
    assert (after.phase, after.exits) == (PlacementPhase.RUNNING, 0)


async def test_what_an_instance_writes_arrives_whole_while_the_bus_and_the_deployer_are_killed(
    platform: Platform, nats_server: NatsServer
) -> None:
    script = (
        "import threading, time, sys\n"
        "def talk():\n"
        "    for n in range(300): print('line', n); time.sleep(0.01)\n"
        "threading.Thread(target=talk, daemon=True).start()\n"
        "print('oops', file=sys.stderr)\n"
    )
    wanted = await platform.bench.desired(script)
    await platform.want(wanted)
    placement = await platform.until(wanted, lambda p: len(ready(p)) == 1, what="it runs")
    (instance_id,) = ready(placement)
    platform.deployer.kill()
    platform.deployer.start()
    await asyncio.to_thread(nats_server.restart)

    async def is_all_there() -> bool:
        with suppress(Unavailable):
            lines = await platform.instance_log(wanted, instance_id)
            return [line.text for line in lines if line.stream == "stdout"][-1:] == ["line 299"]
        return False

    await wait_until_async(is_all_there, 30, what="the last line arrives")
    lines = await platform.instance_log(wanted, instance_id)
    assert [line.text for line in lines if line.stream == "stdout"] == [f"line {n}" for n in range(300)]
    assert [line.text for line in lines if line.stream == "stderr"] == ["oops"]
    after = await platform.until(wanted, lambda p: len(ready(p)) == 1, what="it runs as before")
    assert (ready(after), after.exits) == ([instance_id], 0)


async def test_a_bus_that_lost_its_memory_stops_nothing_and_learns_everything_again(
    platform: Platform, nats_server: NatsServer
) -> None:
    wanted = await platform.bench.desired(instances=2)
    await platform.want(wanted)
    before = await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    processes = leaders(platform)

    await asyncio.to_thread(nats_server.forget_everything)
    await wait_until_async(partial(is_made_again, platform), 20, what="api has made the buckets again")
    after = await platform.until(wanted, lambda p: len(ready(p)) == 2, what="the placement is back")
    await wait_until_async(partial(is_healthy, platform, ready(before)[0]), 20, what="its health is back")

    assert leaders(platform) == processes
    assert (ready(after), after.exits) == (ready(before), 0)


async def is_made_again(platform: Platform) -> bool:
    with suppress(Unavailable):
        await create_all(platform.bus)
        return True
    return False


async def is_healthy(platform: Platform, instance_id: InstanceId) -> bool:
    health = await platform.health(instance_id)
    return health is not None and health.is_ready
