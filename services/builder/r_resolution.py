"""This file is which versions of which R packages meet all demands, or one sentence why none do. It asks nobody.

Of each package it takes what the machine's R has where that will do, else the newest that the repository has. A version
that is in the way of another's demand is replaced by one that is not; there is no search beyond that, as R has none.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.builder.r_requirements import RENV_LOCK, Demand, version_key
from services.core.errors import BuildFailed

ROUNDS = 200  # each takes in the needs of what the one before chose
SHOWN_VERSIONS = 6
NO_REPOSITORY = "the platform was set up without a repository of R packages, which R_REPOSITORY names"
R = "R"  # a package may ask for a version of it as of any other


@dataclass(frozen=True)
class Package:
    """A package in one version, on the machine or in the repository."""

    name: str
    version: str
    needs: tuple[Demand, ...] = ()
    is_of_machine: bool = False
    is_of_r: bool = False  # comes with R itself: there is no other

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass
class Known:
    """What was found out so far: `machine` has R itself, too; `offered` is the newest of each in the repository."""

    machine: Mapping[str, Package]
    has_repository: bool = True
    asked: set[str] = field(default_factory=set)
    offered: dict[str, Package] = field(default_factory=dict)
    archived: dict[str, Sequence[str]] = field(default_factory=dict)  # versions
    close: dict[str, str] = field(default_factory=dict)  # a name that is not there -> one that is
    read: dict[tuple[str, str], Package] = field(default_factory=dict)  # older versions, as their files say


@dataclass(frozen=True)
class Unknown:
    """What has to be found out before the question can be answered: packages, or what an older version needs."""

    names: frozenset[str] = frozenset()
    older: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class _Fault:
    sentence: str


_Choice = Package | _Fault


def resolve(demands: Sequence[Demand], known: Known) -> tuple[Package, ...] | Unknown:
    """What to take, each after all that it needs. Raises `BuildFailed` when nothing meets the demands."""
    chosen: dict[str, _Choice] = {}
    for _ in range(ROUNDS):
        found = _reached(demands, chosen)
        if unknown := _unknown(found, known):
            return unknown
        chosen, before = {name: _choose(name, found[name], known) for name in found}, chosen
        unread = [each for each in chosen.values() if isinstance(each, Package) and _is_unread(each, known)]
        if unread:
            return Unknown(older=frozenset((each.name, each.version) for each in unread))
        if chosen == before:
            return _ordered(chosen)
    raise BuildFailed("the R packages that are asked for do not fit together: what one needs is in the way of another")


def _reached(demands: Sequence[Demand], chosen: Mapping[str, _Choice]) -> dict[str, list[Demand]]:
    """Every demand on each package, of the person and of what was chosen for him."""
    found: defaultdict[str, list[Demand]] = defaultdict(list)
    pending = list(demands)
    while pending:
        demand = pending.pop(0)
        choice = chosen.get(demand.name)
        if demand.name not in found and isinstance(choice, Package):
            pending += choice.needs
        found[demand.name].append(demand)
    return found


def _unknown(found: Mapping[str, Sequence[Demand]], known: Known) -> Unknown | None:
    names = {name for name in found if _of_machine(name, found[name], known) is None} - known.asked
    names -= {name for name in names if name == R or (name in known.machine and known.machine[name].is_of_r)}
    return Unknown(names=frozenset(names)) if names else None


def _of_machine(name: str, demands: Sequence[Demand], known: Known) -> Package | None:
    package = known.machine.get(name)
    return package if package and all(each.is_met_by(package.version) for each in demands) else None


def _is_unread(package: Package, known: Known) -> bool:
    offered = known.offered.get(package.name)
    is_older = not package.is_of_machine and (offered is None or offered.version != package.version)
    return is_older and (package.name, package.version) not in known.read


def _choose(name: str, demands: Sequence[Demand], known: Known) -> _Choice:
    machine, offered = known.machine.get(name), known.offered.get(name)
    if (fits := _of_machine(name, demands, known)) is not None:
        return fits
    if machine is not None and machine.is_of_r:
        return _Fault(_not_this_r(machine, demands))
    versions = {*known.archived.get(name, ()), *([offered.version] if offered else ())}
    fitting = [each for each in versions if all(demand.is_met_by(each) for demand in demands)]
    if not fitting:
        return _Fault(_no_version(name, versions, demands, known))
    version = max(fitting, key=version_key)
    if offered is not None and version == offered.version:
        return offered
    return known.read.get((name, version), Package(name, version))


def _not_this_r(machine: Package, demands: Sequence[Demand]) -> str:
    unmet = next(each for each in demands if not each.is_met_by(machine.version))
    if machine.name == R:
        return f"{unmet.by or 'the environment'} needs R {_bounds([unmet])}, and here is R {machine.version}"
    return f"the R package {machine.name!r} comes with R, in version {machine.version}, and {_asked([unmet])}"


def _no_version(name: str, versions: Iterable[str], demands: Sequence[Demand], known: Known) -> str:
    newest = sorted(versions, key=version_key, reverse=True)
    if not newest:
        return _no_package(name, demands, known)
    there = ", ".join(newest[:SHOWN_VERSIONS]) + (", …" if len(newest) > SHOWN_VERSIONS else "")
    return f"the R package {name!r} is not available as it is asked for: {_asked(demands)}; there are {there}"


def _no_package(name: str, demands: Sequence[Demand], known: Known) -> str:
    if (machine := known.machine.get(name)) is not None:
        here = f"the R package {name!r} is on this machine in version {machine.version}, and {_asked(demands)}"
        return f"{here}; the package repository has none" if known.has_repository else f"{here}; {NO_REPOSITORY}"
    who = f", which {demands[0].by} asks for" if demands[0].by else ""
    if not known.has_repository:
        return f"the R package {name!r}{who}{',' if who else ''} is not on this machine; {NO_REPOSITORY}"
    close = known.close.get(name) or next(iter(difflib.get_close_matches(name, known.machine, n=1)), "")
    hint = f"; did you mean {close!r}?" if close else ""
    return f"the package repository has no R package named {name!r}{who}{hint}"


def _asked(demands: Iterable[Demand]) -> str:
    """Who asks for what, as a clause."""
    clauses = (
        f"{each.by} {'has' if each.by == RENV_LOCK else 'needs'} {each.name}{_bounds([each])}"
        if each.by
        else f"{str(each)!r} is asked for"
        for each in demands
        if each.bounds
    )
    return " and ".join(dict.fromkeys(clauses))


def _bounds(demands: Iterable[Demand]) -> str:
    return ",".join(f"{sign}{version}" for each in demands for sign, version in each.bounds)


def _ordered(chosen: Mapping[str, _Choice]) -> tuple[Package, ...]:
    """Each after what it needs; the same for the same choice."""
    ordered: dict[str, Package] = {}

    def add(name: str, above: frozenset[str]) -> None:
        choice = chosen[name]
        if isinstance(choice, _Fault):
            raise BuildFailed(choice.sentence)
        if name not in ordered and name not in above:
            for need in sorted(choice.needs, key=lambda each: each.name):
                add(need.name, above | {name})
            ordered[name] = choice

    for name in sorted(chosen):
        add(name, frozenset())
    return tuple(each for each in ordered.values() if each.name != R)
