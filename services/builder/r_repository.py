"""This file is the repository of R packages that the platform's owner named: what it offers, and packages' sources."""

from __future__ import annotations

import asyncio
import hashlib
import re
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from services.builder.build_log import BuildLog
from services.builder.command import RSCRIPT, Answer, run
from services.builder.r_requirements import is_version, needs_in, needs_of
from services.builder.r_resolution import NO_REPOSITORY, Known, Package
from services.core.errors import BuildFailed, Unavailable
from services.core.ids import Digest
from services.kit.config import Secret

PROGRAM = Path(__file__).parent / "apart" / "repository.R"
ANSWER_BYTES = 16 << 20
MAX_DESCRIPTION_BYTES = 1 << 20


class _Offers(msgspec.Struct, frozen=True):
    fault: str
    offers: dict[str, tuple[str, str]] = {}  # version and needs
    archived: dict[str, tuple[str, ...]] = {}
    close: dict[str, str] = {}


class _Fetched(msgspec.Struct, frozen=True):
    fault: str
    missing: tuple[str, ...] = ()


_Told = TypeVar("_Told", _Offers, _Fetched)


@dataclass(frozen=True)
class Repository:
    """`url` None: there is none. R goes there, in `environ`, from a scratch folder."""

    url: Secret | None
    environ: Mapping[str, str]

    async def find_out(self, names: Collection[str], known: Known, log: BuildLog) -> None:
        """Add to `known` what there is of these packages and of all that they need. Raises `Unavailable`."""
        known.asked |= set(names)
        known.has_repository = self.url is not None
        if not known.has_repository:
            return
        told = await self._ask(("offers",), names, _Offers, log)
        if told.fault:
            raise _not_reached(told.fault)
        for name, (version, needs) in told.offers.items():
            if is_version(version):
                known.offered[name] = Package(name, version, needs_of(needs, f"{name} {version}"))
        known.archived.update(told.archived)
        known.close.update({name: close for name, close in told.close.items() if close})

    async def fetch(self, packages: Collection[tuple[str, str]], folder: Path, log: BuildLog) -> set[tuple[str, str]]:
        """Sources, as `source_in` names them. Returns what the repository does not have; raises `Unavailable`."""
        lines = [f"{name} {version}" for name, version in packages]
        told = await self._ask(("fetch", str(folder)), lines, _Fetched, log)
        if told.fault:
            raise _not_reached(told.fault)
        return {each for each in packages if f"{each[0]} {each[1]}" in told.missing}

    async def _ask(self, arguments: tuple[str, ...], lines: Collection[str], kind: type[_Told], log: BuildLog) -> _Told:
        if self.url is None:
            raise BuildFailed(f"R packages are to be fetched, and {NO_REPOSITORY}")
        question = "".join(f"{line}\n" for line in (self.url.reveal().rstrip("/"), *lines))
        answer = Answer(ANSWER_BYTES)
        command: list[str | Path] = [*RSCRIPT, PROGRAM, *arguments]
        await run(command, self.environ, answer, question=question.encode())
        try:
            return msgspec.json.decode(bytes(answer).splitlines()[-1], type=kind)
        except (msgspec.MsgspecError, IndexError) as error:
            log.say(bytes(answer).decode(errors="replace")[-2000:])
            raise Unavailable("the repository of R packages could not be asked; the build log says more") from error


def source_in(folder: Path, name: str, version: str) -> Path:
    """Where `fetch` puts a package's source."""
    return folder / f"{name}_{version}.tar.gz"


async def digest_of(source: Path) -> Digest:
    """The SHA-256 of a file."""

    def read() -> str:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return Digest(await asyncio.to_thread(read))


async def read_source(source: Path, name: str, version: str) -> Package:
    """The package as its own DESCRIPTION says. Raises `BuildFailed` when it has none."""

    def read() -> str:
        with tarfile.open(source) as tar:
            file = tar.extractfile(f"{name}/DESCRIPTION")
            if file is None:
                raise KeyError(name)
            return file.read(MAX_DESCRIPTION_BYTES).decode(errors="replace")

    try:
        return Package(name, version, needs_in(await asyncio.to_thread(read), f"{name} {version}"))
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise BuildFailed(f"what the package repository has as {name} {version} is not the source of it") from error


def _not_reached(said: str) -> Unavailable:
    """`said` may have the repository's address in it: it is told to nobody."""
    if re.search(r"HTTP status was '40[13]", said):
        return Unavailable("the repository of R packages refuses the platform's credentials")
    status = re.search(r"HTTP status was '([^']+)'", said)
    what = f"answers {status[1]}" if status else "does not answer"
    return Unavailable(f"the repository of R packages {what}", retry_after_s=5.0)
