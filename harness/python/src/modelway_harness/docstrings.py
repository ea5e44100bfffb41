"""This file is what a docstring tells of a function: its first line, the rest, and a sentence for each parameter."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

_SPHINX = re.compile(r"^:param\s+(?:[^:]*\s)?(?P<name>\*{0,2}\w+)\s*:\s*(?P<text>.*)$")
_GOOGLE = re.compile(r"^(?P<name>\*{0,2}\w+)\s*(?:\([^)]*\))?:\s+(?P<text>.*)$")
_NUMPY = re.compile(r"^(?P<name>\*{0,2}\w+)\s*(?::.*)?$")
_BEGINS = re.compile(r"^(Args|Arguments|Parameters):?$")
_RULE = re.compile(r"^-{3,}$")


class Docstring(NamedTuple):
    """What people wrote: one line, everything, and the parameters by name."""

    summary: str
    text: str
    parameters: dict[str, str]


def docstring_of(function: object) -> Docstring:
    """In the manners of Google, NumPy and Sphinx. Raises nothing.

    >>> def predict(x):
    ...     '''Tell the species.
    ...
    ...     Args:
    ...         x: The length,
    ...             in cm.
    ...     '''
    >>> docstring_of(predict).parameters
    {'x': 'The length, in cm.'}
    """
    written = inspect.getdoc(function)
    text = written if isinstance(written, str) else ""
    summary = " ".join(text.split("\n\n")[0].split())
    return Docstring(summary, text, _parameters(text.splitlines()))


def _parameters(lines: list[str]) -> dict[str, str]:
    found = _after(lines, r"^:param ", _SPHINX, depth=0)
    for at, line in enumerate(lines):
        if not found and _BEGINS.match(line):
            is_numpy = at + 1 < len(lines) and _RULE.match(lines[at + 1])
            section = _section(lines[at + 2 :] if is_numpy else lines[at + 1 :], flat=bool(is_numpy))
            depth = 0 if is_numpy else min((_indent(each) for each in section if each.strip()), default=0)
            found = _after(section, r".*", _NUMPY if is_numpy else _GOOGLE, depth=depth)
    return {name.lstrip("*"): " ".join(text.split()) for name, text in found.items() if text.strip()}


def _section(lines: list[str], *, flat: bool) -> list[str]:
    """Up to the next heading: a line that a rule follows, or else one that is not indented."""
    for at, line in enumerate(lines):
        is_next = at + 1 < len(lines) and _RULE.match(lines[at + 1]) if flat else line and not line.startswith(" ")
        if is_next:
            return lines[:at]
    return lines


def _after(lines: list[str], begins: str, entry: re.Pattern[str], *, depth: int) -> dict[str, str]:
    """The texts behind names at the indentation `depth`, with the deeper lines that follow."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        is_entry = _indent(line) == depth and re.match(begins, line.strip())
        match = entry.match(line.strip()) if is_entry and line.strip() else None
        if match is not None:
            name = match["name"]
            found[name] = match.groupdict().get("text") or ""
        elif name and line.strip() and _indent(line) > depth:
            found[name] += f" {line}"
        elif line.strip():
            name = ""
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
