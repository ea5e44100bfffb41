"""What is left of versions and instances: taken away once nobody needs it, never while anything runs in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from msgspec.structs import replace

from services.core.ids import InstanceId, VersionId
from services.core.records import PlacementPhase, Removed
from services.core.subjects import version_key
from services.deployer.runtimes.process.leftovers import Leftovers
from services.deployer.runtimes.process.runtime import ProcessRuntime
from services.deployer.runtimes.process.version_files import VersionFiles
from services.kit.clock import now
from tests.instances import Bench, harness_processes, workload
from tests.makers import version_id
from tests.parts import wait_until, wait_until_async
from tests.services.deployer.parts import Platform, alive

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def runtime(bench: Bench) -> AsyncIterator[ProcessRuntime]:
    runtime = bench.runtime()
    yield runtime
    await runtime.stop_all(grace_s=0)
    runtime.close()


@pytest.fixture
def files(bench: Bench) -> VersionFiles:
    return VersionFiles(bench.versions_dir, bench.environments_dir, bench.blobs)


@pytest.fixture
def leftovers(bench: Bench, files: VersionFiles) -> Leftovers:
    return Leftovers(bench.folders, files)


def make_old(*folders: Path) -> None:
    for folder in folders:
        os.utime(folder, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))


def since() -> datetime:
    return now() - timedelta(minutes=1)


async def test_the_files_of_a_version_go_once_it_is_not_wanted_and_nothing_runs_in_them(
    runtime: ProcessRuntime, bench: Bench, leftovers: Leftovers
) -> None:
    work = workload(await bench.desired())
    await runtime.ensure(work)
    (folder,) = bench.versions_dir.iterdir()
    make_old(folder)
    wanted = {work.desired.version_id}
    assert (await leftovers.collect(wanted, {work.instance_id}, unused_since=since())).count == 0

    await runtime.stop(work.instance_id, grace_s=0)
    await runtime.forget(work.instance_id)
    assert (await leftovers.collect(wanted, set(), unused_since=since())).count == 0, "it is wanted"
    assert (await leftovers.collect(set(), set(), unused_since=LONG_AGO)).count == 0, "it was used within the grace"
    assert (await leftovers.collect(set(), set(), unused_since=since())).count == 1
    assert list(bench.versions_dir.iterdir()) == []


async def test_a_folder_in_which_a_process_works_stays_though_nobody_knows_the_instance_any_more(
    runtime: ProcessRuntime, bench: Bench, leftovers: Leftovers
) -> None:
    work = workload(await bench.desired("import time; time.sleep(600)"))
    await runtime.ensure(work)
    await wait_until(lambda: bool(harness_processes(bench.instances_dir)), what="it runs")
    (folder,) = bench.versions_dir.iterdir()
    make_old(folder)
    (leader,) = harness_processes(bench.instances_dir)
    assert Path(psutil.Process(leader).cwd()).is_relative_to(folder)
    assert (await leftovers.collect(set(), {work.instance_id}, unused_since=since())).count == 0
    assert folder.exists()


async def test_starting_an_instance_marks_the_files_of_its_version_as_used(
    runtime: ProcessRuntime, bench: Bench, files: VersionFiles
) -> None:
    desired = await bench.desired()
    bundle = await files.bundle(desired)
    project = await files.project(desired, bundle, None)
    (folder,) = bench.versions_dir.iterdir()
    make_old(folder)
    assert await files.project(desired, bundle, None) == project
    assert not await files.take_away(folder.name, unused_since=since())
    make_old(folder)
    assert await files.take_away(folder.name, unused_since=since())
    assert await files.project(desired, bundle, None) == project
    assert (project / "predict.py").exists(), "what was taken away is unpacked again"


async def test_folders_of_forgotten_instances_go_and_what_is_not_of_an_instance_stays(
    bench: Bench, leftovers: Leftovers
) -> None:
    gone, kept = InstanceId("00000001-1-ab12cd34"), InstanceId("00000001-1-ef56ab78")
    own = bench.sockets_dir / "own"
    other = bench.versions_dir / "somebody's"
    for folder in (own, other, *(bench.folders.of(each) for each in (gone, kept)), bench.sockets_dir / gone):
        folder.mkdir(parents=True)
    (bench.sockets_dir / gone / "w0.sock").touch()
    half = bench.versions_dir / f".{version_id(1)}-{'d' * 8}-x1y2"
    half.mkdir()
    make_old(own, other, half, bench.folders.of(gone), bench.folders.of(kept), bench.sockets_dir / gone)
    assert (await leftovers.collect(set(), {kept}, unused_since=since())).count == 2
    assert not bench.folders.of(gone).exists()
    assert not (bench.sockets_dir / gone).exists()
    assert not half.exists()
    for folder in (own, other, bench.folders.of(kept)):
        assert folder.exists()


async def test_a_running_deployer_collects_what_is_left_of_a_removed_version_and_leaves_what_runs_alone(
    platform: Platform,
) -> None:
    platform.deployer.kill()
    platform.deployer.set(COLLECT_EVERY_S="0.2", COLLECT_GRACE_S="1")
    platform.deployer.start()
    stays = await platform.bench.desired("stays = 1")
    goes = replace(await platform.bench.desired("goes = 1"), version_id=VersionId("f" * 24))
    for wanted in (stays, goes):
        await platform.want(wanted)
        await platform.until(wanted, lambda p: p.phase is PlacementPhase.RUNNING, what="it runs")
    folders = {each.name[:24]: each for each in platform.bench.versions_dir.iterdir()}
    make_old(*folders.values())
    tombstone = Removed(revision=goes.revision + 10)
    assert await platform.desired.put(version_key("local", goes.version_id), tombstone)
    await wait_until_async(lambda: platform.is_forgotten(goes), 20, what="it is gone")
    await wait_until(lambda: not folders[goes.version_id].exists(), 20, what="its files go")
    await wait_until(lambda: '"collected"' in platform.deployer.output, what="it says so")
    assert folders[stays.version_id].exists()
    placement = await platform.placement(stays)
    assert placement is not None
    assert len(alive(placement)) == 1
    assert placement.exits == 0
