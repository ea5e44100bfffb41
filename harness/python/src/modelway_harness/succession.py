"""This file is how a worker is followed by a fresh one while it still works: who is next, and when the old one goes.

The fresh one imports, runs `init`, answers the example, and takes the socket's path over; only then is the old one told
to answer who is with it and to end. One worker of an instance at a time; if it does not come up, that is tried later.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress
from random import SystemRandom
from time import monotonic
from typing import TYPE_CHECKING

from .log import log

if TYPE_CHECKING:
    from mmap import mmap

    from .worker import ModelWorker

IMPORTS, ANSWERS_EXAMPLE, READY, DUE, RETIRES = range(5)  # how far a worker has come; from READY on it serves
JITTER = 0.2  # either way, so that workers that began together do not end together
LOAD_S = 300.0  # how long a successor may take to be ready
_CHANCE = SystemRandom()  # the script may have seeded the usual one


def recycle_at(after_calls: int, chance: float) -> float:
    """At how many calls a worker is due, `chance` being from 0 to 1; 0 is never.

    >>> recycle_at(1000, 0.0), recycle_at(1000, 0.5), recycle_at(1000, 1.0), recycle_at(0, 0.5)
    (800.0, 1000.0, 1200.0, inf)
    """
    return after_calls * (1 + JITTER * (2 * chance - 1)) if after_calls else float("inf")


def drawn(after_calls: int) -> float:
    """The same, by chance."""
    return recycle_at(after_calls, _CHANCE.random())


def back_off_s(failures: int) -> float:
    """Seconds until another try, after so many that failed.

    >>> [back_off_s(failures) for failures in (1, 2, 3, 20)]
    [5.0, 10.0, 20.0, 300.0]
    """
    return float(min(300.0, 5.0 * 2 ** min(failures - 1, 10)))


class Succession:
    """Of the workers of one instance; `stages` holds how far each has come, by its slot."""

    def __init__(self, stages: mmap) -> None:
        self._stages = stages
        self._failures = 0
        self._not_before = 0.0

    def turn(self, workers: Collection[ModelWorker]) -> ModelWorker | None:
        """Have a worker go whose successor is ready; the worker that needs a successor now, if there is one."""
        for heir in workers:
            if heir.follows is not None:
                self._hand_over(heir, heir.follows, workers)
                return None
        if monotonic() < self._not_before or any(each.is_retiring for each in workers):
            return None
        return next((each for each in workers if self._stages[each.slot] == DUE), None)

    def note_failure(self, worker: ModelWorker, how: str) -> None:
        """A successor has ended before it was ready. The worker that it was to follow goes on."""
        self._failures += 1
        again_in_s = back_off_s(self._failures)
        self._not_before = monotonic() + again_in_s
        log("successor_failed", worker=worker.index, ended_with=how, again_in_s=f"{again_in_s:g}")

    def _hand_over(self, heir: ModelWorker, old: ModelWorker, workers: Collection[ModelWorker]) -> None:
        if self._stages[heir.slot] < READY:
            if monotonic() > heir.made_at + LOAD_S:
                log("successor_overdue", worker=heir.index, after_s=f"{LOAD_S:g}")
                with suppress(ProcessLookupError):
                    os.kill(heir.pid, signal.SIGKILL)
            return
        heir.follows = None
        self._failures = 0
        if old in workers:  # it may have died meanwhile
            old.is_retiring = True
            self._stages[old.slot] = RETIRES
            log("worker_retires", worker=old.index, pid=old.pid, reason="recycle_after_calls")
