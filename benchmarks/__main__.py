"""This file runs benchmarks: `python -m benchmarks` all that are quick, `python -m benchmarks calls api` these two."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from benchmarks import api, calls, changes, growth, harness, idle, many, peers, publish, reads, up
from benchmarks.figures import RESULTS, Figure, Found, Result
from benchmarks.machine import describe
from benchmarks.stage import Stage

# In this order: `idle` looks at a platform on which nothing has happened yet.
BENCHMARKS: dict[str, tuple[Callable[[Stage], Sequence[Figure] | Found], str]] = {
    module.__name__.rpartition(".")[2]: (module.run, module.HOW)
    for module in (idle, publish, calls, harness, up, reads, growth, changes, many, peers, api)
}
LONG = ("api",)  # only when asked for: it fills a database for ten minutes


def main(names: Sequence[str]) -> int:
    if unknown := set(names) - BENCHMARKS.keys():
        sys.stderr.write(f"There is no benchmark {', '.join(sorted(unknown))}: there are {', '.join(BENCHMARKS)}.\n")
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with Stage() as stage:
        for name in names or [each for each in BENCHMARKS if each not in LONG]:
            result = measure(name, stage)
            result.write(RESULTS)
            sys.stdout.write(f"\n{result.page()}")
            sys.stdout.flush()
    return 0


def measure(name: str, stage: Stage) -> Result:
    """One benchmark, run now."""
    run, how = BENCHMARKS[name]
    machine, began = describe(), time.perf_counter()
    found = run(stage)
    if not isinstance(found, Found):
        found = Found(figures=tuple(found))
    return Result(
        name=name,
        how=how,
        measured_at=datetime.now(UTC),
        took_s=time.perf_counter() - began,
        machine=machine,
        figures=found.figures,
        tables=found.tables,
        notes=found.notes,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
