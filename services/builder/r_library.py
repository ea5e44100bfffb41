"""This file is what an R version is made from besides its packages: this machine's R and library, and the harness."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.builder.build_log import BuildLog
from services.builder.command import RSCRIPT
from services.builder.r_lock import RLock
from services.builder.r_requirements import is_version, needs_of
from services.builder.r_resolution import Package, R
from services.builder.snapshot import ask
from services.core.errors import BuildFailed, Unavailable
from services.core.ids import Digest
from services.core.records import BuildOrder

FORMAT = 2  # grows when environments are made in another way
EXAMINE = Path(__file__).parent / "apart" / "examine.R"
OF_THE_HARNESS = ("plumber", "httpuv", "later", "promises", "processx", "jsonlite")
SERVE = "serve"  # the program of an R environment
LIBRARY = "library"  # beside it: the packages that only the user's function sees
_VERSION = re.compile(r'^HARNESS_VERSION <- "([^"]+)"$', re.MULTILINE)


class _Examined(msgspec.Struct, frozen=True):
    """What `examine.R` writes."""

    fault: str
    detail: str
    r: str
    platform: str
    packages: dict[str, tuple[str, str, str]]  # version, "base" where it is a part of R, needs


@dataclass(frozen=True)
class Machine:
    """The R of this machine: `packages` has R itself, too."""

    platform: str
    packages: Mapping[str, Package]

    @property
    def r(self) -> str:
        return self.packages[R].version


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

    def write(self, folder: Path) -> None:
        """Put its files into `folder`."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755 if name == SERVE else 0o644)


async def read_r_harness(folder: Path | None) -> RHarness:
    """The harness in `folder`. Raises `Unavailable` when it is not there."""
    if folder is None:
        raise BuildFailed("R models cannot be built here: the platform was set up without its R harness")
    try:
        return await asyncio.to_thread(_read_r_harness, folder)
    except (OSError, LookupError) as error:
        raise Unavailable("the R harness cannot be read: R_HARNESS names its folder") from error


def _read_r_harness(folder: Path) -> RHarness:
    paths = (folder / SERVE, *sorted((folder / "R").glob("*.R")))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    found = _VERSION.search(files["R/endpoint.R"].decode())
    if found is None:
        raise LookupError("HARNESS_VERSION")
    return RHarness(version=found[1], files=files)


async def examine_r(order: BuildOrder, source: Path, environ: Mapping[str, str], log: BuildLog) -> Machine:
    """This machine's R, which took a look at the order's script. Raises `BuildFailed` with the first fault."""
    examined = await _examine(source, order.file, order.function, environ, log)
    if examined.fault:
        log.say(examined.detail)
        raise BuildFailed(examined.fault)
    log.say(f"Source: {order.file} can be read, function {order.function}")
    return _machine(examined)


async def describe_machine(folder: Path, environ: Mapping[str, str], log: BuildLog) -> Machine:
    """This machine's R. `folder` is scratch space. Raises `BuildFailed`."""
    nothing = folder / "nothing.R"
    nothing.touch()
    return _machine(await _examine(nothing, "", "", environ, log))


async def _examine(source: Path, name: str, function: str, environ: Mapping[str, str], log: BuildLog) -> _Examined:
    command: list[str | Path] = [*RSCRIPT, EXAMINE, source, name, function]
    # Packages that the builder's user has for himself are not there for the users of instances.
    answer = await ask(
        command, {**environ, "R_LIBS_USER": "NULL"}, b"", too_slow=f"{name}: the source takes too long to be read"
    )
    try:
        return msgspec.json.decode(answer.splitlines()[-1], type=_Examined)
    except (msgspec.DecodeError, IndexError) as error:
        log.say(answer.decode(errors="replace"))
        raise BuildFailed(
            "R is not installed on this machine, or cannot read the source; the build log says more"
        ) from error


def _machine(examined: _Examined) -> Machine:
    """Raises `BuildFailed` when the harness would not run."""
    packages = {R: Package(R, examined.r, is_of_machine=True, is_of_r=True)}
    for name, (version, priority, needs) in examined.packages.items():
        if is_version(version):
            is_of_r = priority == "base"
            asked = () if is_of_r else needs_of(needs, f"{name} {version}")
            packages[name] = Package(name, version, asked, is_of_machine=True, is_of_r=is_of_r)
    for name in OF_THE_HARNESS:
        if name not in packages:
            lack = f"the R package {name!r}, which the harness needs, is not installed"
            raise BuildFailed(f"R models cannot run here: {lack}")
    return Machine(examined.platform, packages)


def whole_lock(lock: RLock, machine: Machine) -> str:
    """The lock with what the harness takes from the machine."""
    own = {name: machine.packages[name].version for name in OF_THE_HARNESS}
    return str(RLock(lock.r, lock.platform, {**lock.machine, **own}, lock.packages))


def r_environment_digest(lock: str, harness: RHarness) -> Digest:
    """The name of the environment that has exactly these contents."""
    return Digest(hashlib.sha256(f"r\0{FORMAT}\0{lock}\0{harness.digest}".encode()).hexdigest())
