"""This file is the language of an HAProxy worker's socket: changes as commands, answers as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from services.core.ids import VersionId, is_object_id
from services.core.rerouting import OPEN, ROUTES, TOKENS, Change, DeleteEntry, MapName, SetEntry, SetServer
from services.core.routing import Backend, RoutingTable, Server

SHOW_INFO = "show info"
SHOW_CALLS = "show stat -1 6 -1"  # of all proxies, the servers and the backends


def command(change: Change) -> str:
    """What brings `change` about in a running worker.

    >>> command(DeleteEntry(TOKENS, "m/h"))
    'del map tokens.map m/h'
    """
    match change:
        case SetEntry(name, key, value, is_new):
            return f"{'add' if is_new else 'set'} map {name.file} {key} {value}"
        case DeleteEntry(name, key):
            return f"del map {name.file} {key}"
        case SetServer(version, server, is_open):
            return f"set server {version}/{server} state {'ready' if is_open else 'maint'}"


def show_map(name: MapName) -> str:
    return f"show map {name.file}"


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself."""

    digest: str  # of the configuration it was started with
    is_stopping: bool


def info(answer: str) -> Info:
    fields = dict(line.partition(": ")[::2] for line in answer.splitlines())
    return Info(digest=fields.get("description", ""), is_stopping=fields.get("Stopping", "0") != "0")


class ServerRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    is_open: bool
    calls: int


class BackendRow(msgspec.Struct, frozen=True, kw_only=True):
    """What `show stat` says of one version."""

    servers: tuple[ServerRow, ...]
    calls: int  # with a server or not


def rows(answer: str) -> dict[VersionId, BackendRow]:
    """`show stat` by version; other proxies are left out."""
    head, *lines = answer.strip().removeprefix("# ").splitlines() or [""]
    if not lines:
        return {}
    at = {name: place for place, name in enumerate(head.split(","))}
    name_at, calls_at, status_at = at["svname"], at["scur"], at["status"]
    servers: dict[VersionId, list[ServerRow]] = {}
    calls: dict[VersionId, int] = {}
    for line in lines:  # there may be ten thousand: only the first of their hundred fields are cut
        fields = line.split(",", status_at + 1)
        version, name = VersionId(fields[0]), fields[name_at]
        if not is_object_id(version):
            continue
        if name == "BACKEND":
            calls[version] = int(fields[calls_at] or 0)
        else:
            is_open = not fields[status_at].startswith("MAINT")
            row = ServerRow(name=name, is_open=is_open, calls=int(fields[calls_at] or 0))
            servers.setdefault(version, []).append(row)
    return {each: BackendRow(servers=tuple(servers.get(each, ())), calls=count) for each, count in calls.items()}


def in_flight(shown: Mapping[VersionId, BackendRow]) -> dict[str, int]:
    """Server -> calls it answers; idle servers are left out."""
    return {server.name: server.calls for row in shown.values() for server in row.servers if server.calls}


def waiting(shown: Mapping[VersionId, BackendRow]) -> dict[VersionId, int]:
    """Version -> calls that are on its backend and not with a server: their body still arrives, or they queue.

    HAProxy writes a backend's servers before its own line, so a call that moves in between counts as waiting, and is
    never missed.
    """
    return {
        version: count
        for version, row in shown.items()
        if (count := row.calls - sum(server.calls for server in row.servers)) > 0
    }


def running(maps: Mapping[MapName, str], shown: Mapping[VersionId, BackendRow]) -> RoutingTable:
    """What a worker does, from its own words. Addresses and timeouts it does not tell; the digest stands for them."""
    entries = {name: dict(_entries(maps[name])) for name in (ROUTES, OPEN, TOKENS)}
    return RoutingTable(
        routes=entries[ROUTES],
        open_models=frozenset(entries[OPEN]),
        tokens=frozenset(entries[TOKENS]),
        backends={version: _backend(row) for version, row in sorted(shown.items())},
    )


def _entries(answer: str) -> Iterator[tuple[str, str]]:
    words: Iterable[list[str]] = (line.split() for line in answer.splitlines())
    return ((each[1], each[2]) for each in words if len(each) == 3 and each[0].startswith("0x"))


def _backend(row: BackendRow) -> Backend:
    servers = tuple(Server(name=each.name, address="", is_open=each.is_open) for each in row.servers)
    return Backend(request_timeout_s=0.0, servers=servers, is_leaving=False)
