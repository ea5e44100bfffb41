"""This file keeps HAProxy doing what a routing table says: files first, then what can be told, then a reload."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import msgspec
import structlog
from msgspec.structs import replace

from services.core.effective import Worker
from services.core.errors import NotFound
from services.core.ids import VersionId
from services.core.rerouting import changes, within
from services.core.routing import RoutingTable
from services.router.haproxy import words
from services.router.haproxy.candidates import Candidates
from services.router.haproxy.hold import Hold
from services.router.haproxy.master import Master, WorkerProcess
from services.router.haproxy.overdue import Overdue

log = structlog.get_logger()

RELOAD_EVERY_S = 0.2  # for each worker that lives


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What HAProxy does now. `aimed` is what it should do: the wanted table, without what it refused."""

    aimed: RoutingTable
    workers: tuple[Worker, ...]
    is_settled: bool  # one worker lives, and runs the newest configuration
    rejected: str  # HAProxy's complaint about the newest configuration, "" when it took it


class _Live(msgspec.Struct, kw_only=True):
    process: WorkerProcess
    digest: str
    worker: Worker
    hold: Hold | None = None

    def let_go(self) -> None:
        if self.hold is not None:
            self.hold.let_go()
            self.hold = None


class HAProxy:
    """One HAProxy, started and kept by somebody else. One caller at a time."""

    def __init__(
        self, master: Master, candidates: Candidates, held_socket: Path, overdue: Overdue | None = None
    ) -> None:
        self._master = master
        self._candidates = candidates
        self._held_socket = held_socket
        self._overdue = overdue or Overdue()
        self._timeouts_s: dict[VersionId, float] = {}  # the request timeouts of all versions
        self._live: dict[int, _Live] = {}
        self._reloads = Pace()

    async def look(self, watched: Set[VersionId]) -> tuple[Worker, ...]:
        """Every live worker, with the calls it has, and what it counted of the versions that are `watched`."""
        await self._find_workers()
        await self._count_calls(watched)
        return self._workers

    async def converge(self, wanted: RoutingTable, watched: Set[VersionId] = frozenset()) -> State:
        """Bring HAProxy closer to `wanted` and say how far it is. Call again and again: it finishes what is left.

        Raises `Unavailable` when HAProxy does not answer; what it starts from is already in place then.
        """
        aimed = await self._candidates.put(wanted)
        self._note_timeouts(aimed)
        await self._find_workers()
        await self._tell(aimed)
        if not self.is_current and self._reloads.is_due():
            await self._reload()
            await self._find_workers()
            await self._tell(aimed)
        await self._count_calls(watched)
        return State(
            aimed=aimed,
            workers=self._workers,
            is_settled=self.is_current and len(self._live) == 1,
            rejected=self._candidates.rejected,
        )

    def close(self) -> None:
        """Let go of every worker. It may be used again."""
        for live in self._live.values():
            live.let_go()

    @property
    def is_current(self) -> bool:
        """The newest worker runs the configuration in place."""
        newest = self._newest
        return newest is not None and newest.digest == self._candidates.digest

    @property
    def newest_pid(self) -> int | None:
        """Of the worker that takes connections."""
        return None if self._newest is None else self._newest.process.pid

    @property
    def _workers(self) -> tuple[Worker, ...]:
        return tuple(each.worker for each in self._live.values())

    @property
    def _newest(self) -> _Live | None:
        return next((each for each in self._live.values() if each.process.is_newest), None)

    async def _find_workers(self) -> None:
        """A worker that was there before keeps what is known of it; a new one is asked, whoever started it."""
        processes = await self._master.workers()
        before, self._live = self._live, {}
        for process in processes:
            known = before.get(process.pid)
            with contextlib.suppress(NotFound):
                self._live[process.pid] = await (
                    self._adopted(process) if known is None else self._looked_at(known, process)
                )
        for pid, gone in before.items():
            if pid not in self._live:
                gone.let_go()
                self._overdue.forget(pid)
        if self._newest is not None:
            await self._hold(self._newest)

    async def _hold(self, newest: _Live) -> None:
        """Make sure that its last counters can be read when it is the newest no more."""
        if newest.hold is not None and newest.hold.is_held:
            return
        newest.let_go()
        hold = await Hold.of_newest(self._held_socket)
        if hold is None:
            return
        newest.hold = hold  # of this very worker, unless HAProxy was started anew meanwhile
        answer = await self._master.ask(newest.process.pid, words.SHOW_HELD)
        newest.worker = replace(newest.worker, is_held=words.frontend_calls(answer) > 0)

    async def _looked_at(self, known: _Live, process: WorkerProcess) -> _Live:
        known.process = process
        if not process.is_newest and not known.worker.is_stopping:
            info = words.info(await self._master.ask(process.pid, words.SHOW_INFO))
            known.worker = replace(known.worker, is_stopping=info.is_stopping)
        return known

    async def _adopted(self, process: WorkerProcess) -> _Live:
        info = words.info(await self._master.ask(process.pid, words.SHOW_INFO))
        maps = {name: await self._master.ask(process.pid, words.show_map(name)) for name in words.MAPS}
        shown = words.rows(await self._master.ask(process.pid, words.SHOW_CALLS))
        worker = Worker(pid=process.pid, running=words.running(maps, shown), is_stopping=info.is_stopping)
        log.info("worker_found", pid=process.pid, is_newest=process.is_newest, versions=len(shown))
        return _Live(process=process, digest=info.digest, worker=worker)

    async def _tell(self, aimed: RoutingTable) -> None:
        for live in list(self._live.values()):
            with self._while_it_lives(live):
                await self._tell_one(live, aimed)

    async def _tell_one(self, live: _Live, aimed: RoutingTable) -> None:
        target = within(aimed, live.worker.running)
        commands = [words.command(each) for each in changes(live.worker.running, target)]
        objection = await self._master.tell(live.process.pid, commands) if commands else ""
        if objection:
            # It is not as we thought: ask again what it does, and see to the rest next time.
            log.warning("commands_refused", pid=live.process.pid, objection=objection[:500])
            live.worker = replace((await self._adopted(live.process)).worker, is_held=live.worker.is_held)
        else:
            live.worker = replace(live.worker, running=target)

    async def _count_calls(self, watched: Set[VersionId]) -> None:
        for live in list(self._live.values()):
            with self._while_it_lives(live):
                await self._count_calls_of(live, watched)

    async def _count_calls_of(self, live: _Live, watched: Set[VersionId]) -> None:
        shown, peaks = await self._shown(live.process.pid, watched)
        live.worker = replace(
            live.worker,
            in_flight=words.in_flight(shown),
            waiting=words.waiting(shown),
            calls=words.calls(shown),
            counters=words.with_peaks(shown, peaks),
        )
        await self._cut_overdue(live, shown)
        if live.worker.is_stopping and not live.worker.calls:
            live.let_go()  # it passes on what still comes: there is no more to count

    async def _shown(self, pid: int, watched: Set[VersionId]) -> tuple[dict[VersionId, words.BackendRow], str]:
        """The versions that have calls or are `watched`, and the peaks. The others are told in one line each: with
        thousands of servers, all their lines took longer than anything else.
        """
        all_versions = words.rows(await self._master.ask(pid, words.SHOW_BACKENDS))
        versions = [version for version, row in all_versions.items() if row.calls or version in watched]
        if not versions and not watched:
            return {}, ""
        # Calls and counters of one version come from one line: none ends between them.
        commands = (*words.show_calls(versions), *(words.SHOW_PEAKS if watched else ()))
        stats, peaks = words.stats_and_peaks(await self._master.ask(pid, *commands))
        return words.rows(stats, watched), peaks

    def _note_timeouts(self, aimed: RoutingTable) -> None:
        """Also of versions that only old workers still have."""
        running = {version for live in self._live.values() for version in live.worker.running.backends}
        kept = {version: each for version, each in self._timeouts_s.items() if version in running}
        self._timeouts_s = kept | {version: each.request_timeout_s for version, each in aimed.backends.items()}

    async def _cut_overdue(self, live: _Live, shown: Mapping[VersionId, words.BackendRow]) -> None:
        pid = live.process.pid
        for version, server in self._overdue.look(pid, shown, self._timeouts_s, time.monotonic()):
            log.warning("call_cut", version=version, server=server, reason="its caller kept the worker for too long")
            await self._master.tell(pid, [words.end_calls(version, server)])

    @contextlib.contextmanager
    def _while_it_lives(self, live: _Live) -> Iterator[None]:
        try:
            yield
        except NotFound:
            live.let_go()
            del self._live[live.process.pid]

    async def _reload(self) -> None:
        outcome = await self._master.reload()
        self._reloads.pause(len(self._live))
        if outcome.is_done:
            log.info("reloaded", workers=len(self._live))
            self._candidates.confirm()
        else:
            log.error("reload_failed", complaint=outcome.complaint)
            await self._candidates.take_back(outcome.complaint)


class Pace:
    """How often HAProxy is reloaded: more rarely the more workers still live, for each costs memory till its last call
    ends.
    """

    def __init__(self) -> None:
        self._next_at = 0.0

    def is_due(self) -> bool:
        return time.monotonic() >= self._next_at

    def pause(self, workers: int) -> None:
        self._next_at = time.monotonic() + RELOAD_EVERY_S * (1 + workers)
