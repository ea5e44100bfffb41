"""This file is the router: it makes HAProxy do what the bus says, and reports what is in effect."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Set
from typing import Protocol

import msgspec
import structlog
from msgspec.structs import replace

from services.core import effective
from services.core.effective import Worker
from services.core.errors import Unavailable
from services.core.ids import VersionId
from services.core.known import Known, Seen, absorb
from services.core.records import Health, Placement, Route, RouterReport
from services.core.routing import Last, RoutingTable, route_table
from services.kit.mirror import Mirror
from services.kit.process import Stop
from services.kit.producer import Producer
from services.kit.wake import Wake
from services.router.haproxy.dataplane import State
from services.router.measures import Measures
from services.router.rollouts import Rollouts

log = structlog.get_logger()

LOOK_S = 0.25  # while calls run or HAProxy is not where it should be
IDLE_LOOK_S = 1.0
REPORT_S = 0.25  # between two reports at least
SWEEP_S = 5.0
_REST = 4  # times as long as it took, so that looking at thousands of models leaves time for other things


class DataPlane(Protocol):
    """What routes the calls. tests/services/router holds HAProxy to it."""

    async def converge(self, wanted: RoutingTable, watched: Set[VersionId]) -> State:
        """Bring it closer to `wanted`, and say how far it is. Idempotent. Raises `Unavailable`."""

    async def look(self, watched: Set[VersionId]) -> tuple[Worker, ...]:
        """The live workers as they are, with what they counted of the versions `watched`. Raises `Unavailable`."""


class Memory(Protocol):
    """What outlasts the router's process."""

    def recall(self) -> Known | None:
        """What was remembered last; None when nothing readable is there."""

    def remember(self, known: Known) -> None:
        """Lasts through a power cut once this returns. Raises `OSError`."""


class Mirrors(msgspec.Struct, frozen=True, kw_only=True):
    """What the router reads of the bus."""

    routes: Mirror[Route]
    placements: Mirror[Placement]
    health: Mirror[Health]

    @property
    def is_whole(self) -> bool:
        return self.routes.is_whole and self.placements.has_listed and self.health.has_listed

    @property
    def seen(self) -> Seen:
        return Seen(
            routes=self.routes.entries,
            removed_routes=self.routes.removed,
            is_whole=self.is_whole,
            placements=self.placements.entries,
            removed_placements=self.placements.removed,
            health=self.health.entries,
        )


class Router:
    """Converges one data plane. Run `route` and `report` side by side."""

    def __init__(
        self,
        router_id: str,
        *,
        mirrors: Mirrors,
        data_plane: DataPlane,
        memory: Memory,
        reports: Producer[RouterReport],
        wake: Wake,
        measures: Measures,
        rollouts: Rollouts,
    ) -> None:
        self._router_id = router_id
        self._mirrors = mirrors
        self._data_plane = data_plane
        self._memory = memory
        self._reports = reports
        self._wake = wake  # rung by the mirrors
        self._measures = measures
        self._rollouts = rollouts
        self._known: Known | None = None
        self._wanted = RoutingTable()
        self._last = Last()
        self._report: RouterReport | None = None
        self._news = Wake()
        self._trouble: str | None = None
        self._is_filled = False

    def check(self) -> str | None:
        """For `/healthz`."""
        return self._trouble

    async def route(self, stop: Stop) -> None:
        """Keep the data plane at what is known, until `stop`. An absent bus or HAProxy is waited for."""
        self._known = await asyncio.to_thread(self._memory.recall)
        if self._known is not None:
            self._wanted = route_table(self._known, self._last)
        while not stop.is_set:
            pause_s = await self._look()
            await self._wake.wait_or(stop, pause_s)

    async def report(self, stop: Stop) -> None:
        """Publish what is in effect when it changed, and put it again should the bus have lost it, until `stop`."""
        while not stop.is_set:
            is_news = await self._news.wait_or(stop, SWEEP_S)
            try:
                if is_news and self._report is not None:
                    await self._reports.publish(self._router_id, _numbered(self._report))
                elif not stop.is_set:
                    await self._reports.sweep()
            except Unavailable as error:
                # The producer remembers what it could not put: a sweep will.
                log.warning("report_delayed", reason=error.reason)
            await stop.wait_for(REPORT_S)

    async def _look(self) -> float:
        """One round; returns the seconds until the next, should nothing change before."""
        began = time.monotonic()
        try:
            await self._learn()
            if self._known is None:
                return IDLE_LOOK_S
            state = await self._data_plane.converge(self._wanted, self._watched(self._known))
        except (Unavailable, OSError) as error:
            self._has_trouble(str(error))
            return LOOK_S
        self._has_trouble(None)
        self._note_filled()
        self._rollouts.add(self._measures.read(state.workers, self._known, state.aimed))
        report = self._seen_in(state, self._known)
        if report != self._report:
            self._report = report
            self._news.ring()
        is_quiet = state.is_settled and not report.in_flight and not report.waiting and not self._measures.is_measuring
        return max(IDLE_LOOK_S if is_quiet else LOOK_S, _REST * (time.monotonic() - began))

    async def _learn(self) -> None:
        """Take in what the bus shows. Who remembers nothing waits until all is there: less would take routes away."""
        if self._known is None and not self._mirrors.is_whole:
            return
        before = self._known
        known = absorb(before or Known(), self._mirrors.seen)
        wanted = route_table(known, self._last)
        is_same = before is not None and (known.routes, known.placements) == (before.routes, before.placements)
        if not is_same or wanted != self._wanted:
            await asyncio.to_thread(self._memory.remember, known)
        begins = before is not None and not is_same and self._measures.notice(before, known)
        self._known, self._wanted = known, wanted
        if begins:
            # Before anything changes: what was counted until now is no part of what begins.
            workers = await self._data_plane.look(self._watched(known))
            self._rollouts.add(self._measures.read(workers, known, wanted))

    def _watched(self, known: Known) -> frozenset[VersionId]:
        return self._measures.watched(known, self._wanted)

    def _seen_in(self, state: State, known: Known) -> RouterReport:
        removed = self._mirrors.routes.removed
        return RouterReport(
            revision=0,  # given when it is published
            router_id=self._router_id,
            routes=effective.routes(known, removed, state.aimed, state.workers),
            placements=effective.placements(known, state.aimed, state.workers),
            in_flight=effective.in_flight(state.workers),
            waiting=effective.waiting(state.workers),
            traffic=self._measures.traffic,
            rejected=state.rejected,
        )

    def _note_filled(self) -> None:
        """Once all entries are here, the garbage collector need not look at them again: they are many, they stay, and
        what replaces them leaves no cycles behind. Looking through thousands of models took longer than an event.
        """
        if not self._is_filled and self._mirrors.is_whole:
            self._is_filled = True
            gc.collect()  # what is garbage already would stay for ever
            gc.freeze()

    def _has_trouble(self, trouble: str | None) -> None:
        if trouble and trouble != self._trouble:
            log.warning("haproxy_lost", reason=trouble)
        elif self._trouble and not trouble:
            log.info("haproxy_found")
        self._trouble = trouble


def _numbered(report: RouterReport) -> Callable[[int], RouterReport]:
    return lambda revision: replace(report, revision=revision)
