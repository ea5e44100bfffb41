"""This file measures `make up`: from nothing to a called example, and again when everything is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.figures import Figure, median
from benchmarks.stage import Stage
from tests.e2e.platform import Platform, platform

HOW = (
    "What `make up` runs, until it returns: it has then called examples/iris, which trains a scikit-learn classifier "
    "in each of its instances. First: an empty home, wheels in uv's cache. Warm: after `make down`. Running: nothing "
    "to do."
)
REPEATS = 3


def run(stage: Stage) -> Sequence[Figure]:
    with platform() as running:  # a home of its own: others must not have filled it
        first = [_timed(lambda: _with_example(running))]
        warm, down, again = [], [], []
        for _ in range(REPEATS):
            down.append(_timed(running.down))
            warm.append(_timed(lambda: _with_example(running)))
            again.append(_timed(lambda: _with_example(running)))
    return (
        median("make up, first example", first, "s"),
        median("make up, warm", warm, "s"),
        median("make up, running", again, "s"),
        median("make down", down, "s"),
    )


def _with_example(running: Platform) -> None:
    ran = running.embedded("up")
    if ran.code != 0:
        raise RuntimeError(f"make up failed: {ran.err}{ran.out}")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
