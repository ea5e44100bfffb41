"""What `core.ports.Runtime` promises, held against every adapter: so far local processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.core.errors import WorkloadRejected
from services.core.ids import InstanceId
from services.core.ports import Observed, Runtime
from services.deployer.runtimes.process.runtime import ProcessRuntime
from tests.instances import Bench, desired, harness_processes, workload
from tests.parts import wait_until_async


@pytest_asyncio.fixture
async def runtime(bench: Bench) -> AsyncIterator[ProcessRuntime]:
    runtime = bench.runtime()
    yield runtime
    await runtime.stop_all(grace_s=0)
    runtime.close()
    assert harness_processes(bench.instances_dir) == []


async def seen(runtime: Runtime, instance_id: InstanceId) -> Observed | None:
    return next((each for each in await runtime.observe() if each.instance_id == instance_id), None)


async def until_ended(runtime: Runtime, instance_id: InstanceId) -> Observed:
    async def has_ended() -> bool:
        each = await seen(runtime, instance_id)
        return each is not None and not each.is_alive

    await wait_until_async(has_ended, what="the instance ends")
    found = await seen(runtime, instance_id)
    assert found is not None
    return found


async def test_what_was_ensured_is_observed_at_once(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired())

    await runtime.ensure(work)

    found = await seen(runtime, work.instance_id)
    assert found is not None
    assert found.is_alive
    assert (found.version_id, found.generation) == (work.desired.version_id, 1)
    assert (found.memory_limit_bytes, found.request_timeout_s) == (work.desired.memory_bytes, 1.0)
    assert len(found.addresses) == 1


async def test_ensuring_twice_at_once_and_again_later_is_ensuring_once(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired())

    await asyncio.gather(runtime.ensure(work), runtime.ensure(work))
    first = await runtime.observe()
    await runtime.ensure(work)

    assert [each.started_at for each in await runtime.observe()] == [each.started_at for each in first]
    assert len(first) == 1


async def test_an_id_that_has_ended_is_not_started_again(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired("raise SystemExit(0)"))
    await runtime.ensure(work)
    await until_ended(runtime, work.instance_id)

    await runtime.ensure(work)

    assert not (await until_ended(runtime, work.instance_id)).is_alive


async def test_files_that_would_land_outside_of_the_project_are_rejected(runtime: Runtime, bench: Bench) -> None:
    artifact = await bench.artifact("", files={"../../outside.py": "stolen = True"})
    work = workload(desired(artifact))

    with pytest.raises(WorkloadRejected, match=r"'\.\./\.\./outside\.py' has a '\.\.' in it"):
        await runtime.ensure(work)

    assert list(bench.instances_dir.parent.rglob("outside.py")) == []


async def test_every_worker_has_an_address_of_its_own(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired(workers=3))
    await runtime.ensure(work)
    found = await seen(runtime, work.instance_id)
    assert found is not None
    assert len(set(found.addresses)) == 3


async def test_a_stopped_instance_stays_observed_until_it_is_forgotten(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired())
    await runtime.ensure(work)

    await runtime.stop(work.instance_id, grace_s=2)
    stopped = await seen(runtime, work.instance_id)
    await runtime.forget(work.instance_id)

    assert stopped is not None
    assert (stopped.is_alive, stopped.was_stopped) == (False, True)
    assert await runtime.observe() == []


async def test_an_instance_that_ends_by_itself_was_not_stopped_and_says_why(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired("raise ValueError('no weights')"))
    await runtime.ensure(work)
    ended = await until_ended(runtime, work.instance_id)
    assert not ended.was_stopped
    assert ended.exit_reason == "predict.py cannot be imported: no weights"


async def test_a_workload_that_can_never_run_is_rejected_and_leaves_nothing(runtime: Runtime, bench: Bench) -> None:
    wanted = await bench.desired(project_name="../../elsewhere")
    with pytest.raises(WorkloadRejected):
        await runtime.ensure(workload(wanted))
    assert await runtime.observe() == []


async def test_unknown_instances_are_no_error(runtime: Runtime) -> None:
    await runtime.stop(InstanceId("nobody"), grace_s=0)
    await runtime.forget(InstanceId("nobody"))
    assert await runtime.observe() == []


async def test_forgetting_one_that_runs_ends_it(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired())
    await runtime.ensure(work)
    await runtime.forget(work.instance_id)
    assert await runtime.observe() == []
    assert harness_processes(bench.instances_dir) == []


async def test_stopping_and_forgetting_may_be_repeated_and_come_at_once(runtime: Runtime, bench: Bench) -> None:
    work = workload(await bench.desired())
    await runtime.ensure(work)
    ends = [runtime.stop(work.instance_id, grace_s=1) for _ in range(2)]
    await asyncio.gather(*ends, runtime.forget(work.instance_id), runtime.forget(work.instance_id))
    assert await runtime.observe() == []


async def test_the_next_runtime_observes_what_the_one_before_it_started(
    runtime: Runtime, bench: Bench, tmp_path: Path
) -> None:
    work = workload(await bench.desired())
    await runtime.ensure(work)

    successor = bench.runtime()
    found = await seen(successor, work.instance_id)
    await successor.stop(work.instance_id, grace_s=2)
    successor.close()

    assert found is not None
    assert found.is_alive
    assert harness_processes(bench.instances_dir) == []
