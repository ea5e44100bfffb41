"""This file is how the supervisor keeps one worker from using up the memory of all: it looks at what they hold, and
names the one that has to go before the instance holds more than it may.

The platform ends an instance that is beyond its limit as a whole. It measures as is done here: a page that n processes
share counts an n-th in each. To find that out takes longer the more a process holds, so what is resident is asked
first, which is never less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic

LOOK_S = 0.5
NEAR_S = 0.1  # the same, where not much is left
NEAR = 0.7  # of the limit
MOST = 0.95  # of the limit, that all may hold together
_COST = 0.02  # of the time, that may be spent on looking
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Measure = Callable[[int], int]


class Guard:
    """Over an instance that may hold `limit_bytes`; 0 is not known, and nothing is done."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._due = 0.0 if limit_bytes else float("inf")

    def next_s(self) -> float:
        """Seconds until it is time to look."""
        return max(0.0, self._due - monotonic())

    def look(self, shared: Iterable[int], workers: Iterable[int]) -> tuple[int, int] | None:
        """Which of `workers` has to go, by its process id, and what it holds; None while there is memory left, and
        before it is time to look. `shared` are the processes that serve all of them.
        """
        began = monotonic()
        if began < self._due:
            return None
        families = {pid: family(pid) for pid in workers}
        others = list(shared)
        total = _sum(others, resident_bytes) + sum(_sum(each, resident_bytes) for each in families.values())
        most = self._limit_bytes * MOST
        held: dict[int, int] = {}
        if total > most:
            held = {pid: _sum(each, share_bytes) for pid, each in families.items()}
            total = _sum(others, share_bytes) + sum(held.values())
        took_s = monotonic() - began
        is_near = total > self._limit_bytes * NEAR
        self._due = began + max(NEAR_S if is_near else LOOK_S, took_s / _COST)
        return largest(held) if total > most else None


def largest(held: Mapping[int, int]) -> tuple[int, int] | None:
    """Who holds the most.

    >>> largest({7: 10, 8: 30, 9: 20}), largest({})
    ((8, 30), None)
    """
    return max(held.items(), key=lambda each: each[1], default=None)


def family(pid: int) -> list[int]:
    """A process and those that it has started, as far as their parents still live. None where that is not told."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{each}/task"):
                found += map(int, _read(f"/proc/{each}/task/{thread}/children").split())
    return found


def resident_bytes(pid: int) -> int:
    """What a process holds, and shares with others; 0 when it has ended."""
    with suppress(OSError, ValueError, IndexError):
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE_BYTES
    return 0


def share_bytes(pid: int) -> int:
    """The same, but a page that n processes share counts an n-th."""
    with suppress(OSError, ValueError):
        for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return resident_bytes(pid)  # it may not be asked


def _sum(processes: Iterable[int], measure: Measure) -> int:
    return sum(map(measure, processes))


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall()
