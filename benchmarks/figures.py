"""This file is what a benchmark gives: figures with their aims, as JSON to compare and as a table to read."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from benchmarks.machine import Machine

RESULTS = Path(__file__).with_name("results")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value. `samples` are what it is the median of, in the order they were taken."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    samples: tuple[float, ...] = ()
    remark: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether it reaches its aim; None without one."""
        if self.at_most is None and self.at_least is None:
            return None
        is_low_enough = self.at_most is None or self.value <= self.at_most
        return is_low_enough and (self.at_least is None or self.value >= self.at_least)

    @property
    def aim(self) -> str:
        """The aim as text, with whether it is met; empty without one."""
        if self.is_met is None:
            return ""
        bounds = [f"≤ {number(self.at_most)}"] if self.at_most is not None else []
        bounds += [f"≥ {number(self.at_least)}"] if self.at_least is not None else []
        return f"{' and '.join(bounds)}: {'met' if self.is_met else 'MISSED'}"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a table; None is a cell of which nothing is known."""

    name: str
    cells: tuple[Figure | None, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that are read beside each other."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def text(self) -> str:
        """As Markdown, with a heading."""
        lines = [f"## {self.title}", "", _line(("", *self.columns)), "|---|" + "--:|" * len(self.columns)]
        lines += [_line((row.name, *(_cell(each) for each in row.cells))) for row in self.rows]
        return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(figure: Figure | None) -> str:
    return "-" if figure is None else number(figure.value)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark gives that has more to tell than figures one below the other."""

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark measured, how, when and on what."""

    name: str
    how: str
    measured_at: datetime
    took_s: float
    machine: Machine
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """The figures as a Markdown table."""
        lines = ["| figure | value | aim | remark |", "|---|--:|---|---|"]
        for each in self.figures:
            value = f"{number(each.value)} {each.unit}".rstrip()
            lines.append(f"| {each.name} | {value} | {each.aim} | {each.remark or spread(each.samples)} |")
        return "\n".join(lines)

    def page(self) -> str:
        """The whole result as Markdown."""
        when = self.measured_at.strftime("%Y-%m-%d %H:%M UTC")
        more = [*(each.text() for each in self.tables), *self.notes]
        measured = f"{when}, in {self.took_s:.0f} s. {self.machine.text()}\n"
        return "\n\n".join((f"# {self.name}", self.how, self.table(), *more, measured))

    def write(self, folder: Path) -> None:
        """`<name>.json` and `<name>.md` in `folder`, in place of older ones."""
        folder.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.format(msgspec.json.encode(self), indent=1)
        (folder / f"{self.name}.json").write_bytes(encoded + b"\n")
        (folder / f"{self.name}.md").write_text(self.page(), encoding="utf-8")


def median(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """The median of `samples` as a figure that keeps them."""
    return Figure(
        name=name,
        value=statistics.median(samples),
        unit=unit,
        at_most=at_most,
        at_least=at_least,
        samples=tuple(samples),
    )


def ratio(name: str, one: float, other: float, *, at_most: float | None = None) -> Figure:
    """`one` as a multiple of `other`."""
    return Figure(name=name, value=one / other, unit="times", at_most=at_most)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest of `samples` that at least `percent` of a hundred of them do not exceed.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 50)
    2.0
    """
    ordered = sorted(samples)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def number(value: float | None) -> str:
    """Three significant digits, whole from a hundred on.

    >>> number(0.1234), number(12.345), number(1234.5)
    ('0.123', '12.3', '1,234')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(samples: Sequence[float]) -> str:
    """Between what the samples lie.

    >>> spread([3.0, 1.0, 2.0])
    'median of 3, 1 to 3'
    """
    return f"median of {len(samples):,}, {number(min(samples))} to {number(max(samples))}" if len(samples) > 1 else ""
