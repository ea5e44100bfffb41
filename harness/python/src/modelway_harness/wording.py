"""This file is how the harness words what it says to people: lists of names, kinds of values, errors."""

from __future__ import annotations

from collections.abc import Iterable

NAMES_SHOWN = 8
NAME_LENGTH = 80
ERROR_LENGTH = 2000


def quoted(names: Iterable[str]) -> str:
    """The names in quotes, joined as Python's own messages join them; only the first few of very many.

    >>> quoted(["x"]), quoted(["x", "y"]), quoted(["x", "y", "z"])
    ("'x'", "'x' and 'y'", "'x', 'y', and 'z'")
    """
    every = [f"'{cut(name, NAME_LENGTH)}'" for name in names]
    shown = every[:NAMES_SHOWN]
    if len(every) > len(shown):
        shown.append(f"{len(every) - len(shown)} more")
    if len(shown) <= 2:
        return " and ".join(shown)
    return ", ".join(shown[:-1]) + ", and " + shown[-1]


def counted(count: int, noun: str) -> str:
    """
    >>> counted(1, "argument"), counted(2, "argument")
    ('1 argument', '2 arguments')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def json_kind(value: object) -> str:
    """What a person who writes JSON would call `value`.

    >>> json_kind([1]), json_kind(None), json_kind(2.5)
    ('a list', 'null', 'a number')
    """
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def described(error: BaseException) -> str:
    """`Type: text` of an exception, cut where it is very long. Never raises, whatever `__str__` does.

    >>> described(ValueError("no such flower")), described(ValueError())
    ('ValueError: no such flower', 'ValueError')
    """
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        text = "(its text could not be made)"
    return f"{name}: {cut(text, ERROR_LENGTH)}" if text else name


def type_name(value: object) -> str:
    """
    >>> type_name(3), type_name(ValueError)
    ('int', 'type')
    """
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def cut(text: str, length: int) -> str:
    """`text`, or as much of it as fits into `length` characters with a mark that there was more."""
    return text if len(text) <= length else text[: length - 1] + "…"
