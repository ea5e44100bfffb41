"""This file decides who answers which call: what a router knows -> a routing table.

`RoutingTable`  a value: which servers answer which model and label, which tokens open which model
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from services.core import canary
from services.core.ids import VersionId, is_bus_token, is_digest, is_object_id
from services.core.kept import Kept
from services.core.known import Known, current_placements
from services.core.records import Candidate, Health, Instance, InstancePhase, Placement, Route

LATEST = "latest"  # every known model has this label, if only to say that it is stopped
STOPPED = "stopped"  # where a label leads that nobody answers
SILENT_AFTER = 2  # failed probes in a row: at least one whole period without an answer
DEFAULT_TIMEOUT_S = 60.0  # of a version whose model's route is not known yet

_ADDRESS = re.compile(r"(/[^'\x00-\x1f\x7f]{1,96}|[A-Za-z0-9_.-]{1,253}:\d{1,5}|\[[0-9A-Fa-f:.]{2,45}\]:\d{1,5})")


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
    keeps_connections: bool = False  # one may be used for another call


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides about a call. Two tables that are equal treat every call alike."""

    routes: dict[str, str] = {}  # "<model>/<label>" -> a version, or `STOPPED`
    canaries: dict[str, str] = {}  # "<model>/<label>" -> its candidate, as `canary.written` writes it
    open_models: frozenset[str] = frozenset()  # unrestricted: no token is needed
    tokens: frozenset[str] = frozenset()  # "<model>/<SHA-256 of a token that opens it>"
    backends: dict[VersionId, Backend] = {}


class Last:
    """What of the last routing table may be used again, by whoever makes one after the other."""

    def __init__(self) -> None:
        self.entries = Kept()
        self.backends = Kept()


def route_table(known: Known, last: Last | None = None) -> RoutingTable:
    """Who answers which call, as far as is known. Entries that are not of the form they should have are left out.

    With `last` it is made of the same objects as the table before, where nothing changed.
    """
    last = last or Last()
    routes = {key: route for key, route in sorted(known.routes.items()) if is_object_id(key) and key == route.model_id}
    backends = _backends(known, routes, last.backends)
    answering = {version for version, backend in backends.items() if not backend.is_leaving}
    entries = [last.entries.of(key, _entries, route) for key, route in routes.items()]
    last.entries.forget_except(routes)
    return RoutingTable(
        routes={key: version if version in answering else STOPPED for each in entries for key, version in each.labels},
        canaries={
            key: canary.written(candidate)
            for each in entries
            for key, candidate in each.candidates
            if candidate.version_id in answering
        },
        open_models=frozenset(key for key, route in routes.items() if not route.is_restricted),
        tokens=frozenset[str]().union(*(each.tokens for each in entries)),
        backends=backends,
    )


class _Entries(msgspec.Struct, frozen=True, kw_only=True):
    """What one route says, as it stands in maps."""

    labels: tuple[tuple[str, VersionId | None], ...]
    candidates: tuple[tuple[str, Candidate], ...]
    tokens: tuple[str, ...]


def _entries(route: Route) -> _Entries:
    labels: dict[str, VersionId | None] = {LATEST: None, **route.labels}
    return _Entries(
        labels=tuple(
            (f"{route.model_id}/{label}", version) for label, version in sorted(labels.items()) if is_bus_token(label)
        ),
        candidates=tuple(
            (f"{route.model_id}/{label}", candidate)
            for label, candidate in sorted(route.candidates.items())
            if label in route.labels and is_bus_token(label)
        ),
        tokens=tuple(f"{route.model_id}/{each}" for each in route.token_hashes if is_digest(each)),
    )


def _backends(known: Known, routes: Mapping[str, Route], last: Kept) -> dict[VersionId, Backend]:
    placements = {each.version_id: each for each in current_placements(known) if is_object_id(each.version_id)}
    made = {
        version: last.of(version, _backend, placement, _verdicts(placement, known), routes.get(placement.model_id))
        for version, placement in sorted(placements.items())
    }
    last.forget_except(placements)
    return {version: backend for version, backend in made.items() if backend.servers}


def _verdicts(placement: Placement, known: Known) -> tuple[Health | None, ...]:
    """Of its instances."""
    return tuple([known.health.get(each.instance_id) for each in placement.instances])


def _backend(placement: Placement, verdicts: tuple[Health | None, ...], route: Route | None) -> Backend:
    health: dict[str, Health] = {
        each.instance_id: verdict for each, verdict in zip(placement.instances, verdicts, strict=True) if verdict
    }
    alive = [each for each in placement.instances if _is_alive(each)]
    called = {each.instance_id for each in _called(alive, health)}
    return Backend(
        request_timeout_s=DEFAULT_TIMEOUT_S if route is None else route.request_timeout_s,
        has_repeatable_calls=route is not None and route.has_repeatable_calls,
        keeps_connections=all(each.keeps_connections for each in alive),
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
