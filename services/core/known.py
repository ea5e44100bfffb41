"""This file is what a router knows: the newest entries of the bus, kept over its restarts and a bus without memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from services.core.ids import VersionId
from services.core.records import Health, Placement, Record, Removed, Route

R = TypeVar("R", bound=Record)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the bus shows now."""

    routes: Mapping[str, Route]
    removed_routes: Mapping[str, Removed]
    is_whole: bool  # `routes` holds all there are; until then a missing one means "unknown"
    placements: Mapping[str, Placement]
    removed_placements: Mapping[str, Removed]
    health: Mapping[str, Health]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The newest entries a router has ever seen, by their keys on the bus."""

    routes: dict[str, Route] = {}
    placements: dict[str, Placement] = {}
    health: dict[str, Health] = {}


def absorb(known: Known, seen: Seen) -> Known:
    """`known`, brought up to date: newer entries win, tombstones remove, and what merely vanished is kept.

    Only a bucket that is whole may take a route away by not having it. A placement nobody leads to goes with it.
    A label does not move to a version whose placement is still to come: buckets are heard in any order.
    """
    placements = _newer(known.placements, seen.placements, seen.removed_placements)
    routes = _newer(known.routes, seen.routes, seen.removed_routes)
    if routes is not known.routes:
        routes = _in_time(known.routes, routes, {each.version_id for each in placements.values()})
    if seen.is_whole:
        routes = _without(routes, routes.keys() - seen.routes.keys())
        placements = _without(placements, _abandoned(placements, placements.keys() - seen.placements.keys(), routes))
    health = _newer(known.health, seen.health, {})
    if placements is not known.placements or health is not known.health:
        placed = {each.instance_id for placement in placements.values() for each in placement.instances}
        health = _without(health, health.keys() - placed)
    return Known(routes=routes, placements=placements, health=health)


def _in_time(before: dict[str, Route], after: dict[str, Route], placed: Set[VersionId]) -> dict[str, Route]:
    """`after`; where a label would move from a version that is placed to one that is not yet, it stays where it was.

    All else of such a route holds at once: a revoked token opens nothing meanwhile. Its revision is the earlier one, so
    that nobody takes it to be in effect.
    """
    return {
        key: replace(route, labels=earlier.labels, candidates=earlier.candidates, revision=earlier.revision)
        if (earlier := before.get(key)) is not None and earlier is not route and _is_early(earlier, route, placed)
        else route
        for key, route in after.items()
    }


def _is_early(before: Route, after: Route, placed: Set[VersionId]) -> bool:
    moved = ((before.labels.get(label), version) for label, version in after.labels.items())
    return any(
        version is not None and version not in placed and earlier in placed
        for earlier, version in moved
        if earlier != version
    )


def _abandoned(placements: Mapping[str, Placement], absent: Set[str], routes: Mapping[str, Route]) -> set[str]:
    """Those of `absent` that nobody leads to."""
    led_to = {version for route in routes.values() for version in _led_to(route)} if absent else set()
    return {key for key in absent if placements[key].version_id not in led_to}


def _led_to(route: Route) -> Iterator[VersionId]:
    yield from (version for version in route.labels.values() if version is not None)
    yield from (candidate.version_id for candidate in route.candidates.values())


def _newer(known: dict[str, R], seen: Mapping[str, R], removed: Mapping[str, Removed]) -> dict[str, R]:
    """`known` itself, when there is nothing newer."""
    newer = {
        key: value
        for key, value in seen.items()
        if (mine := known.get(key)) is not value and (mine is None or mine.revision <= value.revision)
    }
    newest = {**known, **newer} if newer else known
    return _without(
        newest, {key for key in removed.keys() & newest.keys() if removed[key].revision >= newest[key].revision}
    )


def _without(entries: dict[str, R], gone: Set[str]) -> dict[str, R]:
    return {key: value for key, value in entries.items() if key not in gone} if gone else entries


def current_placements(known: Known) -> Iterable[Placement]:
    """One placement a version: of the newest generation, should two deployers have one."""
    newest: dict[VersionId, Placement] = {}
    for each in known.placements.values():
        other = newest.get(each.version_id)
        if other is None or (other.generation, other.revision) < (each.generation, each.revision):
            newest[each.version_id] = each
    return newest.values()
