"""This file is the forms of pandas' tables. pandas is used where the script has imported it, never else."""

from __future__ import annotations

import sys
from typing import Any

from .forms import Form, Misfit, shown, step, wrong
from .wording import described, quoted

_FRAME = "a list of objects (the rows) or an object of lists (the columns)"
_SERIES = "a list, or an object of labels and values"
_MOMENT = "a date and time as ISO 8601 text"
_FRAME_SCHEMA = {
    "anyOf": [
        {"type": "array", "items": {"type": "object"}, "description": "rows"},
        {"type": "object", "additionalProperties": {"type": "array"}, "description": "columns"},
    ]
}


def form_of(kind: Any) -> Form | None:
    """The form of `pd.DataFrame`, `pd.Series` and `pd.Timestamp`; None for anything else."""
    pandas = sys.modules.get("pandas")
    if not isinstance(kind, type) or not isinstance(getattr(pandas, "DataFrame", None), type):
        return None
    if kind is pandas.DataFrame:  # type: ignore[union-attr]
        return Form(lambda value: _frame(pandas, value), _FRAME, schema=_FRAME_SCHEMA)
    if kind is pandas.Series:  # type: ignore[union-attr]
        return Form(lambda value: _series(pandas, value), _SERIES, schema={"type": ["array", "object"]})
    if kind is pandas.Timestamp:  # type: ignore[union-attr]
        return Form(lambda value: _timestamp(pandas, value), _MOMENT, schema={"type": "string", "format": "date-time"})
    return None


def _frame(pandas: Any, value: Any) -> Any:
    """A table from rows or from columns. A value that a row does not have is missing in the table too."""
    if type(value) is list:
        for at, row in enumerate(value):
            if type(row) is not dict:
                misfit = wrong("an object, one row", row)
                misfit.steps.append(step(at))
                raise misfit
    elif type(value) is dict:
        _check_columns(value)
    else:
        raise wrong(_FRAME, value)
    return _made(pandas.DataFrame, value)


def _check_columns(columns: dict[str, Any]) -> None:
    length: tuple[str, int] | None = None
    for name, column in columns.items():
        if type(column) is not list:
            misfit = wrong("a list, one column (or send the rows as a list of objects)", column)
        elif length is not None and len(column) != length[1]:
            misfit = Misfit(f"must have {length[1]} values as {quoted([length[0]])} has, not {len(column)}")
        else:
            length = length or (name, len(column))
            continue
        misfit.steps.append(step(name))
        raise misfit


def _series(pandas: Any, value: Any) -> Any:
    if type(value) not in (list, dict):
        raise wrong(_SERIES, value)
    return _made(pandas.Series, value)


def _timestamp(pandas: Any, value: Any) -> Any:
    if type(value) is not str:
        raise wrong(_MOMENT, value)
    try:
        made = pandas.Timestamp(value)
    except Exception:
        made = pandas.NaT
    if made is pandas.NaT:
        raise Misfit(f"must be {_MOMENT}, not {shown(value)}", is_kind=True)
    return made


def _made(make: Any, value: Any) -> Any:
    try:
        return make(value)
    except RecursionError:
        raise
    except Exception as error:
        raise Misfit(f"cannot be a {make.__name__}: {described(error)}") from error
