"""This file is how what the function returned becomes JSON text.

JSON's own types pass; tuples become lists, NaN and the infinities become null. Whatever offers `tolist()` or
`item()`, as NumPy's arrays and scalars do, is asked for its plain value; NumPy itself is never imported.
"""

from __future__ import annotations

import json
from math import isfinite

from .wording import described, type_name


class NotJson(Exception):
    """The result holds something that JSON cannot; the text names the place in the result."""


def encode(result: object) -> str:
    """The result as JSON text. Raises NotJson.

    >>> encode({"score": (1, float("nan"))})
    '{"score": [1, null]}'
    """
    try:
        return json.dumps(result, allow_nan=False)
    except Exception:  # the common case is fast; the walk below finds out what is wrong, and where
        plain = _Walk().plain(result, "result")
    try:
        return json.dumps(plain, allow_nan=False)
    except Exception as error:
        raise NotJson(f"result cannot be written as JSON: {described(error)}") from error


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
                return self._converted(value, path)

    def _container(self, value: dict[object, object] | list[object] | tuple[object, ...], path: str) -> object:
        if id(value) in self._around:
            raise NotJson(f"{path} contains itself")
        self._around.add(id(value))
        try:
            if isinstance(value, dict):
                return {_key(key, path): self.plain(held, f"{path}[{key!r}]") for key, held in value.items()}
            return [self.plain(held, f"{path}[{at}]") for at, held in enumerate(value)]
        except RecursionError:
            raise NotJson("result is nested too deeply") from None
        finally:
            self._around.discard(id(value))

    def _converted(self, value: object, path: str) -> object:
        converted = _asked_for_plain(value, path)
        if type(converted) is type(value):
            raise NotJson(f"{path} is of type {type_name(value)}")
        return self.plain(converted, path)


def _asked_for_plain(value: object, path: str) -> object:
    for method in ("tolist", "item"):
        try:
            ask = getattr(value, method, None)
            if callable(ask):
                return ask()
        except Exception as error:
            raise NotJson(f"{path}, of type {type_name(value)}, failed at {method}(): {described(error)}") from error
    raise NotJson(f"{path} is of type {type_name(value)}")


def _key(key: object, path: str) -> str | int | float | bool | None:
    """`key` as one that `json` accepts. Raises NotJson."""
    if not isinstance(key, str | int | float | None):
        try:
            key = _asked_for_plain(key, path)
        except NotJson:
            raise NotJson(f"{path} has a key of type {type_name(key)}") from None
    if isinstance(key, str | int | None) or (isinstance(key, float) and isfinite(key)):
        return key
    raise NotJson(f"{path} has the key {key!r}")
