"""This file is how what the function returned becomes JSON text.

What is made of JSON's own types alone, in ASCII, goes through msgspec, which takes a tenth of the time. All else goes
through `json`, which asks `plain.py` about every other value it meets. When that fails, or where NaN is among the
numbers, the result is walked, to put null for NaN or to name the place of what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from typing import Any

from msgspec.json import Encoder

from .plain import NoPlainForm, plain_of
from .wording import described, type_name


class NotJson(Exception):
    """The result holds something that JSON cannot; the text names the place in the result."""

    holder = "JSON"


_encoded = json.JSONEncoder(allow_nan=False, check_circular=True, default=plain_of, separators=(",", ":")).encode
_quickly = Encoder().encode
_SCALARS = {str, int, float, bool, type(None)}


def encode(result: object, name: str = "result") -> str:
    """The result as JSON text; `name` is what it is called in the messages.

    A whole result may be an iterator: all that it gives becomes a list. Raises NotJson, and what the iterator raises.

    >>> encode({"score": (1, float("nan"))})
    '{"score":[1,null]}'
    """
    try:
        return _quick_text(result) or _encoded(result)
    except Exception:  # the common case is fast; the walk below finds out what is wrong, and where
        if isinstance(result, Iterator) and not hasattr(result, "tolist"):
            return encode(list(result), name)
        plain = _walked(result, name)
    try:
        return _encoded(plain)
    except Exception as error:
        raise NotJson(f"{name} cannot be written as JSON: {described(error)}") from error


def _quick_text(result: object) -> str | None:
    """None for what is left to `json`: it goes deeper, and escapes what is not ASCII."""
    try:
        text = _quickly(result) if _is_plain(result) else b""
    except (RecursionError, UnicodeEncodeError):
        return None
    return text.decode() if text.isascii() else None


def _is_plain(value: Any) -> bool:
    """Whether it is made of these very types, whose subclasses may be anything."""
    kind = type(value)
    if kind is dict:
        return set(map(type, value)) <= {str} and _are_plain(value.values())
    return kind in _SCALARS or (kind is list and _are_plain(value))


def _are_plain(values: Any) -> bool:
    return set(map(type, values)) <= _SCALARS or all(map(_is_plain, values))


def _walked(result: object, name: str) -> object:
    try:
        return _Walk().plain(result, name)
    except RecursionError:
        raise NotJson(f"{name} is nested too deeply") from None


class _Walk:
    """One walk through one result."""

    def __init__(self) -> None:
        self._around: set[int] = set()  # the containers the walk is inside of

    def plain(self, value: object, path: str) -> object:
        """`value` made of JSON's own types only. Raises NotJson."""
        match value:
            case None | str() | bool() | int():
                return value
            case float():
                return value if isfinite(value) else None
            case dict() | list() | tuple():
                return self._container(value, path)
            case _:
                return self._inside(value, path, self._converted)

    def _container(self, value: dict[object, object] | list[object] | tuple[object, ...], path: str) -> object:
        if not isinstance(value, dict) and set(map(type, value)) <= {float}:
            return [held if isfinite(held) else None for held in value]  # type: ignore[arg-type]  # all are floats
        return self._inside(value, path, self._each)

    def _inside(self, value: Any, path: str, walk: Any) -> object:
        if id(value) in self._around:
            raise NotJson(f"{path} contains itself")
        self._around.add(id(value))
        try:
            return walk(value, path)
        finally:
            self._around.discard(id(value))

    def _each(self, value: Any, path: str) -> object:
        if isinstance(value, dict):
            return {_key(key, path): self.plain(held, f"{path}[{key!r}]") for key, held in value.items()}
        return [self.plain(held, f"{path}[{at}]") for at, held in enumerate(value)]

    def _converted(self, value: object, path: str) -> object:
        return self.plain(_asked(value, path), path)


def _asked(value: object, path: str) -> object:
    try:
        return plain_of(value)
    except NoPlainForm as none:
        raise NotJson(f"{path}{none.why}" if none.why else f"{path} is of type {type_name(value)}") from none
    except RecursionError:
        raise
    except Exception as error:
        raise NotJson(f"{path}, of type {type_name(value)}, failed to become plain: {described(error)}") from error


def _key(key: object, path: str) -> str | int | float | bool | None:
    """`key` as one that `json` accepts. Raises NotJson."""
    plain = key
    if not isinstance(key, str | int | float | None):
        with suppress(NotJson):
            plain = None if isinstance(key, tuple) else _asked(key, path)
        if plain is None or not isinstance(plain, str | int | float):
            raise NotJson(f"{path} has a key of type {type_name(key)}")
    if isinstance(plain, str | int | None) or (isinstance(plain, float) and isfinite(plain)):
        return plain
    raise NotJson(f"{path} has the key {key!r}")
