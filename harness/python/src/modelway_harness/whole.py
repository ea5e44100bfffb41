"""This file is the functions that take "data" as one: a form says what it may be, since a signature cannot.

The names of a table's columns need not be names of Python's, and the same table can be written in several ways.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .forms import Form, Schema


class TakesWhole(ABC):
    """A callable. `takes` makes of "data", an object, the arguments by name with which it is called."""

    takes: Form
    gives: Schema
    example: str = ""  # a whole request body, for those who read about it; "" is none

    @abstractmethod
    def __call__(self, *args: Any, **named: Any) -> object:
        """The function itself."""


def form_of(function: object) -> Form | None:
    """What a function wants "data" to be as one; None for all whose parameters say it."""
    return function.takes if isinstance(function, TakesWhole) else None
