"""The builder as a process of its own, on a real bus, with the real uv."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
import pytest
import pytest_asyncio
from msgspec.structs import replace
from nats.js import api

from services.core import subjects
from services.core.ids import Digest, VersionId
from services.core.records import Build, BuildOrder, BuildPhase, BuildReport, Bundle, Buried, Epoch, Removed
from services.core.subjects import CONSUMERS, EPOCH, Bucket, Consumer, LogKind, Stream
from services.kit.blobs import Blobs
from services.kit.bus import Bus
from services.kit.read_log import read_log
from tests.parts import NatsServer, Process, find_program, wait_until, wait_until_async
from tests.services.builder.parts import GOOD, MODEL_ID, VERSION_ID, make_harness, make_order, make_wheel

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ACK_WAIT_S = 1.0  # shorter than in life: redelivery is what these tests wait for
SLOW_UV = """#!/bin/sh
# Takes for ever until the test lets it go.
echo $$ >> {folder}/uv-started
sleep 600 &
echo $! >> {folder}/uv-grandchildren
[ -e {folder}/uv-may-go ] && kill $! || wait
exec {uv} "$@"
"""


class BuilderProcess(Process):
    """The service, started as the supervisor starts it."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        super().__init__([sys.executable, "-m", "services.builder"], Path.cwd(), folder / "builder.log")
        self.environ = environ

    def start(self) -> None:
        before = dict(os.environ)
        os.environ.update(self.environ)
        try:
            super().start()
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def builder(tmp_path: Path, nats_server: NatsServer) -> Iterator[BuilderProcess]:
    """Not started yet. All packages it can have are `six`."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "six", "1.17.0", {"six.py": ""})
    builder = BuilderProcess(
        tmp_path,
        {
            "NATS_URL": nats_server.url,
            "NATS_USER": "builder",
            "NATS_PASSWORD": "unused",
            "HEALTH_PORT": "0",
            "BLOBS_URL": f"file://{tmp_path}/blobs",
            "ENVIRONMENTS_DIR": str(tmp_path / "environments"),
            "BUILD_DIR": str(tmp_path / "build"),
            "HARNESS_WHEEL": str(make_harness(tmp_path)),
            "UV_PATH": str(find_program("uv")),
            "MODEL_PYTHON": sys.executable,
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(wheels),
            "UV_CACHE_DIR": str(tmp_path / "cache"),
        },
    )
    try:
        yield builder
    finally:
        builder.stop()


@pytest.fixture
def slow_uv(builder: BuilderProcess, tmp_path: Path) -> Path:
    """The builder's uv hangs until `uv-may-go` exists; `uv-started` has a line with its pid for every start."""
    script = tmp_path / "uv"
    script.write_text(SLOW_UV.format(folder=tmp_path, uv=builder.environ["UV_PATH"]))
    script.chmod(0o755)
    builder.environ["UV_PATH"] = str(script)
    started = tmp_path / "uv-started"
    started.touch()
    return started


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


class Facts:
    """The reports that were published."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self) -> list[BuildReport]:
        async with self._bus.deadline("read the facts") as jetstream:
            info = await jetstream.stream_info(Stream.FACTS)
            messages = [await jetstream.get_msg(Stream.FACTS, seq) for seq in range(1, info.state.last_seq + 1)]
        return [msgspec.json.decode(message.data or b"", type=BuildReport) for message in messages]

    async def end(self) -> BuildReport:
        """The last report, once the build has ended."""
        ended = (BuildPhase.COMPLETE, BuildPhase.FAILED)

        async def has_ended() -> bool:
            reports = await self.read()
            return bool(reports) and reports[-1].phase in ended

        await wait_until_async(has_ended, 30, what="the build has ended")
        return (await self.read())[-1]


@pytest_asyncio.fixture
async def facts(bus: Bus) -> AsyncIterator[Facts]:
    stream, subject = CONSUMERS[Consumer.BUILDERS]
    async with bus.deadline("shorten the wait for an acknowledgement") as jetstream:
        await jetstream.add_consumer(
            stream,
            name=Consumer.BUILDERS.value,
            durable_name=Consumer.BUILDERS.value,
            filter_subject=subject,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            max_ack_pending=1000,
        )
    yield Facts(bus)


async def order(bus: Bus, order: BuildOrder) -> None:
    await bus.publish(subjects.build_command(order.version_id), order)


async def log_ending_in(bus: Bus, end: str) -> str:
    """The build log, once its last line ends so: it takes another way than the reports."""

    async def has_ended() -> bool:
        return end in (await log_text(bus)).rpartition("\n")[2]

    await wait_until_async(has_ended, what=f"the log ends in {end}")
    return await log_text(bus)


async def log_text(bus: Bus, version_id: VersionId = VERSION_ID) -> str:
    lines = await read_log(bus, subjects.log(LogKind.BUILD, MODEL_ID, version_id), limit=1000)
    return "\n".join(line.text for line in lines)


async def nothing_is_left_to_do(bus: Bus) -> bool:
    async with bus.deadline("look at the orders") as jetstream:
        return (await jetstream.stream_info(Stream.COMMANDS)).state.messages == 0


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def grandchildren(folder: Path) -> list[int]:
    """What the builder's uv started, one a start."""
    place = folder / "uv-grandchildren"
    return [int(pid) for pid in place.read_text().split()] if place.exists() else []


