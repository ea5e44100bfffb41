"""This file is the order in which an instance is taken away: routed out, effective everywhere, idle, stopped.

    1. every router has the route that no longer leads here      (a version that is stopped or replaced)
    2. the placement says DRAINING, at some revision
    3. every router has that revision in effect, old HAProxy workers included
    4. no call is in flight on the instance, or its drain time is over
    5. it is stopped

A router counts when its heart beats or when it ever reported: its HAProxy serves on without it. One that is silent
holds the drain for `HOLD_S`, one that lives and lags for its drain time on top.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from services.core.ids import InstanceId, VersionId
from services.core.records import RouterReport

HOLD_S = 30.0


class Routers(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the routers now."""

    reports: Mapping[str, RouterReport]
    live: frozenset[str]  # those whose heart beats

    def behind(self, is_effective: Callable[[RouterReport], bool]) -> tuple[str, ...]:
        """The routers that do not show it in effect, by name."""
        known = sorted(self.live | self.reports.keys())
        return tuple(each for each in known if each not in self.reports or not is_effective(self.reports[each]))

    def holding(self, behind: tuple[str, ...], *, since: datetime, now: datetime, drain_s: float) -> tuple[str, ...]:
        """Those of `behind` that are still worth waiting for when the wait began at `since`."""
        waited = now - since
        return tuple(
            each for each in behind if waited < timedelta(seconds=HOLD_S + (drain_s if each in self.live else 0.0))
        )


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How far one instance has come."""

    since: datetime
    marked_at: int = 0  # the revision of the first placement that says DRAINING; 0: not published yet
    effective_since: datetime | None = None

    def marked(self, revision: int) -> Drain:
        return self if self.marked_at else replace(self, marked_at=revision)


def advance(
    drain: Drain, instance_id: InstanceId, version_id: VersionId, routers: Routers, *, now: datetime, drain_s: float
) -> tuple[Drain, bool]:
    """The drain one look later, and whether it is over: the instance may be stopped."""
    if not drain.marked_at:
        return drain, False
    behind = routers.behind(lambda report: report.placements.get(version_id, 0) >= drain.marked_at)
    if drain.effective_since is None:
        if routers.holding(behind, since=drain.since, now=now, drain_s=drain_s):
            return drain, False
        drain = replace(drain, effective_since=now)
    is_idle = not behind and not any(report.in_flight.get(instance_id) for report in routers.reports.values())
    return drain, is_idle or now - (drain.effective_since or now) >= timedelta(seconds=drain_s)


def held_reason(names: tuple[str, ...]) -> str:
    """For the deployment log: which routers a drain waits for."""
    return f"waiting for {', '.join(names)} to route around what is being stopped"
