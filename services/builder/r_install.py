"""This file installs R packages, which runs what they bring along: apart from all that is not theirs.

Each is compiled in a scratch folder, in a session of its own and with no secret in sight; where the builder is root, by
a user who may do nothing else. What came of it is then copied: nobody but the builder has an environment in hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.builder.apart import unprivileged
from services.builder.build_log import BuildLog
from services.builder.command import FULL, NO_ROOM, Tail, run
from services.builder.r_lock import Locked
from services.builder.r_repository import source_in
from services.core.errors import BuildFailed, Unavailable

NOBODY = 65534
INSTALL_S = 3600.0  # all packages of one environment; an order's own limit is usually less
_INSTALL = ("R", "CMD", "INSTALL", "--use-vanilla", "--no-docs", "--no-multiarch")
_MARKS = range(64000, 65000)  # groups that nobody else should be in
_PASSED = ("PATH", "LANG")
_LOOKS = 100
_NO_TOOL = re.compile(rb"(?:sh: (?:line )?\d+: |make: )(\S+?): (?:(?:command )?not found|No such file or directory)")
_ERROR = re.compile(r"^ERROR: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class RInstaller:
    """`uid`: who it is done as where the builder is root. Names of scratch folders tell whose `home` they are of."""

    home: Path
    environ: Mapping[str, str]
    uid: int = NOBODY

    async def install(self, packages: Sequence[Locked], sources: Path, library: Path, log: BuildLog) -> None:
        """Make `library` from `packages`, whose sources were checked. Raises `BuildFailed`, `Unavailable`."""
        log.say(f"Environment: installing {len(packages)} R packages")
        with self._scratch() as scratch:
            place = await asyncio.to_thread(self._prepare, scratch, packages, sources)
            async with asyncio.timeout(INSTALL_S):
                for each in packages:
                    log.say(f"  {each.name} {each.version}")
                    await self._install_one(each, place, log)
            await asyncio.to_thread(copy_tree, place / "library", library, self._user)

    def sweep(self) -> None:
        """Take away what builders of this home that died left in the system's folder for temporary files."""
        for left in Path(tempfile.gettempdir()).glob(f"{self._prefix}*"):
            with contextlib.suppress(OSError), _held(left):
                shutil.rmtree(left, ignore_errors=True)

    @property
    def _user(self) -> int:
        return self.uid if os.geteuid() == 0 else os.geteuid()

    @property
    def _prefix(self) -> str:
        return f"modelway-r-{hashlib.sha256(str(self.home).encode()).hexdigest()[:12]}-"

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder that others may go through, so that another user can have a folder in it; it is ours alone."""
        scratch = Path(tempfile.mkdtemp(prefix=self._prefix))
        try:
            with _held(scratch):
                scratch.chmod(0o711)
                yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _prepare(self, scratch: Path, packages: Sequence[Locked], sources: Path) -> Path:
        place = scratch / "place"
        for folder in (place, place / "library", place / "home", place / "tmp"):
            folder.mkdir(mode=0o700)
        for each in packages:
            shutil.copy(source_in(sources, each.name, each.version), place)
        if self._user != os.geteuid():
            for path in (place, *place.iterdir()):
                os.chown(path, self._user, self._user)
        return place

    async def _install_one(self, package: Locked, place: Path, log: BuildLog) -> None:
        user, mark = ("-", -1) if os.geteuid() != 0 else (str(self._user), await asyncio.to_thread(_free_mark, place))
        alone = [sys.executable, "-I", "-S", unprivileged.__file__, user, str(mark)]
        source = source_in(place, package.name, package.version)
        said = Tail()
        try:
            command: list[str | Path] = [*alone, *_INSTALL, f"--library={place / 'library'}", source]
            code = await run(command, self._environ(place), said.then(log.write))
        finally:
            log.end_output()
            if mark in _MARKS:
                await asyncio.to_thread(_end_marked, mark)
        if code != 0:
            raise _failure(package, bytes(said), code, self._user)

    def _environ(self, place: Path) -> dict[str, str]:
        """No address, proxy or credential: what is needed was fetched."""
        kept = {name: value for name, value in self.environ.items() if name in _PASSED}
        own = {"HOME": place / "home", "TMPDIR": place / "tmp", "R_LIBS": place / "library", "R_LIBS_USER": "NULL"}
        return {"LANG": "C.UTF-8", **kept, **{name: str(value) for name, value in own.items()}}


def _failure(package: Locked, said: bytes, code: int, user: int) -> BuildFailed | Unavailable:
    if FULL in said:
        return Unavailable(NO_ROOM, retry_after_s=5.0)
    if code == unprivileged.REFUSED:
        return Unavailable(f"R packages cannot be installed: the builder cannot become user {user}, see R_INSTALL_UID")
    what = f"the R package {package.name!r} {package.version} cannot be installed"
    if (tool := _NO_TOOL.search(said)) is not None:
        return BuildFailed(f"{what}: it has to be compiled, and this machine has no {tool[1].decode(errors='replace')}")
    errors = _ERROR.findall(said.decode(errors="replace"))
    why = errors[0].strip()[:200] if errors else f"R ended with {code}"
    return BuildFailed(f"{what}: {why}; the end of the build log says more")


def copy_tree(source: Path, target: Path, owner: int) -> None:
    """Copy what `owner` made, who may still change it meanwhile: plain files and folders of his only, through no link.

    Raises `BuildFailed` where there is anything else.
    """
    for folder, folders, files, descriptor in os.fwalk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir()
        for name in (*files, *(each for each in folders if _is_link(each, descriptor))):
            _copy_file(name, descriptor, place / name, owner)


def _is_link(name: str, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _copy_file(name: str, folder: int, target: Path, owner: int) -> None:
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise BuildFailed(f"an R package installs {name!r}, which is neither a file nor a folder") from error
    with os.fdopen(opened, "rb") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
            raise BuildFailed(f"an R package installs {name!r}, which is no plain file of its own")
        with target.open("xb") as copy:
            shutil.copyfileobj(file, copy)
    target.chmod(0o755 if found.st_mode & stat.S_IXUSR else 0o644)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder is in hand, until this process dies. Raises BlockingIOError where another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _free_mark(place: Path) -> int:
    """A group for what is done in `place`; two places at a time hardly ever have the same."""
    start = int.from_bytes(hashlib.sha256(str(place).encode()).digest()[:4], "big") % len(_MARKS)
    taken = {group for groups in groups_of_processes().values() for group in groups}
    return next((mark for mark in (*_MARKS[start:], *_MARKS[:start]) if mark not in taken), _MARKS[start])


def _end_marked(mark: int) -> None:
    """End every process in group `mark`: also one that left the session it was started in."""
    for _ in range(_LOOKS):
        marked = [process for process, groups in groups_of_processes().items() if mark in groups]
        if not marked:
            return
        for process in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)


def groups_of_processes() -> dict[int, frozenset[int]]:
    """The supplementary groups of every living process."""
    found = {}
    for each in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            status = each.read_text(errors="replace")
            groups = re.search(r"^Groups:(.*)$", status, re.MULTILINE)
            if groups and not re.search(r"^State:\s+[ZX]", status, re.MULTILINE):
                found[int(each.parent.name)] = frozenset(map(int, groups[1].split()))
    return found
