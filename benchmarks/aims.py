"""This file is what the comparison with other servers is held to, and why that is missed where it is."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.comparison import Cell, Comparison
from benchmarks.contenders import DIRECT, DIRECT_TCP, FASTAPI, FASTAPI_THREADS, MOSEC, ROUTED
from benchmarks.figures import Figure, number


def aims(found: Comparison, task: str, counts: Sequence[int]) -> tuple[Figure, ...]:
    """A worker against mosec, and with the router before it against mosec and FastAPI, at one task."""
    figures = []
    for count in counts:
        for direct in (DIRECT, DIRECT_TCP):
            cell = Cell(direct, task, count)
            figures.append(found.ratio(cell, MOSEC, "per_second", at_least=1.0))
            figures.append(found.ratio(cell, MOSEC, "median_ms", at_most=1.0))
        routed = Cell(ROUTED, task, count)
        figures.append(found.ratio(routed, MOSEC, "per_second", at_least=0.8))
        figures += [found.ratio(routed, each, "per_second", at_least=3.0) for each in (FASTAPI, FASTAPI_THREADS)]
    return tuple(each for each in figures if each is not None)


def reasons(found: Comparison, task: str, counts: Sequence[int]) -> list[str]:
    """Why aims are missed, as far as it is known; nothing where none is."""
    missed = [each.name for each in aims(found, task, counts) if each.is_met is False]
    behind_router = [name for name in missed if f": {ROUTED} over " in name]
    lines = [_of_router(found, task, max(counts))] if behind_router else []
    lines += [f"- {name}: the reason is not known." for name in missed if name not in behind_router]
    return ["\n".join(["## Why aims are missed", "", *lines])] if lines else []


def _of_router(found: Comparison, task: str, count: int) -> str:
    whole, direct = (found.figure(Cell(name, task, count), "cpu_us", "µs") for name in (ROUTED, DIRECT))
    told = f" ({number(whole.value)} µs a call, {number(direct.value)} without it)" if whole and direct else ""
    return (
        f"- {ROUTED}: HAProxy, which passes each call on, takes CPU of its own{told}, on cores that it shares with the "
        "worker and the generator; the others are asked directly, and check no token. What was done about it, and what "
        "is left, is in [ADR 6](../../docs/adr/0006-a-worker-s-connections-outlive-it.md). Functions that work longer "
        "are in the tables above."
    )
