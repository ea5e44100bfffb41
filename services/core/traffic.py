"""This file adds up what versions answered, over all workers of HAProxy, of which each counts for itself and ends.

`Meter` turns what the workers say at one look into what happened since the look before: a `Tally` per version. Tallies
add up to whatever span somebody is interested in: a canary's, a rollout's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core import canary
from services.core.effective import Counters, Worker
from services.core.ids import VersionId
from services.core.records import Traffic
from services.core.routing import STOPPED, RoutingTable


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What one version, or several, answered in a span of time."""

    requests: int = 0
    failures: int = 0
    took_ms: int = 0  # all of them together, about
    longest_wait_ms: int = 0
    longest_call_ms: int = 0
    is_whole: bool = True  # False: a worker of HAProxy ended with calls that nobody knows the end of

    def plus(self, other: Tally) -> Tally:
        return Tally(
            requests=self.requests + other.requests,
            failures=self.failures + other.failures,
            took_ms=self.took_ms + other.took_ms,
            longest_wait_ms=max(self.longest_wait_ms, other.longest_wait_ms),
            longest_call_ms=max(self.longest_call_ms, other.longest_call_ms),
            is_whole=self.is_whole and other.is_whole,
        )


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them in one.

    >>> total([Tally(requests=2, longest_call_ms=5), Tally(requests=1, longest_call_ms=9)]).longest_call_ms
    9
    """
    whole = Tally()
    for each in tallies:
        whole = whole.plus(each)
    return whole


class Meter:
    """What happened between two looks. Show it the workers at every look while anything is watched."""

    def __init__(self) -> None:
        self._before: Mapping[int, Worker] | None = None  # None: not yet, so what is counted already is old

    def read(self, workers: Iterable[Worker]) -> dict[VersionId, Tally]:
        """Version -> its tally since the look before; versions of which nothing is known from then are left out.

        A worker that was not there then began since: all it counted is new. One that is gone took its calls along: cut
        off when it was held, and of an unknown end when it was not.
        """
        now = {each.pid: each for each in workers}
        tallies: dict[VersionId, list[Tally]] = {}
        for pid, worker in now.items():
            for version, counted in worker.counters.items():
                since = self._counted_before(pid, version)
                if since is not None:
                    tallies.setdefault(version, []).append(_since(since, counted))
        for pid, worker in (self._before or {}).items():
            if pid not in now:
                for version in worker.counters:
                    tallies.setdefault(version, []).append(_lost(worker, version))
        self._before = now
        return {version: total(each) for version, each in tallies.items()}

    def _counted_before(self, pid: int, version: VersionId) -> Counters | None:
        """None when it is not known what the worker had counted."""
        if self._before is None:
            return None
        worker = self._before.get(pid)
        return Counters() if worker is None else worker.counters.get(version)


def _since(before: Counters, now: Counters) -> Tally:
    if now.requests < before.requests:  # another worker with the same number
        before = Counters()
    requests = now.requests - before.requests
    return Tally(
        requests=requests,
        failures=max(0, now.failures - before.failures),
        took_ms=requests * now.mean_ms,
        longest_wait_ms=now.longest_wait_ms,
        longest_call_ms=now.longest_call_ms,
    )


def _lost(worker: Worker, version: VersionId) -> Tally:
    calls = worker.calls.get(version, 0)
    return Tally(requests=calls, failures=calls if worker.is_held else 0, is_whole=worker.is_held or not calls)


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of several versions that share labels."""

    shared: frozenset[tuple[str, str, str]]  # route, main version, candidate
    since: datetime
    tally: Tally = Tally()

    @property
    def traffic(self) -> Traffic:
        tally = self.tally
        return Traffic(
            since=self.since,
            requests=tally.requests,
            failures=tally.failures,
            mean_s=tally.took_ms / tally.requests / 1000 if tally.requests else 0.0,
            longest_s=tally.longest_call_ms / 1000,
        )


Sides = Mapping[VersionId, Side]


def shared(table: RoutingTable) -> dict[VersionId, frozenset[tuple[str, str, str]]]:
    """Version -> the labels it tallies with another, each with the main version and the candidate."""
    found: dict[VersionId, set[tuple[str, str, str]]] = {}
    for route, text in table.canaries.items():
        candidate, main = canary.version_of(text), table.routes.get(route, STOPPED)
        for version in (candidate, VersionId(main)):
            if version != STOPPED:
                found.setdefault(version, set()).add((route, main, candidate))
    return {version: frozenset(pairs) for version, pairs in found.items()}


def advance(
    sides: Sides, table: RoutingTable, tallies: Mapping[VersionId, Tally], *, now: datetime
) -> dict[VersionId, Side]:
    """The sides one look later. Who tallies a label with somebody else than before begins anew; another percentage of
    the calls changes nothing.
    """
    after: dict[VersionId, Side] = {}
    for version, pairs in shared(table).items():
        side = sides.get(version)
        if side is None or side.shared != pairs:
            after[version] = Side(shared=pairs, since=now)
        else:
            after[version] = replace(side, tally=side.tally.plus(tallies.get(version, Tally())))
    return after
