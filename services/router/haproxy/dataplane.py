"""This file keeps HAProxy doing what a routing table says: files first, then what can be told, then a reload."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import msgspec
import structlog
from msgspec.structs import replace

from services.core.effective import Worker
from services.core.errors import NotFound
from services.core.rerouting import OPEN, ROUTES, TOKENS, changes, within
from services.core.routing import RoutingTable
from services.router.haproxy import words
from services.router.haproxy.candidates import Candidates
from services.router.haproxy.master import Master, WorkerProcess

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


class HAProxy:
    """One HAProxy, started and kept by somebody else. One caller at a time."""

    def __init__(self, master: Master, candidates: Candidates) -> None:
        self._master = master
        self._candidates = candidates
        self._live: dict[int, _Live] = {}
        self._reloads = Pace()

    async def converge(self, wanted: RoutingTable) -> State:
        """Bring HAProxy closer to `wanted` and say how far it is. Call again and again: it finishes what is left.

        Raises `Unavailable` when HAProxy does not answer; what it starts from is already in place then.
        """
        aimed = await self._candidates.put(wanted)
        await self._find_workers()
        await self._tell(aimed)
        if not self.is_current and self._reloads.is_due():
            await self._reload()
            await self._find_workers()
            await self._tell(aimed)
        await self._count_calls()
        return State(
            aimed=aimed,
            workers=tuple(each.worker for each in self._live.values()),
            is_settled=self.is_current and len(self._live) == 1,
            rejected=self._candidates.rejected,
        )

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

    async def _looked_at(self, known: _Live, process: WorkerProcess) -> _Live:
        known.process = process
        if not process.is_newest and not known.worker.is_stopping:
            info = words.info(await self._master.ask(process.pid, words.SHOW_INFO))
            known.worker = replace(known.worker, is_stopping=info.is_stopping)
        return known

    async def _adopted(self, process: WorkerProcess) -> _Live:
        info = words.info(await self._master.ask(process.pid, words.SHOW_INFO))
        maps = {name: await self._master.ask(process.pid, words.show_map(name)) for name in (ROUTES, OPEN, TOKENS)}
        shown = words.rows(await self._master.ask(process.pid, words.SHOW_CALLS))
        worker = Worker(running=words.running(maps, shown), is_stopping=info.is_stopping)
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
            live.worker = (await self._adopted(live.process)).worker
        else:
            live.worker = replace(live.worker, running=target)

    async def _count_calls(self) -> None:
        for live in list(self._live.values()):
            with self._while_it_lives(live):
                shown = words.rows(await self._master.ask(live.process.pid, words.SHOW_CALLS))
                live.worker = replace(live.worker, in_flight=words.in_flight(shown), waiting=words.waiting(shown))

    @contextlib.contextmanager
    def _while_it_lives(self, live: _Live) -> Iterator[None]:
        try:
            yield
        except NotFound:
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
