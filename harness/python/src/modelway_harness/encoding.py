"""This file is how what the function returned becomes JSON text.

What is made of JSON's own types alone, in ASCII, goes through msgspec, which takes a tenth of the time. All else goes
through `json`, which asks `plain.py` about every other value it meets. When that fails, or where NaN is among the
numbers, the result is walked, to put null for NaN or to name the place of what is wrong. Keys that JSON would write
alike, as 1 and "1", are looked for where a key is no text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from math import isfinite
from typing import Any

from msgspec.json import Encoder

from .plain import NoPlainForm, plain_of
from .wording import described, type_name


class NotJson(Exception):
    """The result holds something that JSON cannot; the text names the place in the result."""

    holder = "JSON"


_SCALARS = {str, int, float, bool, type(None)}
_LISTS = {list, tuple}
_TEXT = {str}
_HOLDERS = (dict, list, tuple)
_FEW_BITS = 2000  # of a whole number that has less digits than any limit of Python's allows (640)


def encode(result: object, name: str = "result") -> str:
    """The result as JSON text; `name` is what it is called in the messages.

    A whole result may be an iterator: all that it gives becomes a list. Raises NotJson, and what the iterator raises.

    >>> encode({"score": (1, float("nan"))})
    '{"score":[1,null]}'
    """
    try:
        return _text(result)
    except Exception:  # the common case is fast; the walk below finds out what is wrong, and where
        if isinstance(result, Iterator) and not hasattr(result, "tolist"):
            return encode(list(result), name)
        plain = _walked(result, name)
    try:
        return _encoded(plain)
    except Exception as error:
        raise NotJson(f"{name} cannot be written as JSON: {described(error)}") from error


def _text(result: object) -> str:
    try:
        if _is_plain(result):
            return _quick_text(result) or _encoded(result)
        if isinstance(result, _HOLDERS):
            _tell_apart(result)
    except RecursionError:  # `json` goes deeper, and finds out what contains itself
        pass
    return _encoded(result)


def _quick_text(result: object) -> str | None:
    """None for what is left to `json`, which escapes what is not ASCII."""
    try:
        text = _quickly(result)
    except UnicodeEncodeError:
        return None
    return text.decode() if text.isascii() else None


def _is_plain(value: Any) -> bool:
    """Whether it is made of these very types, whose subclasses may be anything."""
    kind = type(value)
    if kind is dict:
        return _TEXT.issuperset(map(type, value)) and _are_plain(value.values())
    return kind in _SCALARS or (kind in _LISTS and _are_plain(value))


def _are_plain(values: Any) -> bool:
    return _SCALARS.issuperset(map(type, values)) or all(map(_is_plain, values))


def _tell_apart(holder: Any) -> None:
    """Raise ValueError where two keys beside each other in a dict, list or tuple, or below it, have one text."""
    held = holder
    if isinstance(holder, dict):
        held = holder.values()
        if not _TEXT.issuperset(map(type, holder)):
            _tell_keys_apart(holder)
    if not (_SCALARS.issuperset(map(type, held)) or _are_lists_of_scalars(held)):
        for each in held:
            if isinstance(each, _HOLDERS):
                _tell_apart(each)


def _tell_keys_apart(keys: Any) -> None:
    if len(set(map(type, keys))) > 1 and len(set(map(_key_text, keys))) < len(keys):
        raise ValueError("two keys have one text")


def _are_lists_of_scalars(values: Any) -> bool:
    return _LISTS.issuperset(map(type, values)) and _SCALARS.issuperset(map(type, chain.from_iterable(values)))


def _key_text(key: Any) -> str:
    """What `json` writes for a key that it takes. Raises TypeError for others.

    >>> [_key_text(key) for key in ("1", 1, 1.0, True, None)]
    ['1', '1', '1.0', 'true', 'null']
    """
    return str.__str__(key) if isinstance(key, str) else json.dumps(key)


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
            case None | str() | bool():
                return value
            case int():
                return _whole(value, path)
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
            keys = _keys(value, path)
            return {
                key: self.plain(held, f"{path}[{named!r}]")
                for key, (named, held) in zip(keys, value.items(), strict=True)
            }
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


def _whole(value: int, path: str) -> int:
    if value.bit_length() > _FEW_BITS:
        try:
            int.__repr__(value)
        except ValueError:
            raise NotJson(f"{path} has more than {sys.get_int_max_str_digits()} digits") from None
    return value


def _keys(value: dict[Any, Any], path: str) -> list[Any]:
    """The keys as `json` accepts them, each with a text of its own. Raises NotJson."""
    keys = [_key(key, path) for key in value]
    if not set(map(type, value)) <= {str}:
        by_text: dict[str, Any] = {}
        for key, plain in zip(value, keys, strict=True):
            other = by_text.setdefault(_key_text(plain), key)
            if other is not key:
                raise NotJson(f"{path} has the keys {other!r} and {key!r}, which are the same in JSON")
    return keys


def _key(key: object, path: str) -> str | int | float | bool | None:
    """`key` as one that `json` accepts. Raises NotJson."""
    plain = key
    if not isinstance(key, str | int | float | None):
        with suppress(NotJson):
            plain = None if isinstance(key, tuple) else _asked(key, path)
        if plain is None or not isinstance(plain, str | int | float):
            raise NotJson(f"{path} has a key of type {type_name(key)}")
    if isinstance(plain, int):
        return _whole(plain, f"a key of {path}")
    if isinstance(plain, str | None) or (isinstance(plain, float) and isfinite(plain)):
        return plain
    raise NotJson(f"{path} has the key {key!r}")


def _plain_of(value: Any) -> Any:
    plain = plain_of(value)
    if isinstance(plain, _HOLDERS):
        _tell_apart(plain)
    return plain


_encoded = json.JSONEncoder(allow_nan=False, check_circular=True, default=_plain_of, separators=(",", ":")).encode
_quickly = Encoder().encode
