"""This file is the way from one routing table to the next: what a running HAProxy worker can be told, in which order.

`within`   as much of a table as a worker can do without a reload
`changes`  the commands that take it there, in an order no caller notices
`without`  a table that does with fewer versions
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from services.core import canary
from services.core.ids import VersionId
from services.core.routing import STOPPED, Backend, RoutingTable


def within(wanted: RoutingTable, running: RoutingTable) -> RoutingTable:
    """As much of `wanted` as a worker that does `running` can do without a reload.

    It has the servers it was started with. Those of a version that leaves, or is gone, stay open: nothing leads there,
    and the calls that wait there are still to be answered.
    """
    routes = {key: _reachable(key, target, running) for key, target in wanted.routes.items()}
    canaries = {key: _tried(key, text, running) for key, text in wanted.canaries.items()}
    return replace(
        wanted,
        routes={key: target for key, target in routes.items() if target is not None},
        canaries={key: text for key, text in canaries.items() if text is not None},
        backends={version: _adjusted(each, wanted.backends.get(version)) for version, each in running.backends.items()},
    )


def _reachable(key: str, target: str, running: RoutingTable) -> str | None:
    return target if target == STOPPED or target in running.backends else running.routes.get(key)


def _tried(key: str, text: str, running: RoutingTable) -> str | None:
    return text if canary.version_of(text) in running.backends else running.canaries.get(key)


def _adjusted(running: Backend, wanted: Backend | None) -> Backend:
    if wanted is None or wanted.is_leaving:
        return running
    is_open = {server.name: server.is_open for server in wanted.servers}
    if not running.is_leaving and all(is_open.get(each.name, False) is each.is_open for each in running.servers):
        return running
    servers = tuple(replace(server, is_open=is_open.get(server.name, False)) for server in running.servers)
    return replace(running, servers=servers, is_leaving=False)


class MapName(msgspec.Struct, frozen=True):
    """A map HAProxy looks things up in; `file` is its name too."""

    file: str


ROUTES, CANARIES = MapName("routes.map"), MapName("canaries.map")
OPEN, TOKENS = MapName("open.map"), MapName("tokens.map")


class SetEntry(msgspec.Struct, frozen=True):
    map: MapName
    key: str
    value: str
    is_new: bool


class DeleteEntry(msgspec.Struct, frozen=True):
    map: MapName
    key: str


class SetServer(msgspec.Struct, frozen=True):
    version_id: VersionId
    server: str
    is_open: bool


Change = SetEntry | DeleteEntry | SetServer


def entries(table: RoutingTable) -> dict[MapName, dict[str, str]]:
    """What stands in the maps."""
    return {
        ROUTES: table.routes,
        CANARIES: table.canaries,
        OPEN: dict.fromkeys(table.open_models, "1"),
        TOKENS: dict.fromkeys(table.tokens, "1"),
    }


def changes(running: RoutingTable, wanted: RoutingTable) -> tuple[Change, ...]:
    """What takes a worker from `running` to `wanted`, which must have the same servers (see `within`).

    What opens comes first, then the routes, then what closes: no label leads where nobody answers yet, and no model is
    restricted before its tokens open it.
    """
    before, after = entries(running), entries(wanted)
    servers = list(_server_changes(running, wanted))
    return (
        *(each for each in servers if each.is_open),
        *_set(TOKENS, before, after),
        *_set(OPEN, before, after),
        *_set(ROUTES, before, after),
        *_set(CANARIES, before, after),
        *_deleted(CANARIES, before, after),
        *_deleted(ROUTES, before, after),
        *_deleted(OPEN, before, after),
        *_deleted(TOKENS, before, after),
        *(each for each in servers if not each.is_open),
    )


Maps = Mapping[MapName, Mapping[str, str]]


def _set(name: MapName, before: Maps, after: Maps) -> Iterator[SetEntry]:
    old, new = before[name], after[name]
    differing = () if old == new else sorted(key for key, value in new.items() if old.get(key) != value)
    return (SetEntry(name, key, new[key], key not in old) for key in differing)


def _deleted(name: MapName, before: Maps, after: Maps) -> Iterator[DeleteEntry]:
    return (DeleteEntry(name, key) for key in sorted(before[name].keys() - after[name].keys()))


def _server_changes(running: RoutingTable, wanted: RoutingTable) -> Iterator[SetServer]:
    for version, backend in wanted.backends.items():
        if backend is running.backends[version]:
            continue
        was_open = {server.name: server.is_open for server in running.backends[version].servers}
        for server in backend.servers:
            if was_open[server.name] is not server.is_open:
                yield SetServer(version, server.name, server.is_open)


def without(table: RoutingTable, versions: Iterable[VersionId]) -> RoutingTable:
    """`table` with some versions set aside: labels that led to them find nobody ready, and candidates get no call."""
    aside = set(versions)
    return replace(
        table,
        routes={key: STOPPED if target in aside else target for key, target in table.routes.items()},
        canaries={key: text for key, text in table.canaries.items() if canary.version_of(text) not in aside},
        backends={version: each for version, each in table.backends.items() if version not in aside},
    )
