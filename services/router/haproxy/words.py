"""This file is the language of an HAProxy worker's socket: changes as commands, answers as values. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set

import msgspec
from msgspec.structs import replace

from services.core.effective import Counters
from services.core.ids import VersionId, is_object_id
from services.core.rerouting import (
    CANARIES,
    OPEN,
    ROUTES,
    TOKENS,
    Change,
    DeleteEntry,
    MapName,
    SetEntry,
    SetServer,
)
from services.core.routing import Backend, RoutingTable, Server

HELD = "held"  # the frontend through which a worker is kept from ending
SHOW_INFO = "show info"
SHOW_BACKENDS = "show stat -1 2 -1"  # of all proxies
SHOW_CALLS = "show stat -1 6 -1"  # and their servers, each before its backend
SHOW_HELD = f"show stat {HELD} 1 -1"
PEAKS = "peaks.map"  # "<version>/call" and "<version>/wait" -> ms; HAProxy writes it, and it is emptied at every look
SHOW_PEAKS = (f"show map {PEAKS}", f"clear map {PEAKS}", "clear counters")  # the second one leaves sums alone


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


def end_calls(version: VersionId, server: str) -> str:
    """Cut off whoever has a call with the server."""
    return f"shutdown sessions server {version}/{server}"


MAPS = (ROUTES, CANARIES, OPEN, TOKENS)


def show_map(name: MapName) -> str:
    return f"show map {name.file}"


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself."""

    digest: str  # of the configuration it was started with
    is_stopping: bool


def info(answer: str) -> Info:
    fields = dict(line.partition(": ")[::2] for line in answer.splitlines())
    return Info(digest=fields.get("description", ""), is_stopping=fields.get("Stopping", "0") != "0")


def lost_lines(answer: str) -> int:
    """Lines of its log that a worker could not hand over, in its life, from `show info`."""
    fields = dict(line.partition(": ")[::2] for line in answer.splitlines())
    return int(fields.get("DroppedLogs") or 0)


class ServerRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    is_open: bool
    calls: int
    total: int = 0  # calls it was ever given; only of a server that has one


class BackendRow(msgspec.Struct, frozen=True, kw_only=True):
    """What `show stat` says of one version."""

    servers: tuple[ServerRow, ...]
    calls: int  # with a server or not
    counters: Counters | None  # None: nobody asked


MANY = 100  # versions for which one long answer is cheaper than so many questions


def show_calls(versions: Collection[VersionId]) -> Iterable[str]:
    """What asks for the calls of these versions, and maybe of others."""
    return (SHOW_CALLS,) if len(versions) > MANY else (f"show stat {each} 6 -1" for each in versions)


def stats_and_peaks(answer: str) -> tuple[str, str]:
    """The answers to `show_calls`, as one, and to `SHOW_PEAKS`."""
    blocks = [each.lstrip() for each in answer.split("\n\n")]
    tables = [each for each in blocks if each.startswith("# ")]
    lines = [line for each in tables for line in each.splitlines()[1:]]
    head = tables[0].partition("\n")[0] if tables else ""
    return "\n".join((head, *lines)), "\n".join(each for each in blocks if not each.startswith("# "))


def rows(answer: str, watched: Set[VersionId] = frozenset()) -> dict[VersionId, BackendRow]:
    """`show stat` by version, with counters of those `watched`; other proxies are left out."""
    head, *lines = answer.strip().removeprefix("# ").splitlines() or [""]
    if not lines:
        return {}
    at = {name: place for place, name in enumerate(head.split(","))}
    name_at, calls_at, total_at, status_at = at["svname"], at["scur"], at["stot"], at["status"]
    servers: dict[VersionId, list[ServerRow]] = {}
    backends: dict[VersionId, tuple[int, Counters | None]] = {}
    for line in lines:  # there may be ten thousand: only the first of their hundred fields are cut
        fields = line.split(",", status_at + 1)
        version, name = VersionId(fields[0]), fields[name_at]
        if not is_object_id(version):
            continue
        calls = int(fields[calls_at] or 0)
        if name == "BACKEND":
            backends[version] = calls, _counters(at, line) if version in watched else None
        else:
            is_open = not fields[status_at].startswith("MAINT")
            total = int(fields[total_at]) if calls else 0
            servers.setdefault(version, []).append(ServerRow(name=name, is_open=is_open, calls=calls, total=total))
    return {
        version: BackendRow(servers=tuple(servers.get(version, ())), calls=calls, counters=counters)
        for version, (calls, counters) in backends.items()
    }


_ANSWERED = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx")
_UNTIL_ANSWER = ("qtime", "ctime", "rtime")  # not `ttime`: it counts from the end of the connection's call before


def _counters(at: Mapping[str, int], line: str) -> Counters:
    """A call that its caller broke off has some status, or none; it is no answer."""
    fields = line.split(",")

    def number(name: str) -> int:
        return int(fields[at[name]] or 0)

    return Counters(
        requests=max(0, sum(map(number, _ANSWERED)) - number("cli_abrt")),
        failures=number("hrsp_5xx") + number("srv_abrt"),
        mean_ms=sum(map(number, _UNTIL_ANSWER)),
        longest_wait_ms=number("qtime_max"),
    )


def with_peaks(shown: Mapping[VersionId, BackendRow], answer: str) -> dict[VersionId, Counters]:
    """The counters in `shown`, with what `show map` says of the longest calls.

    HAProxy's own longest wait is of calls that a worker took; of one that found none in time, the map knows.
    """
    peaks: dict[str, int] = {}
    for key, text in _entries(answer):  # one may be there twice, when two calls added it at once
        peaks[key] = max(peaks.get(key, 0), int(text))
    return {
        version: replace(
            row.counters,
            longest_wait_ms=max(row.counters.longest_wait_ms, peaks.get(f"{version}/wait", 0)),
            longest_call_ms=peaks.get(f"{version}/call", 0),
        )
        for version, row in shown.items()
        if row.counters is not None
    }


def frontend_calls(answer: str) -> int:
    """Connections of the one frontend that `show stat` was asked for; 0 when there is none of that name."""
    head, *lines = answer.strip().removeprefix("# ").splitlines() or [""]
    fields = dict(zip(head.split(","), lines[0].split(","), strict=False)) if lines else {}
    return int(fields.get("scur") or 0)


def in_flight(shown: Mapping[VersionId, BackendRow]) -> dict[str, int]:
    """Server -> calls it answers; idle servers are left out."""
    return {server.name: server.calls for row in shown.values() for server in row.servers if server.calls}


def calls(shown: Mapping[VersionId, BackendRow]) -> dict[VersionId, int]:
    """Version -> calls that are on its backend, with a server or not; versions without any are left out."""
    return {version: row.calls for version, row in shown.items() if row.calls}


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
    entries = {name: dict(_entries(maps[name])) for name in MAPS}
    return RoutingTable(
        routes=entries[ROUTES],
        canaries=entries[CANARIES],
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
