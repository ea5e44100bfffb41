"""This file is what follows from the rounds of a comparison: medians, ratios within a round, tables, a chart's bars."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.figures import Figure, Row, Table, median


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One server in one round. `cpu_us` is what a call took of all its processes."""

    per_second: float
    median_ms: float
    p99_ms: float
    cpu_us: float


class Cell(msgspec.Struct, frozen=True):
    """One server asked for one task over so many connections."""

    server: str
    task: str
    connections: int


class Comparison(msgspec.Struct, frozen=True):
    """The samples of each cell by round; a round in which there was none is left out."""

    rounds: Mapping[Cell, Mapping[int, Sample]]

    def samples(self, cell: Cell, what: str) -> list[float]:
        return [getattr(sample, what) for sample in self.rounds.get(cell, {}).values()]

    def ratios(self, cell: Cell, other: str, what: str) -> list[float]:
        """`what` of a cell as a multiple of the other server's, for each round that has both."""
        theirs = self.rounds.get(Cell(other, cell.task, cell.connections), {})
        ours = self.rounds.get(cell, {})
        return [getattr(ours[each], what) / getattr(theirs[each], what) for each in ours if each in theirs]

    def figure(self, cell: Cell, what: str, unit: str) -> Figure | None:
        """The median of the rounds; None where there are none."""
        samples = self.samples(cell, what)
        return median(f"{cell.server}, {cell.task}, {cell.connections}", samples, unit) if samples else None

    def ratio(
        self, cell: Cell, other: str, what: str, *, at_least: float | None = None, at_most: float | None = None
    ) -> Figure | None:
        """The median of the ratios, not the ratio of the medians; None where no round has both."""
        named = "calls/s" if what == "per_second" else "median latency"
        name = f"{cell.task}, {cell.connections} conn.: {cell.server} over {other}, {named}"
        ratios = self.ratios(cell, other, what)
        return median(name, ratios, "times", at_least=at_least, at_most=at_most) if ratios else None


def table(found: Comparison, servers: Sequence[str], task: str, counts: Sequence[int]) -> Table:
    """All servers at one task."""
    kinds = (("per_second", "calls/s"), ("median_ms", "median ms"), ("p99_ms", "p99 ms"), ("cpu_us", "CPU µs a call"))
    rows = []
    for server in servers:
        cells = [found.figure(Cell(server, task, count), what, unit) for what, unit in kinds for count in counts]
        rows.append(Row(name=server, cells=tuple(cells)))
    columns = tuple(f"{unit}, {count} conn." for _, unit in kinds for count in counts)
    return Table(title=task, columns=columns, rows=tuple(rows))


def ratio_table(
    found: Comparison, servers: Sequence[str], other: str, tasks: Sequence[str], counts: Sequence[int]
) -> Table:
    """Calls a second of all servers as multiples of one's, median of the rounds' ratios."""
    places = [(task, count) for task in tasks for count in counts]
    rows = tuple(
        Row(name=server, cells=tuple(found.ratio(Cell(server, *place), other, "per_second") for place in places))
        for server in servers
        if server != other
    )
    columns = tuple(f"{task}, {count} conn." for task, count in places)
    return Table(title=f"Calls a second as multiples of {other}'s", columns=columns, rows=rows)


class Bar(msgspec.Struct, frozen=True):
    name: str
    value: float


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the chart."""

    title: str
    is_less_better: bool
    bars: tuple[Bar, ...]


def panels(found: Comparison, servers: Sequence[str], tasks: Sequence[str], counts: Sequence[int]) -> list[Panel]:
    """A row of throughput with the most connections over a row of latency with the fewest, a column a task."""
    rows = (
        ("per_second", max(counts), "calls a second", False),
        ("median_ms", min(counts), "median latency, ms", True),
    )
    return [
        Panel(
            title=f"{task}, {count} conn.: {unit}",
            is_less_better=is_less_better,
            bars=tuple(
                Bar(server, statistics.median(samples))
                for server in servers
                if (samples := found.samples(Cell(server, task, count), what))
            ),
        )
        for what, count, unit, is_less_better in rows
        for task in tasks
    ]
