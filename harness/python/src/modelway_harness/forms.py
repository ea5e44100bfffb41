"""This file is what a form is: how one annotation is filled from JSON; and the forms of JSON's own types.

A form is made once, when the script is loaded, and called with every request. What is right passes quickly; what is
not raises Misfit, which gathers the place on its way out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .wording import cut, json_kind

Convert = Callable[[Any], Any]
Schema = Mapping[str, Any]  # a JSON Schema; what is in it may be a Named, or a function that gives a part when asked

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,4000}", re.ASCII)
EXACT_FLOATS = 2**53  # beyond it a float stands for more than one whole number
_SHOWN = 40


class Misfit(Exception):
    """A value that does not fit its annotation: what must be changed, and the steps to its place, innermost first."""

    def __init__(self, why: str, *, is_kind: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.is_kind = is_kind  # it is of the wrong kind altogether: an alternative may take it
        self.steps: list[str] = []

    def told(self, place: str) -> str:
        """
        >>> misfit = Misfit("must be a whole number, not text")
        >>> misfit.steps += [step("age"), step(3)]
        >>> misfit.told("data.rows")
        'data.rows[3].age must be a whole number, not text'
        """
        return f"{place}{cut(''.join(reversed(self.steps)), 400)} {self.why}"


@dataclass(frozen=True)
class Named:
    """A part of a schema that others refer to by its name; made when it is asked for, since it may lead to itself."""

    name: str
    schema: Callable[[], Schema]


@dataclass(frozen=True)
class Form:
    """How an annotation is filled: the conversion (None: everything is left as it is), and what it wants in words."""

    convert: Convert | None
    wants: str
    exact: type | None = None  # values of this type itself pass unchanged, so that a list of them need not be walked
    schema: Schema | Named | Callable[[], Schema] = field(default_factory=dict, compare=False)


ANYTHING = Form(None, "anything")


def step(to: object) -> str:
    """How one step into a document is written.

    >>> step("age"), step("first name"), step(3)
    ('.age', '["first name"]', '[3]')
    """
    if isinstance(to, str):
        return f".{to}" if _PLAIN_NAME.fullmatch(to) else f"[{json.dumps(cut(to, 80))}]"
    return f"[{to}]"


def wrong(wants: str, value: object) -> Misfit:
    """The misfit of a value that is of another kind than what is wanted."""
    return Misfit(f"must be {wants}, not {shown(value)}", is_kind=True)


def shown(value: object) -> str:
    """
    >>> shown(2.5), shown("2.5"), shown(True), shown([])
    ('2.5', 'text', 'true', 'a list')
    """
    if isinstance(value, bool | int | float):
        return cut(_written(value), _SHOWN)
    return json_kind(value)


def _written(value: object) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # an integer of more digits than Python writes
        return "a very large number"


def either(wants: Iterable[str]) -> str:
    """
    >>> either(["a number"]), either(["a number", "text", "null"])
    ('a number', 'a number, text or null')
    """
    every = list(dict.fromkeys(wants))
    return " or ".join(filter(None, [", ".join(every[:-1]), every[-1]]))


def _integer(value: Any) -> Any:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        if abs(value) > EXACT_FLOATS:
            raise Misfit(f"must be a whole number with all its digits, not {shown(value)}")
        return int(value)
    raise wrong("a whole number", value)


def _number(value: Any) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Misfit("is larger than the numbers that a computer calculates with (1.8e308)") from None
    raise wrong("a number", value)


def _same(kind: type, wants: str, named: str) -> Form:
    def convert(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise wrong(wants, value)

    return Form(convert, wants, exact=kind, schema={"type": named})


WHOLE = Form(_integer, "a whole number", exact=int, schema={"type": "integer"})
NUMBER = Form(_number, "a number", exact=float, schema={"type": "number"})
TEXT = _same(str, "text", "string")
BOOLEAN = _same(bool, "true or false", "boolean")
NULL = _same(type(None), "null", "null")
LIST = _same(list, "a list", "array")
OBJECT = _same(dict, "an object", "object")


def whole_from_text(text: str) -> int:
    """The number that a key of an object spells. Raises Misfit."""
    if _WHOLE.fullmatch(text):
        return int(text)
    raise Misfit("must be a whole number")
