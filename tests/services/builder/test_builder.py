"""How orders are carried out and reported, whatever the build does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from services.builder.build_log import BuildLog
from services.builder.builder import Builder
from services.core import subjects
from services.core.errors import BuildFailed, NotFound, Unavailable
from services.core.ids import Digest, VersionId
from services.core.records import BuildOrder, BuildPhase, BuildReport, LogLine
from tests.services.builder.parts import MODEL_ID, NOW, VERSION_ID

ARTIFACT = Digest("d" * 64)
ORDER = BuildOrder(
    model_id=MODEL_ID,
    version_id=VERSION_ID,
    version_number=3,
    snapshot=Digest("e" * 64),
    exclude_files=(),
    file="model.py",
    function="predict",
    environment_revision_id="c" * 24,
    requirements="",
    timeout_s=30.0,
)

Build = Callable[[Path, BuildLog], Awaitable[Digest]]


class Kept:
    """A bus that keeps what is published."""

    def __init__(self) -> None:
        self.reports: list[BuildReport] = []
        self.ids: list[str | None] = []
        self.lines: list[str] = []

    async def publish(self, subject: str, body: msgspec.Struct, *, message_id: str | None = None) -> None:
        assert subject == subjects.build_fact(VERSION_ID)
        assert isinstance(body, BuildReport)
        self.reports.append(body)
        self.ids.append(message_id)

    async def publish_logs(self, subject: str, lines: Sequence[LogLine]) -> None:
        assert subject == subjects.log(subjects.LogKind.BUILD, MODEL_ID, VERSION_ID)
        self.lines += [line.text for line in lines]

    @property
    def phases(self) -> list[BuildPhase]:
        return [report.phase for report in self.reports]


class Backend:
    def __init__(self, build: Build) -> None:
        self._build = build

    async def build(self, order: BuildOrder, folder: Path, log: BuildLog) -> Digest:
        return await self._build(folder, log)


class Wishes:
    """Everything is wanted until it is given up."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def is_given_up(self, version_id: VersionId) -> bool:
        return self.gone.is_set()

    async def given_up(self, version_id: VersionId) -> None:
        await self.gone.wait()


def make(build: Build, tmp_path: Path, wishes: Wishes | None = None) -> tuple[Builder, Kept]:
    bus = Kept()
    builder = Builder(
        backend=Backend(build), bus=bus, wishes=wishes or Wishes(), build_dir=tmp_path / "build", now=lambda: NOW
    )
    builder.sweep()
    return builder, bus


def fails_with(error: Exception) -> Build:
    async def build(folder: Path, log: BuildLog) -> Digest:
        raise error

    return build


async def succeed(folder: Path, log: BuildLog) -> Digest:
    (folder / "scratch").touch()
    log.say("working")
    return ARTIFACT


async def test_a_build_is_reported_as_it_begins_and_as_it_ends(tmp_path: Path) -> None:
    builder, bus = make(succeed, tmp_path)
    await builder.handle(ORDER, 1)
    assert bus.phases == [BuildPhase.BUILDING, BuildPhase.COMPLETE]
    assert bus.reports[-1].artifact == ARTIFACT
    assert bus.reports[-1].reason == ""
    assert bus.lines[:2] == ["Build of version 3 begins", "working"]
    assert bus.lines[-1].startswith("Build complete in ")
    assert list((tmp_path / "build").iterdir()) == []


@pytest.mark.parametrize("error", [BuildFailed("model.py:3: wrong"), NotFound("model.py:3: wrong")])
async def test_a_build_that_cannot_succeed_is_failed_with_its_reason(tmp_path: Path, error: Exception) -> None:
    builder, bus = make(fails_with(error), tmp_path)
    await builder.handle(ORDER, 2)
    assert bus.phases == [BuildPhase.BUILDING, BuildPhase.FAILED]
    assert bus.reports[-1].reason == "model.py:3: wrong"
    assert bus.reports[-1].artifact is None
    assert bus.lines == ["Build of version 3 begins, attempt 2", "Build failed: model.py:3: wrong"]


