"""This file is which R packages are asked for: by the lines of an environment, by a project's renv.lock, by a package.

Versions are compared as R does: number by number, `-` and `.` alike, and 1.0 is less than 1.0.0.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from services.builder.requirements import bounded_lines
from services.core.errors import BuildFailed, Invalid
from services.core.requirements import line_fault, shown

RENV_LOCK = "renv.lock"
ALLOWED = "allowed are names of R packages with versions, as in: data.table>=1.14, or MASS (>= 7.3-58)"
_OPERATORS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_NAME = r"[A-Za-z](?:[A-Za-z0-9.]*[A-Za-z0-9])?"  # R itself is named like a package
_VERSION = r"[0-9]+(?:[.-][0-9]+)*"
_BOUND = re.compile(rf"\s*(>=|<=|==|!=|>|<)\s*({_VERSION})\s*")
_LINE = re.compile(rf"({_NAME})\s*(?:\((.*)\)|(.*))")
_OF_R = ("Depends", "Imports", "LinkingTo")  # what has to be there before a package can be installed


@dataclass(frozen=True)
class Demand:
    """`name` in a version within all `bounds`. `by`: who asks for it, as a sentence names him."""

    name: str
    bounds: tuple[tuple[str, str], ...] = ()
    by: str = ""  # empty: a line of the environment

    def is_met_by(self, version: str) -> bool:
        """
        >>> Demand("MASS", ((">=", "7.3-58"),)).is_met_by("7.3.58.2")
        True
        """
        return all(_OPERATORS[sign](version_key(version), version_key(bound)) for sign, bound in self.bounds)

    def __str__(self) -> str:
        return self.name + ",".join(f"{sign}{version}" for sign, version in self.bounds)


def version_key(version: str) -> tuple[int, ...]:
    """What R compares.

    >>> version_key("7.3-58.2") < version_key("7.3.60")
    True
    """
    return tuple(int(part) for part in re.split("[.-]", version))


def is_version(text: str) -> bool:
    """Whether R takes it for a package's version."""
    return re.fullmatch(_VERSION, text) is not None


def r_demands(requirements: str) -> tuple[Demand, ...]:
    """What the lines of an environment ask for, in their order. Raises `Invalid` naming the first that is not allowed.

    >>> [str(one) for one in r_demands("jsonlite >= 1.8, <2  # parses\\nMASS (>= 7.3-58)")]
    ['jsonlite>=1.8,<2', 'MASS>=7.3-58']
    """
    demands = []
    for number, line in bounded_lines(requirements):
        demand = None if line_fault(line) else _demand(line, "")
        if demand is None:
            fault = line_fault(line) or "is not an R package"
            raise Invalid(f"requirements line {number}: {shown(line)!r} {fault}; {ALLOWED}", field="requirements")
        demands.append(demand)
    return tuple(demands)


def needs_of(fields: str, by: str) -> tuple[Demand, ...]:
    """What a package says in Depends, Imports and LinkingTo, joined with commas. What cannot be read asks for nothing.

    >>> [str(one) for one in needs_of("R (>= 3.5), methods,\\n alpha (>= 1.0), ", "beta 1.0")]
    ['R>=3.5', 'methods', 'alpha>=1.0']
    """
    demands = (_demand(each.strip(), by) for each in fields.split(",") if each.strip())
    return tuple(each for each in demands if each is not None)


def needs_in(description: str, by: str) -> tuple[Demand, ...]:
    """The same, of a package's DESCRIPTION."""
    fields = dict(_fields(description))
    return needs_of(",".join(fields[name] for name in _OF_R if name in fields), by)


class _Pinned(msgspec.Struct, rename="pascal"):
    version: str
    source: str = "Repository"


class _RenvLock(msgspec.Struct, rename="pascal"):
    packages: dict[str, _Pinned] = {}


def renv_demands(content: bytes) -> tuple[Demand, ...]:
    """What a project's renv.lock asks for: each package in exactly one version. Raises `BuildFailed`."""
    try:
        packages = msgspec.json.decode(content, type=_RenvLock).packages
    except msgspec.MsgspecError as error:
        raise BuildFailed(f"{RENV_LOCK} is not what renv writes: {error}") from error
    demands = []
    for name, pinned in sorted(packages.items()):
        if not (re.fullmatch(_NAME, name) and is_version(pinned.version)):
            raise BuildFailed(f"{RENV_LOCK} names {shown(name)!r} {shown(pinned.version)!r}, which is no R package")
        if pinned.source not in ("Repository", "CRAN"):
            raise BuildFailed(
                f"{RENV_LOCK}: the package {name!r} comes from {shown(pinned.source)!r}, and only packages of the "
                "platform's package repository are installed"
            )
        if name != "renv":  # it restores libraries, which the platform does
            demands.append(Demand(name, (("==", pinned.version),), RENV_LOCK))
    return tuple(demands)


def _demand(text: str, by: str) -> Demand | None:
    match = _LINE.fullmatch(" ".join(text.split()))
    if match is None:
        return None
    bounds = (match[2] or match[3] or "").strip()
    parts = [_BOUND.fullmatch(part) for part in bounds.split(",")] if bounds else []
    if any(part is None for part in parts):
        return None
    return Demand(match[1], tuple((part[1], part[2]) for part in parts if part is not None), by)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Fields of Debian control syntax, which R uses: a line that begins with a space goes on."""
    for entry in re.split(r"\n(?=\S)", text.replace("\r\n", "\n")):
        name, _, value = entry.partition(":")
        yield name.strip(), value.strip()
