"""This file is what a router measures of the calls it sees: canaries, and what rollouts cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from services.core import receipts, traffic
from services.core.effective import Worker
from services.core.ids import VersionId
from services.core.known import Known
from services.core.receipts import Look, Moment
from services.core.records import Rollout, Traffic
from services.core.routing import RoutingTable

TRAFFIC_S = 1.0  # between two figures of a canary: each is another report on the bus


class Measures:
    """Lives as long as the router's process. `notice` every step of what is known, `read` every look."""

    def __init__(self, router_id: str, now: Callable[[], datetime]) -> None:
        self._router_id = router_id
        self._now = now
        self._meter = traffic.Meter()
        self._sides: traffic.Sides = {}
        self._opens: receipts.Opens = {}
        self._beginning: receipts.Opens = {}  # what the next reading tells was before them
        self._told: dict[VersionId, Traffic] = {}
        self._told_at_s = -TRAFFIC_S

    @property
    def is_measuring(self) -> bool:
        """A rollout is under way: who looks rarely measures badly."""
        return bool(self._opens or self._beginning)

    def notice(self, before: Known, after: Known) -> bool:
        """Take in a step of what is known; true when it begins something. The next `read` is no part of that yet: it
        should be of the workers as they are before anything changes.
        """
        moment = Moment(self._now(), time.monotonic())
        opens = receipts.begin(self._all_opens, self._router_id, before, after, moment)
        has_begun = len(opens) > len(self._all_opens)
        self._beginning = {name: each for name, each in opens.items() if name not in self._opens}
        return has_begun

    @property
    def _all_opens(self) -> receipts.Opens:
        return {**self._opens, **self._beginning}

    def watched(self, known: Known, table: RoutingTable) -> frozenset[VersionId]:
        """The versions whose counters are wanted."""
        return receipts.versions(self._all_opens, known) | traffic.shared(table).keys()

    def read(self, workers: tuple[Worker, ...], known: Known, aimed: RoutingTable) -> tuple[Rollout, ...]:
        """What is over with this look."""
        tallies = self._meter.read(workers)
        look = Look(known=known, aimed=aimed, workers=workers, tallies=tallies, now_s=time.monotonic())
        left, done = receipts.advance(self._opens, self._router_id, look)
        self._opens, self._beginning = {**self._beginning, **left}, {}
        self._sides = traffic.advance(self._sides, aimed, tallies, now=self._now())
        return done

    @property
    def traffic(self) -> dict[VersionId, Traffic]:
        """For the report: of each version that shares a label."""
        is_due = time.monotonic() - self._told_at_s >= TRAFFIC_S
        if is_due or self._told.keys() != self._sides.keys():
            self._told = {version: side.traffic for version, side in sorted(self._sides.items())}
            self._told_at_s = time.monotonic()
        return self._told