def started_uvs(started: Path) -> list[int]:
    return [int(pid) for pid in started.read_text().split()]


async def test_an_order_becomes_a_bundle_a_report_and_a_log(
    builder: BuilderProcess, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    report = await facts.end()
    assert report.phase is BuildPhase.COMPLETE, builder.output
    assert report.artifact is not None
    bundle = await blobs.get_document(report.artifact, Bundle)
    assert (tmp_path / "environments" / bundle.environment / "bin" / "python").exists()
    assert [one.phase for one in await facts.read()] == [BuildPhase.BUILDING, BuildPhase.COMPLETE]
    log = await log_ending_in(bus, "Build complete in ")
    assert log.startswith("Build of version 1 begins\n")
    await wait_until_async(lambda: nothing_is_left_to_do(bus))


async def test_a_failure_is_reported_with_the_reason_that_ends_the_log(
    builder: BuilderProcess, bus: Bus, facts: Facts, blobs: Blobs
) -> None:
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}, requirements="six==99"))
    report = await facts.end()
    assert report.phase is BuildPhase.FAILED
    assert report.reason.startswith("requirement 'six==99' does not resolve: ")
    log = await log_ending_in(bus, f"Build failed: {report.reason}")
    assert "No solution found" in log, "the resolver's own words"
    await wait_until_async(lambda: nothing_is_left_to_do(bus))


async def test_a_killed_builder_takes_its_child_along_and_the_next_one_finishes_the_order(
    builder: BuilderProcess, slow_uv: Path, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    await wait_until(lambda: len(started_uvs(slow_uv)) == 1, 20)
    builder.kill()
    await wait_until(lambda: is_gone(started_uvs(slow_uv)[0]))
    (tmp_path / "uv-may-go").touch()
    builder.start()
    report = await facts.end()
    assert (report.phase, report.attempt) == (BuildPhase.COMPLETE, 2)
    assert "begins, attempt 2" in await log_ending_in(bus, "Build complete in ")
    assert list((tmp_path / "build" / "builder-1").iterdir()) == []


async def test_an_order_that_outlives_three_builders_is_failed_and_buried(
    builder: BuilderProcess, slow_uv: Path, bus: Bus, facts: Facts, blobs: Blobs
) -> None:
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    for time in (1, 2, 3):
        builder.start()
        await wait_until(_has_started(slow_uv, time), 20)
        builder.kill()
    builder.start()
    report = await facts.end()
    assert report.phase is BuildPhase.FAILED
    assert report.reason == "the build was tried 3 times and its builder ended each time"
    await log_ending_in(bus, f"Build failed: {report.reason}")
    await wait_until_async(lambda: nothing_is_left_to_do(bus))
    async with bus.deadline("read what was buried") as jetstream:
        buried = await jetstream.get_last_msg(Stream.BURIED, subjects.buried("builder", Consumer.BUILDERS))
    assert msgspec.json.decode(buried.data or b"", type=Buried).attempts == 4


def _has_started(started: Path, times: int) -> Callable[[], bool]:
    return lambda: len(started_uvs(started)) == times


async def test_a_build_that_takes_too_long_is_failed_and_all_it_started_ended(
    builder: BuilderProcess, slow_uv: Path, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}, timeout_s=2.0))
    report = await facts.end()
    assert report.reason == "the build took longer than its limit of 2 s"
    await wait_until(lambda: is_gone(started_uvs(slow_uv)[0]) and is_gone(grandchildren(tmp_path)[0]))


