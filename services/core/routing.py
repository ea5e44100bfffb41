"""This file decides who answers which call: routes + placements + health -> a routing table, and what changed in it.

`Known`         the entries a router knows, remembered over its own restarts and over a bus without memory
`RoutingTable`  a value: which servers answer which model and label, which tokens open which model
`within`        as much of a table as an HAProxy worker can do without a reload
`changes`       the commands that take a running worker there, in an order no caller notices
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from services.core import canary
from services.core.ids import VersionId, is_bus_token, is_digest, is_object_id
from services.core.records import Health, Instance, InstancePhase, Placement, Record, Removed, Route

LATEST = "latest"  # every known model has this label, if only to say that it is stopped
STOPPED = "stopped"  # where a label leads that nobody answers
SILENT_AFTER = 2  # failed probes in a row: at least one whole period without an answer
DEFAULT_TIMEOUT_S = 60.0  # of a version whose model's route is not known yet

_ADDRESS = re.compile(r"(/[^'\x00-\x1f\x7f]{1,96}|[A-Za-z0-9_.-]{1,253}:\d{1,5}|\[[0-9A-Fa-f:.]{2,45}\]:\d{1,5})")

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
    """
    routes = _newer(known.routes, seen.routes, seen.removed_routes)
    placements = _newer(known.placements, seen.placements, seen.removed_placements)
    if seen.is_whole:
        routes = {key: route for key, route in routes.items() if key in seen.routes}
        led_to = {version for route in routes.values() for version in _led_to(route)}
        placements = {
            key: each for key, each in placements.items() if key in seen.placements or each.version_id in led_to
        }
    placed = {each.instance_id for placement in placements.values() for each in placement.instances}
    health = {key: each for key, each in _newer(known.health, seen.health, {}).items() if key in placed}
    return Known(routes=routes, placements=placements, health=health)


def _led_to(route: Route) -> Iterator[VersionId]:
    yield from (version for version in route.labels.values() if version is not None)
    yield from (candidate.version_id for candidate in route.candidates.values())


