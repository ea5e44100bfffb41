"""This file is the builder: it carries out build orders and says how each ended."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from services.builder.build_log import BuildLog
from services.core import subjects
from services.core.errors import PermanentError, TemporaryError, Unavailable
from services.core.ids import Digest, VersionId
from services.core.records import BuildOrder, BuildPhase, BuildReport, LogLine

log = structlog.get_logger()

MAX_ATTEMPTS = 3


class Reports(Protocol):
    """Where reports and log lines go: the bus."""

    async def publish(self, subject: str, body: msgspec.Struct, *, message_id: str | None = None) -> None: ...

    async def publish_logs(self, subject: str, lines: Sequence[LogLine]) -> None: ...


class Wishes(Protocol):
    """Whether somebody still wants a version built."""

    def is_given_up(self, version_id: VersionId) -> bool: ...

    async def given_up(self, version_id: VersionId) -> None:
        """Returns once nobody wants it any more."""


class BuildBackend(Protocol):
    """What a build ends in.

    `build` gives the digest of the artifact, the same for the same order, and logs what it does. It raises
    `PermanentError` with one sentence when what was ordered is at fault, `TemporaryError` when trying again
    may help. It may be cancelled at any moment and then leaves nothing running. `folder` is its own and is
    taken away after.
    """

    async def build(self, order: BuildOrder, folder: Path, log: BuildLog) -> Digest: ...


class Builder:
    """Handles `BuildOrder`s. Each may come again at any time and then ends in the same artifact."""

    def __init__(
        self,
        *,
        backend: BuildBackend,
        bus: Reports,
        wishes: Wishes,
        build_dir: Path,
        now: Callable[[], datetime],
    ) -> None:
        self._backend = backend
        self._wishes = wishes
        self._bus = bus
        self._build_dir = build_dir
        self._now = now
        self._troubles: dict[VersionId, str] = {}  # the last passing error of each order in hand

    def sweep(self) -> None:
        """Take away what an earlier process left in the scratch folder. Before any order is handled."""
        shutil.rmtree(self._build_dir, ignore_errors=True)
        self._build_dir.mkdir(parents=True, mode=0o700)

    async def handle(self, order: BuildOrder, attempt: int) -> None:
        """Build and report: `building`, then `complete` or `failed`. Raises what trying again may mend.

        What was given up is not built, and nothing is reported of it: who gave it up has recorded so.
        """
        with structlog.contextvars.bound_contextvars(model=order.model_id, version=order.version_id):
            if self._wishes.is_given_up(order.version_id):
                log.info("build_left_out")
                return
            await self._report(order, attempt, BuildPhase.BUILDING)
            try:
                report = await self._logged(order, attempt)
            except _GivenUpError:
                self._troubles.pop(order.version_id, None)
                log.info("build_given_up")
                return
            await self._bus.publish(subjects.build_fact(order.version_id), report, message_id=_message_id(report))
            self._troubles.pop(order.version_id, None)
            log.info("build_ended", phase=report.phase, build_s=round(report.build_s, 3), reason=report.reason)

    async def give_up(self, order: BuildOrder, _reason: str) -> None:
        """Report `failed` for an order that was tried as often as is allowed. Raises `Unavailable`."""
        trouble = self._troubles.get(order.version_id)
        how = f": {trouble}" if trouble else " and its builder ended each time"
        reason = f"the build was tried {MAX_ATTEMPTS} times{how}"
        async with self._log(order).opened() as build_log:
            build_log.say(f"Build failed: {reason}")
        await self._report(order, MAX_ATTEMPTS, BuildPhase.FAILED, reason=reason)
        self._troubles.pop(order.version_id, None)

    async def _logged(self, order: BuildOrder, attempt: int) -> BuildReport:
        """How the build ended, which is also the last line of its log."""
        started = time.monotonic()
        async with self._log(order).opened() as build_log:
            again = f", attempt {attempt}" if attempt > 1 else ""
            build_log.say(f"Build of version {order.version_number} begins{again}")
            try:
                artifact, reason = await self._build(order, build_log), ""
            except _GivenUpError:
                build_log.say("The build was cancelled")
                raise
            except (PermanentError, TimeoutError) as error:
                artifact, reason = None, _sentence(error, order)
            except TemporaryError as error:
                self._troubles[order.version_id] = error.reason
                build_log.say(f"The build cannot go on now and will be tried again: {error.reason}")
                raise
            except Exception as error:
                self._troubles[order.version_id] = f"the builder failed with {type(error).__name__}"
                build_log.say("The builder failed unexpectedly; the build will be tried again")
                raise
            build_s = time.monotonic() - started
            build_log.say(f"Build failed: {reason}" if artifact is None else f"Build complete in {build_s:.1f} s")
        phase = BuildPhase.FAILED if artifact is None else BuildPhase.COMPLETE
        return _report(order, attempt, phase, artifact=artifact, reason=reason, build_s=build_s)

    async def _build(self, order: BuildOrder, build_log: BuildLog) -> Digest:
        with _disk_troubles():
            folder = Path(tempfile.mkdtemp(prefix=f"{order.version_id}-", dir=self._build_dir))
            try:
                async with asyncio.timeout(order.timeout_s):
                    return await self._unless_given_up(order, folder, build_log)
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _unless_given_up(self, order: BuildOrder, folder: Path, build_log: BuildLog) -> Digest:
        building = asyncio.create_task(self._backend.build(order, folder, build_log))
        giving_up = asyncio.create_task(self._wishes.given_up(order.version_id))
        try:
            await asyncio.wait({building, giving_up}, return_when=asyncio.FIRST_COMPLETED)
            if not building.done():
                raise _GivenUpError
            return building.result()
        finally:
            for task in (building, giving_up):
                task.cancel()
            await asyncio.gather(building, giving_up, return_exceptions=True)

    def _log(self, order: BuildOrder) -> BuildLog:
        subject = subjects.log(subjects.LogKind.BUILD, order.model_id, order.version_id)

        def publish(lines: Sequence[LogLine]) -> Awaitable[None]:
            return self._bus.publish_logs(subject, lines)

        return BuildLog(publish, self._now)

    async def _report(self, order: BuildOrder, attempt: int, phase: BuildPhase, *, reason: str = "") -> None:
        report = _report(order, attempt, phase, artifact=None, reason=reason, build_s=0.0)
        await self._bus.publish(subjects.build_fact(order.version_id), report, message_id=_message_id(report))


@contextlib.contextmanager
def _disk_troubles() -> Iterator[None]:
    """What the system refuses to write or read is nobody's fault who ordered a build, and may pass."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise Unavailable(f"the builder's disk does not work: {error.strerror}", retry_after_s=5.0) from error


class _GivenUpError(Exception):
    """Nobody wants this build any more."""


def _report(
    order: BuildOrder,
    attempt: int,
    phase: BuildPhase,
    *,
    artifact: Digest | None,
    reason: str,
    build_s: float,
) -> BuildReport:
    return BuildReport(
        model_id=order.model_id,
        version_id=order.version_id,
        attempt=attempt,
        phase=phase,
        artifact=artifact,
        reason=reason,
        build_s=build_s,
    )


def _message_id(report: BuildReport) -> str:
    return f"build-{report.version_id}-{report.attempt}-{report.phase}"


def _sentence(error: PermanentError | TimeoutError, order: BuildOrder) -> str:
    if isinstance(error, TimeoutError):
        return f"the build took longer than its limit of {order.timeout_s:g} s"
    return error.reason
