"""This file finds callers that hold a worker hostage: they send a body, or take an answer, byte by byte without end.

No timeout of HAProxy ends such a call, for something moves all the time, and the instance has long done its part, or
cannot begin. A server works on one call at a time, so the one that it has is the one to be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from services.core.deadlines import hard_stop_after_s
from services.core.ids import VersionId
from services.router.haproxy.words import BackendRow


def longest_s(request_timeout_s: float) -> float:
    """How long one call may be with a server: as long as a reload would let it live."""
    return hard_stop_after_s((request_timeout_s,))


class Overdue:
    """Remembers since when each server has had the same call. Asked at every look at a worker of HAProxy."""

    def __init__(self, limit_s: Callable[[float], float] = longest_s) -> None:
        self._limit_s = limit_s
        self._since: dict[int, dict[str, tuple[int, float]]] = {}

    def look(
        self, pid: int, shown: Mapping[VersionId, BackendRow], timeouts_s: Mapping[VersionId, float], now_s: float
    ) -> list[tuple[VersionId, str]]:
        """The servers whose call is to be cut; `timeouts_s` are the request timeouts of the versions."""
        before, self._since[pid] = self._since.get(pid, {}), {}
        found = []
        for version, server, total in _busy(shown):
            known = before.get(server)
            since_s = known[1] if known is not None and known[0] == total else now_s
            self._since[pid][server] = total, since_s
            if version in timeouts_s and now_s - since_s > self._limit_s(timeouts_s[version]):
                found.append((version, server))
        return found

    def forget(self, pid: int) -> None:
        self._since.pop(pid, None)


def _busy(shown: Mapping[VersionId, BackendRow]) -> Iterator[tuple[VersionId, str, int]]:
    for version, row in shown.items():
        yield from ((version, server.name, server.total) for server in row.servers if server.calls)
