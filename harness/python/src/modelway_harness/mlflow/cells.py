"""This file is the ways to write a table in JSON, each read as columns that know where a value came from.

They are MLflow's own (`dataframe_split`, `dataframe_records`, `instances`, `inputs`), and the columns by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..forms import Misfit, step, wrong
from ..wording import counted, quoted
from .types import Spec, depth_of, is_required

SPLIT, RECORDS, INSTANCES, INPUTS = WORDS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Cells(NamedTuple):
    """A table: its columns by name, and the steps to one of its values, innermost first."""

    columns: dict[Any, list[Any]]
    steps_to: Callable[[Any, int], list[str]]


def split(value: Any, names: Sequence[Any] | None = None) -> Cells:
    """`{"columns": […], "data": [[…], …]}`. Where `names` are given, the columns are these, whatever it calls them."""
    if type(value) is not dict or type(value.get("data")) is not list:
        raise Misfit('must be an object with "data", a list of rows, and "columns"')
    unknown = [name for name in value if name not in ("columns", "data", "index")]
    if unknown:
        raise Misfit(f"has {quoted(unknown)}, which it must not (it takes 'columns', 'data', and 'index')")
    columns = value.get("columns") if names is None else names
    if names is None and (type(columns) is not list or not all(isinstance(name, str) for name in columns)):
        raise _under("columns", Misfit("must be a list of the columns' names"))
    assert columns is not None  # noqa: S101  # one of the two
    if len(set(columns)) < len(columns):
        raise _under("columns", Misfit("has a name twice"))
    try:
        cells = by_place(value["data"], columns)
    except Misfit as misfit:
        raise _under("data", misfit) from None
    return Cells(cells.columns, lambda name, row: [*cells.steps_to(name, row), step("data")])


def by_place(rows: Any, names: Sequence[Any]) -> Cells:
    """A list of rows, each a list of values in the order of `names`."""
    if type(rows) is not list:
        raise wrong("a list of rows", rows)
    for at, row in enumerate(rows):
        if type(row) is not list:
            raise _under(at, wrong("a list, one row", row))
        if len(row) != len(names):
            raise _under(at, Misfit(f"must have {counted(len(names), 'value')}, not {len(row)}"))
    places = {name: at for at, name in enumerate(names)}
    return Cells(
        {name: [row[at] for row in rows] for name, at in places.items()},
        lambda name, row: [step(places[name]), step(row)],
    )


def by_row(rows: Any, specs: Sequence[Spec]) -> Cells:
    """A list of objects, one a row. What a row has beyond the columns is left out, as MLflow does."""
    if type(rows) is not list:
        raise wrong("a list of rows", rows)
    needed = [spec["name"] for spec in specs if is_required(spec)]
    for at, row in enumerate(rows):
        if type(row) is not dict:
            raise _under(at, wrong("an object, one row", row))
        missing = [name for name in needed if name not in row]
        if missing:
            raise _under(at, Misfit(f"is without {quoted(missing)}"))
    names = [spec["name"] for spec in specs]
    return Cells({name: [row.get(name) for row in rows] for name in names}, lambda name, row: [step(name), step(row)])


def by_column(columns: Any, specs: Sequence[Spec]) -> Cells:
    """An object of columns: lists, which are many rows, or single values, which are one row."""
    if type(columns) is not dict:
        raise wrong("an object, the columns", columns)
    held = {spec["name"]: (columns[spec["name"]], depth_of(spec)) for spec in specs if spec["name"] in columns}
    if not any(_depth(value) > depth for value, depth in held.values()):
        return Cells({name: [value] for name, (value, _) in held.items()}, lambda name, _: [step(name)])
    length: tuple[str, int] | None = None
    for name, (value, _) in held.items():
        if type(value) is not list:
            raise _under(name, wrong("a list as another column is", value))
        if length is not None and len(value) != length[1]:
            raise _under(
                name, Misfit(f"must have {counted(length[1], 'value')} as {quoted([length[0]])} has, not {len(value)}")
            )
        length = length or (name, len(value))
    return Cells({name: value for name, (value, _) in held.items()}, lambda name, row: [step(row), step(name)])


def are_objects(value: Any) -> bool:
    """Whether it is a list of objects, and not an empty one."""
    return type(value) is list and bool(value) and all(type(each) is dict for each in value)


def _depth(value: Any) -> int:
    depth = 0
    while type(value) is list:
        depth += 1
        value = value[0] if value else None
    return depth


def _under(place: object, misfit: Misfit) -> Misfit:
    misfit.steps.append(step(place))
    return misfit
