"""This file is what an R version is made from: this machine's R, the packages in its library, and the harness' files.

So far nothing is installed for an R version. What it asks for is compared with what the machine has, and what was found
is written down as its lock; the harness is copied, so that what runs is not exchanged under it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from services.builder.build_log import BuildLog
from services.builder.requirements import parse_requirements
from services.builder.snapshot import ask
from services.core.errors import BuildFailed, Unavailable
from services.core.ids import Digest
from services.core.records import BuildOrder

FORMAT = 1  # grows when environments are made in another way
EXAMINE = Path(__file__).parent / "apart" / "examine.R"
OF_THE_HARNESS = ("plumber", "httpuv", "later", "promises", "processx", "jsonlite")
_VERSION = re.compile(r'^HARNESS_VERSION <- "([^"]+)"$', re.MULTILINE)
_PACKAGE = re.compile(r"[A-Za-z][A-Za-z0-9.]*")


class Examined(msgspec.Struct, frozen=True):
    """What `examine.R` writes."""

    fault: str
    detail: str
    r: str
    platform: str
    packages: dict[str, str]


@dataclass(frozen=True)
class RHarness:
    """The R harness as it was when `read_r_harness` read it: its files by their paths."""

    version: str
    files: Mapping[str, bytes]

    @property
    def digest(self) -> Digest:
        told = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            told.update(f"{path}\0{len(content)}\0".encode() + content)
        return Digest(told.hexdigest())


async def read_r_harness(folder: Path | None) -> RHarness:
    """The harness in `folder`. Raises `Unavailable` when it is not there."""
    if folder is None:
        raise BuildFailed("R models cannot be built here: the platform was set up without its R harness")
    try:
        return await asyncio.to_thread(_read_r_harness, folder)
    except (OSError, LookupError) as error:
        raise Unavailable("the R harness cannot be read: R_HARNESS names its folder") from error


def _read_r_harness(folder: Path) -> RHarness:
    paths = (folder / "serve", *sorted((folder / "R").glob("*.R")))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    found = _VERSION.search(files["R/endpoint.R"].decode())
    if found is None:
        raise LookupError("HARNESS_VERSION")
    return RHarness(version=found[1], files=files)


async def examine_r(order: BuildOrder, source: Path, environ: Mapping[str, str], log: BuildLog) -> Examined:
    """R's view of the order's script, with the versions of all packages. Raises `BuildFailed` with the first fault."""
    wanted = wanted_packages(order.requirements)
    names = sorted({*OF_THE_HARNESS, *(one.name for one in wanted)})
    command: list[str | Path] = ["Rscript", "--vanilla", EXAMINE, source, order.file, order.function, *names]
    answer = await ask(command, environ, b"", too_slow=f"{order.file}: the source takes too long to be read")
    try:
        examined = msgspec.json.decode(answer.splitlines()[-1], type=Examined)
    except (msgspec.DecodeError, IndexError) as error:
        log.say(answer.decode(errors="replace"))
        raise BuildFailed(
            "R is not installed on this machine, or cannot read the source; the build log says more"
        ) from error
    if examined.fault:
        log.say(examined.detail)
        raise BuildFailed(examined.fault)
    if fault := library_fault(wanted, examined.packages):
        raise BuildFailed(fault)
    log.say(f"Source: {order.file} can be read, function {order.function}")
    return examined


def wanted_packages(requirements: str) -> tuple[Requirement, ...]:
    """The R packages that the lines of `requirements` name, with or without a version. Raises `Invalid`."""
    wanted = tuple(Requirement(one.text) for one in parse_requirements(requirements))
    for one in wanted:
        if one.extras or one.marker or _PACKAGE.fullmatch(one.name) is None:
            raise BuildFailed(f"the requirement {str(one)!r} is not the name of an R package, as in 'jsonlite>=1.8'")
    return wanted


def library_fault(wanted: Sequence[Requirement], packages: Mapping[str, str]) -> str | None:
    """What this machine's library lacks, as a sentence; None when it has all.

    >>> library_fault([Requirement("data.table")], {"data.table": ""})
    "the R package 'data.table' is not installed on this machine; nothing is installed for R models so far"
    >>> library_fault([Requirement("jsonlite>=2")], {"jsonlite": "1.8.4"})
    "the R package 'jsonlite' is here in version 1.8.4, and >=2 is asked for"
    """
    for name in OF_THE_HARNESS:
        if packages.get(name) == "":
            return f"R models cannot run here: the R package {name!r}, which the harness needs, is not installed"
    for one in wanted:
        version = packages.get(one.name, "")
        if not version:
            return (
                f"the R package {one.name!r} is not installed on this machine; nothing is installed for R models so far"
            )
        if not _meets(version, one.specifier):
            return f"the R package {one.name!r} is here in version {version}, and {one.specifier} is asked for"
    return None


def _meets(version: str, specifier: SpecifierSet) -> bool:
    """R writes 7.3.58.2 or 7.3-58.2 for the same."""
    try:
        return not specifier or Version(version.replace("-", ".")) in specifier
    except InvalidVersion:
        return False


def r_lock(examined: Examined) -> str:
    """What was found, as text: R, and each package with its version."""
    packages = "".join(f"{name} {version}\n" for name, version in sorted(examined.packages.items()))
    return f"R {examined.r} {examined.platform}\n{packages}"


def r_environment_digest(lock: str, harness: RHarness) -> Digest:
    """The name of the environment that has exactly these contents."""
    return Digest(hashlib.sha256(f"r\0{FORMAT}\0{lock}\0{harness.digest}".encode()).hexdigest())