async def give_up(bus: Bus, revision: int = 2) -> None:
    """What api says when the build is cancelled."""
    assert await bus.bucket(Bucket.BUILDS, Build).put(VERSION_ID, Removed(revision=revision))


async def test_a_cancelled_build_is_ended_with_all_it_started_within_moments_and_the_next_one_has_its_turn(
    builder: BuilderProcess, slow_uv: Path, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    await wait_until(lambda: len(grandchildren(tmp_path)) == 1, 20)
    await give_up(bus)
    await wait_until(lambda: is_gone(started_uvs(slow_uv)[0]) and is_gone(grandchildren(tmp_path)[0]), 3)
    await wait_until_async(lambda: nothing_is_left_to_do(bus))
    assert [one.phase for one in await facts.read()] == [BuildPhase.BUILDING]
    await log_ending_in(bus, "The build was cancelled")
    assert list((tmp_path / "build" / "builder-1").iterdir()) == []
    assert not list((tmp_path / "environments").glob("*.partial"))

    (tmp_path / "uv-may-go").touch()
    await order(bus, await make_order(blobs, {"model.py": GOOD}, version_id=VersionId("d" * 24)))
    assert (await facts.end()).phase is BuildPhase.COMPLETE


async def test_a_queued_order_that_was_cancelled_is_taken_from_the_queue_and_not_built(
    builder: BuilderProcess, slow_uv: Path, bus: Bus, facts: Facts, blobs: Blobs
) -> None:
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    await give_up(bus)
    builder.start()
    await wait_until_async(lambda: nothing_is_left_to_do(bus), 20)
    assert await facts.read() == []
    assert started_uvs(slow_uv) == []


async def test_an_environment_that_no_build_needs_goes_and_what_one_needs_or_may_need_stays(
    builder: BuilderProcess, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    environments = tmp_path / "environments"
    builder.environ |= {"COLLECT_EVERY_S": "0.2", "COLLECT_GRACE_S": "0.5"}
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    report = await facts.end()
    assert report.artifact is not None
    needed = (await blobs.get_document(report.artifact, Bundle)).environment
    spare = make_environment(environments, Digest("1" * 64))
    abandoned = environments / f".{'2' * 64}.abcd.partial"
    abandoned.mkdir()

    builds = bus.bucket(Bucket.BUILDS, Build)
    entry = Build(revision=1, model_id=MODEL_ID, version_id=VERSION_ID, published_at=LONG_AGO, artifact=report.artifact)
    waiting = replace(entry, version_id=VersionId("d" * 24), artifact=None)
    await builds.put(waiting.version_id, waiting)
    await builds.put(VERSION_ID, entry)
    await builds.put(EPOCH, Epoch(revision=1))
    await wait_until(lambda: not abandoned.exists(), what="what was never finished goes")
    assert spare.exists(), "a build that has not ended may have found it"

    await builds.put(waiting.version_id, Removed(revision=2))
    await wait_until(lambda: not spare.exists(), what="the spare environment goes")
    assert (environments / needed / "bin" / "python").exists()
    await wait_until(lambda: '"collected"' in builder.output, what="it is told")
    assert not list(environments.glob(f".{'1' * 64}*")), "its lock goes with it"

    await builds.put(VERSION_ID, Removed(revision=2))
    await wait_until(lambda: not (environments / needed).exists(), what="nobody needs it any more")


def make_environment(folder: Path, digest: Digest) -> Path:
    """An environment that was last used long ago."""
    place = folder / digest
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    os.utime(place, (LONG_AGO.timestamp() + 60, LONG_AGO.timestamp() + 60))
    return place


async def test_told_to_stop_in_the_middle_it_ends_its_child_and_leaves_the_order_to_the_next(
    builder: BuilderProcess, slow_uv: Path, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    await wait_until(lambda: len(started_uvs(slow_uv)) == 1, 20)
    builder.signal(signal.SIGTERM)
    await wait_until(lambda: not builder.is_running, 15)
    assert is_gone(started_uvs(slow_uv)[0])
    (tmp_path / "uv-may-go").touch()
    builder.start()
    assert (await facts.end()).phase is BuildPhase.COMPLETE
