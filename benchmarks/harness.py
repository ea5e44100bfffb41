"""This file measures one worker of the harness by itself: calls, health beside them, start and memory.

`HARNESS_AGAINST=/other/clone/harness/python/src` measures that one too, in turn, and tells the ratios.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.exchange import request_bytes
from benchmarks.figures import Figure, median, percentile
from benchmarks.instance_alone import READY_S, gunicorn_alone, instance_alone
from benchmarks.stage import Stage
from benchmarks.storm import Outcome, storm

HOW = (
    "One instance with one worker, of a function that returns its argument, on its socket. 16 connections are kept, "
    "and each sends the next call when the last was answered; one more asks for health every 10 ms. Each round is an "
    "instance of its own; values are medians over the rounds. Each round also starts Python with nothing to do, and "
    "gunicorn as it comes, with one worker of a trivial application."
)
ROUNDS = 5
STORM_S = 3.0
CONNECTIONS = 16
SCRIPT = "def predict(x):\n    return x\n"
CALL = request_bytes(
    "POST", "/model", {"X-Modelway-Remaining-Ms": "60000", "X-Modelway-Hold-Ms": "100"}, b'{"data": {"x": 1}}'
)
AGAINST = "HARNESS_AGAINST"


class _Harness:
    """What was seen of one harness, a value a round."""

    def __init__(self, name: str, source: Path | None) -> None:
        self.name = name
        self._source = source
        self.per_second: list[float] = []
        self.outcomes: list[Outcome] = []
        self.start_ms: list[float] = []
        self.memory_mb: list[float] = []
        self.whole_memory_mb: list[float] = []

    def measure(self) -> None:
        with instance_alone(SCRIPT, self._source) as instance:
            outcome = storm(instance.address, CALL, connections=CONNECTIONS, seconds=STORM_S)
            self.start_ms.append(instance.started_s * 1000)
            bare = _bare_bytes()
            self.memory_mb.append((instance.worker.memory_info().rss - bare) / 1e6)
            self.whole_memory_mb.append((instance.memory_bytes - bare) / 1e6)
        self.per_second.append(outcome.per_second)
        self.outcomes.append(outcome)

    def figures(self) -> list[Figure]:
        calls_ms = [statistics.median(each.calls_ms) for each in self.outcomes]
        health_ms = [percentile(each.health_ms, 99) for each in self.outcomes]
        return [
            median(f"calls, {self.name}", self.per_second, "calls/s"),
            median(f"median of a call, {self.name}", calls_ms, "ms"),
            median(f"p99 of health meanwhile, {self.name}", health_ms, "ms", at_most=50),
            median(f"start to healthy, {self.name}", self.start_ms, "ms", at_most=400),
            median(f"memory of the worker over bare Python, {self.name}", self.memory_mb, "MB", at_most=30),
            median(f"the same with its supervisor, {self.name}", self.whole_memory_mb, "MB", at_most=30),
        ]


class _Others:
    """What starting takes where there is no harness."""

    def __init__(self) -> None:
        self.python_ms: list[float] = []
        self.gunicorn_ms: list[float] = []

    def measure(self) -> None:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=READY_S)
        self.python_ms.append((time.perf_counter() - began) * 1000)
        with gunicorn_alone() as instance:
            self.gunicorn_ms.append(instance.started_s * 1000)

    def figures(self, harness: _Harness) -> list[Figure]:
        over = [one - other for one, other in zip(harness.start_ms, self.gunicorn_ms, strict=True)]
        return [
            median("start to end, `python -c pass`", self.python_ms, "ms"),
            median("start to an answer, gunicorn alone", self.gunicorn_ms, "ms"),
            median("start to healthy, here over gunicorn alone", over, "ms more"),
        ]


def run(_: Stage) -> Sequence[Figure]:
    against = os.environ.get(AGAINST)
    harnesses = [_Harness("here", None), *([_Harness("there", Path(against))] if against else [])]
    others = _Others()
    for _round in range(ROUNDS):
        for harness in harnesses:
            harness.measure()
        others.measure()
    figures = [figure for harness in harnesses for figure in harness.figures()] + others.figures(harnesses[0])
    if against:
        here, there = (each.per_second for each in harnesses)
        ratios = [one / other for one, other in zip(here, there, strict=True)]
        figures.append(median("calls, here over there", ratios, "times"))
    return figures


def _bare_bytes() -> int:
    """What Python takes that does nothing, told by itself."""
    tells = "print(open('/proc/self/statm').read().split()[1])"
    done = subprocess.run([sys.executable, "-c", tells], capture_output=True, check=True, timeout=30)
    return int(done.stdout) * os.sysconf("SC_PAGE_SIZE")