def _newer(known: Mapping[str, R], seen: Mapping[str, R], removed: Mapping[str, Removed]) -> dict[str, R]:
    newest = dict(known)
    for key, value in seen.items():
        if key not in newest or newest[key].revision <= value.revision:
            newest[key] = value
    gone = [key for key, value in newest.items() if key in removed and removed[key].revision >= value.revision]
    return {key: value for key, value in newest.items() if key not in gone}


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One worker of one instance."""

    name: str  # <instance>.<worker>
    address: str  # the absolute path of a Unix socket, or host:port
    is_open: bool  # may be given new calls


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What answers for one version."""

    request_timeout_s: float
    servers: tuple[Server, ...]
    is_leaving: bool  # every instance drains: no label leads here, the calls that wait here are still answered
    has_repeatable_calls: bool = False  # a call whose instance ends before it answered may run again on another


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides about a call. Two tables that are equal treat every call alike."""

    routes: dict[str, str] = {}  # "<model>/<label>" -> a version, or `STOPPED`
    canaries: dict[str, str] = {}  # "<model>/<label>" -> its candidate, as `canary.written` writes it
    open_models: frozenset[str] = frozenset()  # unrestricted: no token is needed
    tokens: frozenset[str] = frozenset()  # "<model>/<SHA-256 of a token that opens it>"
    backends: dict[VersionId, Backend] = {}


def route_table(known: Known) -> RoutingTable:
    """Who answers which call, as far as is known. Entries that are not of the form they should have are left out."""
    routes = {key: route for key, route in sorted(known.routes.items()) if is_object_id(key) and key == route.model_id}
    backends = _backends(known, routes)
    answering = {version for version, backend in backends.items() if not backend.is_leaving}
    return RoutingTable(
        routes={
            f"{key}/{label}": version if version in answering else STOPPED
            for key, route in routes.items()
            for label, version in _labels(route)
        },
        canaries={
            f"{key}/{label}": canary.written(candidate)
            for key, route in routes.items()
            for label, candidate in sorted(route.candidates.items())
            if label in route.labels and is_bus_token(label) and candidate.version_id in answering
        },
        open_models=frozenset(key for key, route in routes.items() if not route.is_restricted),
        tokens=frozenset(
            f"{key}/{each}" for key, route in routes.items() for each in route.token_hashes if is_digest(each)
        ),
        backends=backends,
    )


def _labels(route: Route) -> Iterator[tuple[str, VersionId | None]]:
    labels: dict[str, VersionId | None] = {LATEST: None, **route.labels}
    return ((label, version) for label, version in sorted(labels.items()) if is_bus_token(label))


def _backends(known: Known, routes: Mapping[str, Route]) -> dict[VersionId, Backend]:
    by_model: dict[str, Route] = {route.model_id: route for route in routes.values()}
    made = {
        placement.version_id: _backend(placement, known.health, by_model.get(placement.model_id))
        for placement in current_placements(known)
        if is_object_id(placement.version_id)
    }
    return {version: backend for version, backend in sorted(made.items()) if backend.servers}


def current_placements(known: Known) -> Iterable[Placement]:
    """One placement a version: of the newest generation, should two deployers have one."""
    newest: dict[VersionId, Placement] = {}
    for each in known.placements.values():
        other = newest.get(each.version_id)
        if other is None or (other.generation, other.revision) < (each.generation, each.revision):
            newest[each.version_id] = each
    return newest.values()


def _backend(placement: Placement, health: Mapping[str, Health], route: Route | None) -> Backend:
    alive = [each for each in placement.instances if _is_alive(each)]
    called = {each.instance_id for each in _called(alive, health)}
    return Backend(
        request_timeout_s=DEFAULT_TIMEOUT_S if route is None else route.request_timeout_s,
        has_repeatable_calls=route is not None and route.has_repeatable_calls,
        servers=tuple(
            Server(name=f"{each.instance_id}.{worker}", address=address, is_open=each.instance_id in called)
            for each in sorted(alive, key=lambda each: each.instance_id)
            for worker, address in enumerate(each.addresses)
        ),
        is_leaving=all(each.phase is InstancePhase.DRAINING for each in alive),
    )


def _is_alive(instance: Instance) -> bool:
    """Exists, and can be written down: a strange address must not spoil the configuration for everyone."""
    return (
        instance.phase is not InstancePhase.EXITED
        and is_bus_token(instance.instance_id)
        and all(_ADDRESS.fullmatch(each) for each in instance.addresses)
    )


def _called(alive: list[Instance], health: Mapping[str, Health]) -> list[Instance]:
    """Those that are ready, without those that have been silent for a while, unless all of them have.

    A silent one may be busy rather than lost, so it is not given up yet; but others answer sooner.
    """
    ready = [each for each in alive if _is_ready(each, health)]
    steady = [each for each in ready if not _is_silent(health.get(each.instance_id))]
    return steady or ready


def _is_silent(verdict: Health | None) -> bool:
    return verdict is not None and verdict.failures >= SILENT_AFTER


def _is_ready(instance: Instance, health: Mapping[str, Health]) -> bool:
    verdict = health.get(instance.instance_id)
    if instance.phase is InstancePhase.DRAINING:
        return False
    return instance.phase is InstancePhase.RUNNING if verdict is None else verdict.is_ready


def without(table: RoutingTable, versions: Iterable[VersionId]) -> RoutingTable:
    """`table` with some versions set aside: labels that led to them find nobody ready, and candidates get no call."""
    aside = set(versions)
    return replace(
        table,
        routes={key: STOPPED if target in aside else target for key, target in table.routes.items()},
        canaries={key: text for key, text in table.canaries.items() if canary.version_of(text) not in aside},
        backends={version: each for version, each in table.backends.items() if version not in aside},
    )
