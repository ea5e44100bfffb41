"""This file is MLflow models that take a table: columns with names, or known by their place, each of a type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..forms import Convert, Misfit, Named, Schema, step
from ..shapes import list_of
from ..wording import described, quoted
from .cells import INPUTS, INSTANCES, RECORDS, SPLIT, Cells, are_objects, by_column, by_place, by_row, split
from .types import Spec, cell_of, is_required

_DTYPES = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64", "datetime": "datetime64[ns]"}


class Table:
    """Columns with names, which become a DataFrame."""

    def __init__(self, specs: Sequence[Spec], pandas: Any) -> None:
        self._specs = specs
        self._pandas = pandas
        self._cells = {spec["name"]: cell_of(spec) for spec in specs}
        self.names = [spec["name"] for spec in specs]
        self.words = {
            SPLIT: lambda value: self._frame(split(value)),
            RECORDS: lambda value: self._frame(by_row(value, specs)),
            INSTANCES: lambda value: self._frame(self._listed(value)),
            INPUTS: lambda value: self._frame(
                by_column(value, specs) if type(value) is dict else self._listed(value, may_be_column=True)
            ),
        }

    def plain(self, columns: dict[str, Any]) -> Any:
        return self._frame(by_column(columns, self._specs))

    def _listed(self, value: Any, *, may_be_column: bool = False) -> Cells:
        """Rows as objects, or as lists in the order of the signature; or the one column that there is."""
        if type(value) is list and value and type(value[0]) is list and not (may_be_column and len(self._specs) == 1):
            return by_place(value, self.names)
        if may_be_column and len(self._specs) == 1 and type(value) is list and not are_objects(value):
            return Cells({self.names[0]: value}, lambda _, row: [step(row)])
        return by_row(value, self._specs)

    def _frame(self, cells: Cells) -> Any:
        missing = [spec["name"] for spec in self._specs if is_required(spec) and spec["name"] not in cells.columns]
        if missing:
            raise Misfit(f"is without {quoted(missing)}")
        rows = len(next(iter(cells.columns.values()), []))
        made = {}
        for spec in self._specs:
            name = spec["name"]
            values = _filled(cells, name, self._cells[name].convert) if name in cells.columns else []
            if is_required(spec) or any(value is not None for value in values):
                made[name] = _series(self._pandas, spec, values, cells, name)
        return self._pandas.DataFrame(made, index=range(rows))

    def schema(self, word: str | None) -> Schema:
        cells = {name: cell.schema for name, cell in self._cells.items()}
        needed = [spec["name"] for spec in self._specs if is_required(spec)]
        row = {"type": "object", "properties": cells, "required": needed}
        lists = {name: {"type": "array", "items": cell} for name, cell in cells.items()}
        columns = {"type": "object", "properties": lists, "required": needed}
        a_row, of_columns = Named("Row", lambda: row), Named("Columns", lambda: columns)
        rows = {"type": "array", "items": a_row}
        ways: dict[str | None, Schema] = {
            None: {"anyOf": [row, columns]},
            SPLIT: _split_schema([cells[name] for name in self.names]),
            RECORDS: rows,
            INSTANCES: rows,
            INPUTS: {"anyOf": [of_columns, a_row, rows]},
        }
        return ways[word]


class Unnamed:
    """Columns without names, known by their place: one becomes a list, several a DataFrame."""

    def __init__(self, specs: Sequence[Spec], pandas: Any) -> None:
        self._specs = specs
        self._pandas = pandas
        self.names: list[str] = []
        self.words = {SPLIT: lambda value: self._frame(split(value, range(len(specs))))}
        self.words[INSTANCES] = self.words[INPUTS] = self._one if len(specs) == 1 else self._several

    def plain(self, columns: dict[str, Any]) -> Any:
        raise Misfit("has no names")  # never asked: there are none

    def _one(self, value: Any) -> Any:
        values = value if type(value) is list else [value]
        convert = list_of(cell_of(self._specs[0])).convert
        return values if convert is None else convert(values)

    def _several(self, value: Any) -> Any:
        return self._frame(by_place(value, range(len(self._specs))))

    def _frame(self, cells: Cells) -> Any:
        made = {}
        for place, spec in enumerate(self._specs):
            values = _filled(cells, place, cell_of(spec).convert)
            made[place] = _series(self._pandas, spec, values, cells, place)
        return self._pandas.DataFrame(made)

    def schema(self, word: str | None) -> Schema:
        cells = [cell_of(spec).schema for spec in self._specs]
        if word == SPLIT:
            return _split_schema(cells)
        return {"type": "array", "items": cells[0] if len(cells) == 1 else _row_schema(cells)}


def _filled(cells: Cells, name: Any, convert: Convert | None) -> list[Any]:
    values, made = cells.columns[name], []
    if convert is None:
        return values
    try:
        for value in values:
            made.append(convert(value))  # noqa: PERF401  # the length says where it stopped
    except Misfit as misfit:
        misfit.steps += cells.steps_to(name, len(made))
        raise
    return made


def _series(pandas: Any, spec: Spec, values: list[Any], cells: Cells, name: Any) -> Any:
    kind = spec.get("type")
    if kind in ("integer", "long") and None in values:
        misfit = Misfit("must be a whole number, not null: either every row has one, or none")
        misfit.steps += cells.steps_to(name, values.index(None))
        raise misfit
    dtype = "bool" if kind == "boolean" and None not in values else _DTYPES.get(str(kind), "object")
    try:
        return pandas.Series(values, dtype=dtype)
    except (ValueError, OverflowError, TypeError) as error:  # a moment that is too long ago, say
        raise Misfit(f"has in {quoted([str(name)])} what a table cannot hold: {described(error)}") from None


def _row_schema(cells: Sequence[Any]) -> Schema:
    return {"type": "array", "prefixItems": list(cells), "minItems": len(cells), "maxItems": len(cells)}


def _split_schema(cells: Sequence[Any]) -> Schema:
    columns = {"type": "array", "items": {"type": "string"}}
    data = {"type": "array", "items": {"type": "array"}}
    return {"type": "object", "properties": {"columns": columns, "data": data}, "required": ["data"]}
