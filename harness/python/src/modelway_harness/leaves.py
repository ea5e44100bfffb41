"""This file is the forms of single values that JSON has no type for: moments, exact numbers, bytes, choices."""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from uuid import UUID

from .forms import Form, Misfit, either, shown, wrong
from .wording import cut, described

_CHOICES_SHOWN = 12


def _from_text(make: Callable[[str], Any], wants: str, **says: str) -> Form:
    def convert(value: Any) -> Any:
        if type(value) is not str:
            raise wrong(wants, value)
        try:
            return make(value)
        except (ValueError, OverflowError):
            raise Misfit(f"must be {wants}, not {_quoted(value)}", is_kind=True) from None

    return Form(convert, wants, schema={"type": "string", **says})


def _decimal(value: Any) -> Decimal:
    """Exact from text and whole numbers; a number with a fraction was a float already, and is taken as written."""
    wants = "a number, or text with one"
    if type(value) not in (int, float, str):
        raise wrong(wants, value)
    try:
        made = Decimal(value if type(value) is not float else repr(value))
    except InvalidOperation:
        raise Misfit(f"must be {wants}, not {_quoted(value)}", is_kind=True) from None
    if not made.is_finite():
        raise Misfit(f"must be {wants}, not {_quoted(str(value))}", is_kind=True)
    return made


def _duration(value: Any) -> timedelta:
    if type(value) not in (int, float):
        raise wrong("a number of seconds", value)
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise Misfit("is a longer time than can be counted") from None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64") from error


LEAVES: dict[Any, Form] = {
    datetime: _from_text(datetime.fromisoformat, "a date and time as ISO 8601 text", format="date-time"),
    date: _from_text(date.fromisoformat, "a date as ISO 8601 text", format="date"),
    time: _from_text(time.fromisoformat, "a time as ISO 8601 text", format="time"),
    timedelta: Form(_duration, "a number of seconds", schema={"type": "number", "description": "seconds"}),
    Decimal: Form(_decimal, "a number, or text with one", schema={"type": ["number", "string"]}),
    UUID: _from_text(UUID, "a UUID as text", format="uuid"),
    bytes: _from_text(_bytes, "bytes as base64 text", contentEncoding="base64"),
    bytearray: _from_text(lambda text: bytearray(_bytes(text)), "bytes as base64 text", contentEncoding="base64"),
    Path: _from_text(Path, "a path as text"),
    PurePath: _from_text(PurePath, "a path as text"),
    PurePosixPath: _from_text(PurePosixPath, "a path as text"),
}


def one_of(values: Sequence[Any]) -> Form:
    """One of the values of a Literal. 1, 1.0 and true are three different ones.

    >>> one_of(["a", "b"]).convert("c")
    Traceback (most recent call last):
    ...
    modelway_harness.forms.Misfit: must be 'a' or 'b', not 'c'
    """
    return _choice({_key(value): value for value in values}, None)


def member_of(kind: type[enum.Enum]) -> Form:
    """A member of an enumeration, named by its value; a `_missing_` of its own is asked."""
    known = {_key(member.value): member for member in kind}
    asks = kind._missing_.__func__ is not enum.Enum._missing_.__func__  # type: ignore[attr-defined]
    return _choice(known, kind if asks else None)


def _choice(known: dict[Any, Any], fallback: Callable[[Any], Any] | None) -> Form:
    values = [_quoted(value) for _, value in known]
    more = [f"{len(values) - _CHOICES_SHOWN} more"] if len(values) > _CHOICES_SHOWN else []
    wants = either(values[:_CHOICES_SHOWN] + more) if values else "a value that there is none of"

    def convert(value: Any) -> Any:
        try:
            return known[_key(value)]
        except (KeyError, TypeError):
            if fallback is not None and isinstance(value, str | int | float):
                return made_by(fallback, value)
            raise Misfit(f"must be {wants}, not {_quoted(value)}", is_kind=True) from None

    return Form(convert, wants, schema={"enum": [value for _, value in known]})


def made_by(make: Callable[..., Any], *values: Any, **named: Any) -> Any:
    """What code of the user's makes of values; whatever it raises is told to the caller. Raises Misfit."""
    try:
        return make(*values, **named)
    except (Misfit, RecursionError):
        raise
    except (Exception, SystemExit) as error:
        raise Misfit(f"was refused by {getattr(make, '__name__', 'it')}: {described(error)}") from error


def _key(value: Any) -> tuple[type, Any]:
    """Tuples, which some enumerations have as values, come as lists."""
    if isinstance(value, tuple | list):
        return list, tuple(value)
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain, value
    return type(value), value


def _quoted(value: Any) -> str:
    return repr(cut(value, 60)) if isinstance(value, str) else shown(value)
