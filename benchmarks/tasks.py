"""This file is what the servers of the comparison are asked, and what has to come out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ROWS, _COLUMNS = 1000, 100
_VALUES = 52_000  # about 1 MB of JSON


@dataclass(frozen=True, kw_only=True)
class Task:
    """One call of one function of `servers/functions.py`."""

    name: str
    function: str
    arguments: Mapping[str, float | Sequence[float]]
    expected: Sequence[float]

    def is_answered_by(self, result: object) -> bool:
        """Whether a server's result is right, as a number or as a list, to within the order of its additions."""
        values = result if isinstance(result, list) else [result]
        return len(values) == len(self.expected) and all(
            isinstance(value, int | float) and math.isclose(value, other, rel_tol=1e-9)
            for value, other in zip(values, self.expected, strict=True)
        )


def encoded(document: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()


def _trivial() -> Task:
    return Task(name="trivial", function="add", arguments={"x": 1.5, "y": 2.25}, expected=[3.75])


def _large() -> Task:
    values = [(number * 7919 % 99_991) / 99_991 for number in range(1, _VALUES + 1)]
    return Task(name="1 MB of JSON", function="total", arguments={"values": values}, expected=[sum(values)])


def _numeric() -> Task:
    x = [(number * 131 % 1009) / 1009 for number in range(_ROWS)]
    columns = ([(row * 31 + column * 17) % 97 / 97 for row in range(_ROWS)] for column in range(_COLUMNS))
    products = [math.fsum(a * b for a, b in zip(x, column, strict=True)) for column in columns]
    return Task(name="numpy", function="project", arguments={"x": x}, expected=products)


TASKS = (_trivial(), _large(), _numeric())
