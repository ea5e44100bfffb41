"""The functions of harness_cases.json, in Python: without annotations, which other languages do not have."""

from __future__ import annotations

from typing import Any


def add(x, y):  # type: ignore[no-untyped-def]
    return x + y


def greet(name, greeting="Hello"):  # type: ignore[no-untyped-def]
    """Greet somebody.

    In one line.
    """
    return f"{greeting}, {name}"


def echo(x):  # type: ignore[no-untyped-def]
    return x


def nothing() -> None:
    return None


def count_rest(x, *rest):  # type: ignore[no-untyped-def]
    return len(rest)


def name_rest(x, **rest):  # type: ignore[no-untyped-def]
    return sorted(rest)


def numbers() -> Any:
    return [float("nan"), float("inf"), 1.5]


def fails(message):  # type: ignore[no-untyped-def]
    raise ValueError(message)


def unfit() -> Any:
    return [1, fails]


def most(values, *rest, at_least=0):  # type: ignore[no-untyped-def]
    return {"most": max([*values, at_least]), "rest": len(rest)}
