"""This file is what stands in JSON for a value that JSON has no type for: one step, what it holds comes later.

NumPy, pandas and pydantic are known by what they offer and are never imported.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import os
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, ValuesView
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from math import isfinite
from typing import Any
from uuid import UUID

from .wording import described, type_name


class NoPlainForm(Exception):
    """Nothing stands for the value in JSON; `why` follows the name of its place, and is empty for its type alone."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


def plain_of(value: Any) -> Any:
    """What stands for `value`, its parts as they are. Raises NoPlainForm, and what code of the user's raises.

    >>> plain_of(timedelta(minutes=2)), plain_of({3, 1}), plain_of(Decimal("0.10"))
    (120.0, [1, 3], '0.10')
    """
    kind: Any = type(value)
    return _way_of(kind)(value)


@lru_cache(maxsize=512)  # what a type needs is found out once, also for results of many small values
def _way_of(kind: Any) -> Callable[[Any], Any]:
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if issubclass(kind, _classes(numpy, "generic")):
        return partial(_scalar, numpy)
    if issubclass(kind, _classes(numpy, "ndarray")):
        return partial(_array, numpy)
    for ours, convert in _KINDS:
        if issubclass(kind, ours):
            return convert
    if dataclasses.is_dataclass(kind):
        return partial(_fields, [field.name for field in dataclasses.fields(kind)])
    if issubclass(kind, _classes(pandas, "DataFrame")):
        return _rows
    if kind in (type(getattr(pandas, "NA", ...)), type(getattr(pandas, "NaT", ...))):
        return lambda _: None
    return _no_way if issubclass(kind, type) else _offered


def _classes(module: Any, *names: str) -> tuple[type, ...]:
    return tuple(found for name in names if isinstance(found := getattr(module, name, None), type))


def _fields(names: list[str], value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _moment(value: Any) -> str | None:
    """ISO 8601. What is not equal to itself is a missing moment (pandas has one)."""
    return value.isoformat() if value == value else None


def _decimal(value: Decimal) -> str | None:
    """Text: readers of JSON make floats of numbers, which would lose digits that somebody kept with care."""
    return str(value) if value.is_finite() else None


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _memory(value: memoryview) -> Any:
    return _base64(value) if value.format in ("B", "b", "c") else value.tolist()


def _set(value: Any) -> list[Any]:
    """Sorted where the values can be, so that equal sets are equal in JSON."""
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _path(value: os.PathLike[Any]) -> str:
    return os.fsdecode(value)


_KINDS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (enum.Enum, lambda value: value.value),
    ((date, time), _moment),
    (timedelta, lambda value: value.total_seconds() if value == value else None),
    (Decimal, _decimal),
    (UUID, str),
    ((bytes, bytearray), _base64),
    (memoryview, _memory),
    (array, array.tolist),
    (os.PathLike, _path),
    (Mapping, dict),
    (Set, _set),
    ((Sequence, ValuesView), list),
)


def _no_way(value: Any) -> Any:
    raise NoPlainForm


def _offered(value: Any) -> Any:
    """What an object of another library's, a tensor or a model, says by itself."""
    for method in ("model_dump", "tolist", "item"):
        ask = getattr(value, method, None)
        if callable(ask):
            return _asked(value, method, ask)
    raise NoPlainForm(_hint(value))


def _asked(value: Any, method: str, ask: Any) -> Any:
    try:
        plain = ask(mode="json") if method == "model_dump" else ask()
    except RecursionError:
        raise
    except Exception as error:
        raise NoPlainForm(f", of type {type_name(value)}, failed at {method}(): {described(error)}") from error
    if type(plain) is type(value):
        raise NoPlainForm
    return plain


def _hint(value: Any) -> str:
    return f" is of type {type_name(value)}, which only a whole result can be" if isinstance(value, Iterator) else ""


def _scalar(numpy: Any, value: Any) -> Any:
    if value.dtype.kind in "biu":
        return value.item()
    if value.dtype.kind == "f" and value.dtype.itemsize <= 8:
        number = value.item()
        return number if isfinite(number) else None
    return _array(numpy, value)


def _array(numpy: Any, value: Any) -> Any:
    """Lists of an array's numbers. What is not finite, or masked, becomes null here, at the array's speed."""
    held = numpy.asarray(value)
    is_masked = numpy.ma.isMaskedArray(value)
    hidden = numpy.ma.getmaskarray(value) if is_masked else False
    if held.dtype.kind == "M":
        return _nulled(numpy.datetime_as_string(held), numpy.isnat(held) | hidden)
    if held.dtype.kind == "m":
        return _nulled(held / numpy.timedelta64(1, "s"), numpy.isnat(held) | hidden)
    if held.dtype.kind == "f" and held.dtype.itemsize <= 8:
        return _nulled(held, ~numpy.isfinite(held) | hidden)
    plain = (value if is_masked else held).tolist()
    if type(plain) is type(value):
        raise NoPlainForm
    return plain


def _nulled(values: Any, where: Any) -> Any:
    if not where.any():
        return values.tolist()
    made = values.astype(object)
    if not made.shape:
        return None
    made[where] = None
    return made.tolist()


def _rows(frame: Any) -> list[dict[Any, Any]]:
    """One object a row; the index is left out. pandas' ways to say that a value is missing all become null."""
    if not frame.columns.is_unique:
        raise NoPlainForm(" has two columns of the same name")
    columns = [_column(frame[name]) for name in frame.columns]
    names = frame.columns.tolist()
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(series: Any) -> list[Any]:
    missing = series.isna()
    if not missing.any():
        return list(series.tolist())
    return [None if is_missing else held for held, is_missing in zip(series.tolist(), missing, strict=True)]