async def test_a_build_that_takes_too_long_is_failed(tmp_path: Path) -> None:
    async def hang(folder: Path, log: BuildLog) -> Digest:
        await asyncio.Event().wait()
        return ARTIFACT

    builder, bus = make(hang, tmp_path)
    await builder.handle(replace(ORDER, timeout_s=0.05), 1)
    assert bus.reports[-1].phase is BuildPhase.FAILED
    assert bus.reports[-1].reason == "the build took longer than its limit of 0.05 s"


async def test_a_passing_trouble_is_logged_and_left_to_be_tried_again(tmp_path: Path) -> None:
    builder, bus = make(fails_with(Unavailable("the package index does not answer")), tmp_path)
    with pytest.raises(Unavailable):
        await builder.handle(ORDER, 1)
    assert bus.phases == [BuildPhase.BUILDING]
    assert "will be tried again: the package index does not answer" in bus.lines[-1]


async def test_after_the_last_try_the_trouble_is_the_reason(tmp_path: Path) -> None:
    builder, bus = make(fails_with(Unavailable("the package index does not answer")), tmp_path)
    with pytest.raises(Unavailable):
        await builder.handle(ORDER, 3)
    await builder.give_up(ORDER, "whatever the bus says")
    assert bus.reports[-1].phase is BuildPhase.FAILED
    assert bus.reports[-1].reason == "the build was tried 3 times: the package index does not answer"
    assert bus.lines[-1] == f"Build failed: {bus.reports[-1].reason}"


async def test_an_order_that_ended_its_builders_is_failed_with_that_reason(tmp_path: Path) -> None:
    builder, bus = make(succeed, tmp_path)
    await builder.give_up(ORDER, "no handler lived through it")
    assert bus.reports[-1].reason == "the build was tried 3 times and its builder ended each time"
    assert bus.lines == [f"Build failed: {bus.reports[-1].reason}"]


async def test_a_fault_of_ours_does_not_show_its_insides(tmp_path: Path) -> None:
    builder, bus = make(fails_with(KeyError("secret")), tmp_path)
    with pytest.raises(KeyError):
        await builder.handle(ORDER, 1)
    await builder.give_up(ORDER, "KeyError: 'secret'")
    assert bus.reports[-1].reason == "the build was tried 3 times: the builder failed with KeyError"
    assert "secret" not in "".join(bus.lines)


async def test_each_report_has_an_id_of_its_own(tmp_path: Path) -> None:
    builder, bus = make(succeed, tmp_path)
    await builder.handle(ORDER, 1)
    await builder.handle(ORDER, 2)
    assert len(set(bus.ids)) == 4


async def test_what_a_killed_builder_left_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "build" / "old").mkdir(parents=True)
    make(succeed, tmp_path)
    assert list((tmp_path / "build").iterdir()) == []


async def test_a_build_that_is_given_up_is_ended_said_so_in_its_log_and_not_reported(tmp_path: Path) -> None:
    wishes, ended = Wishes(), asyncio.Event()

    async def hang(folder: Path, log: BuildLog) -> Digest:
        wishes.gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ARTIFACT

    builder, bus = make(hang, tmp_path, wishes)
    await builder.handle(ORDER, 1)
    assert ended.is_set()
    assert bus.phases == [BuildPhase.BUILDING]
    assert bus.lines == ["Build of version 3 begins", "The build was cancelled"]
    assert list((tmp_path / "build").iterdir()) == []


async def test_an_order_that_was_given_up_before_its_turn_is_not_begun(tmp_path: Path) -> None:
    wishes = Wishes()
    wishes.gone.set()
    builder, bus = make(succeed, tmp_path, wishes)
    await builder.handle(ORDER, 1)
    assert bus.phases == []
    assert bus.lines == []
