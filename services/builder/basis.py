"""This file is what an environment is made from besides requirements: an interpreter and the harness."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.builder.command import Answer, run
from services.builder.requirements import Wanted
from services.core.errors import Unavailable
from services.core.ids import Digest

_DESCRIBE = (
    "import json, platform, sys, sysconfig;"
    "json.dump({'executable': getattr(sys, '_base_executable', sys.executable),"
    " 'version': platform.python_version(),"
    " 'implementation': sys.implementation.cache_tag, 'platform': sysconfig.get_platform()}, sys.stdout)"
)


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """The Python that models run on; `executable` is the installation's own, not a virtual environment's."""

    executable: str
    version: str  # "3.11.7"
    implementation: str  # "cpython-311"
    platform: str  # "linux-x86_64"

    @property
    def minor(self) -> str:
        """As a bundle names it: "3.11"."""
        return ".".join(self.version.split(".")[:2])


async def describe_interpreter(python: Path, environ: Mapping[str, str]) -> Interpreter:
    """What `python` is. Raises `Unavailable` when it does not run."""
    answer = Answer()
    code = await run([python, "-I", "-S", "-c", _DESCRIBE], environ, answer)
    try:
        if code != 0:
            raise Unavailable("the interpreter for models does not run: MODEL_PYTHON names it")
        return msgspec.json.decode(bytes(answer), type=Interpreter)
    except msgspec.DecodeError as error:
        raise Unavailable("the interpreter for models gives no account of itself") from error


@dataclass(frozen=True)
class Harness:
    """The wheel that is installed into every environment, as it was when `read_harness` read it."""

    name: str
    version: str
    requires: tuple[Wanted, ...]
    wheel: Path
    digest: Digest


async def read_harness(wheel: Path, folder: Path) -> Harness:
    """The harness in `wheel`, copied to `folder` first, so that nobody exchanges it under a build.

    Raises `Unavailable` when there is no such wheel, or not yet.
    """
    return await asyncio.to_thread(_read_harness, wheel, folder)


def _read_harness(wheel: Path, folder: Path) -> Harness:
    try:
        copy = Path(shutil.copy(wheel, folder))
        with zipfile.ZipFile(copy) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(name).decode())
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise Unavailable("the harness' wheel cannot be read: HARNESS_WHEEL names it") from error
    return Harness(
        name=canonicalize_name(metadata["Name"]),
        version=metadata["Version"],
        requires=tuple(_wanted(text) for text in metadata.get_all("Requires-Dist", []) if _is_needed(text)),
        wheel=copy,
        digest=Digest(hashlib.sha256(copy.read_bytes()).hexdigest()),
    )


def _is_needed(text: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or "extra" not in str(marker)


def _wanted(text: str) -> Wanted:
    requirement = Requirement(text)
    return Wanted(text=str(requirement), name=canonicalize_name(requirement.name))
