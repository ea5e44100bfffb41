"""This file makes environments: one per lock, in a folder named by what it holds, shared and never changed.

An environment is made aside and renamed into place when it is whole: whoever sees the folder may use it. `uv
venv --relocatable` and bytecode that does not depend on its place make that possible. Builders on one machine
agree by `flock`, which the kernel takes back from a builder that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.builder.apart import bytecode
from services.builder.basis import Harness, Interpreter
from services.builder.build_log import BuildLog
from services.builder.command import FULL, NO_ROOM, Tail, run
from services.builder.requirements import locked_versions
from services.core.collection import Held
from services.core.errors import Unavailable
from services.core.ids import Digest, is_digest
from services.kit.aging import ASIDE, look, mark_used, take_away

FORMAT = 1  # grows when environments are made in another way
MAX_COMPILERS = 4
PROGRAMS = ("bin/python", "serve")  # one of them is in every environment: that of Python, that of R
_TRY_LOCK_S = 0.1

# Copies: through a hard link a model that writes into its environment would write into everybody's. No bytecode
# here: uv's compiler runs the `.pth` files of what it just installed, with the builder's rights.
VENV = ("venv", "--quiet", "--relocatable")
INSTALL = (
    *("pip", "install", "--quiet", "--link-mode=copy", "--no-compile-bytecode"),
    *("--no-deps", "--require-hashes", "--only-binary=:all:"),
)


def environment_digest(lock: str, interpreter: Interpreter, harness: Harness) -> Digest:
    """The name of the environment that has exactly these contents."""
    basis = [
        str(FORMAT),
        lock,
        interpreter.version,
        interpreter.implementation,
        interpreter.platform,
        harness.digest,
    ]
    return Digest(hashlib.sha256("\0".join(basis).encode()).hexdigest())


@dataclass(frozen=True)
class Environments:
    """The environments under `folder`, made with `uv` in `environ`."""

    folder: Path
    uv: Path
    environ: Mapping[str, str]

    async def ensure(self, lock: str, interpreter: Interpreter, harness: Harness, work: Path, log: BuildLog) -> Digest:
        """The digest of the environment that `lock` describes, which exists once this returns.

        Raises `Unavailable` when it could not be made: what a lock names was there when it was locked.
        """
        digest = environment_digest(lock, interpreter, harness)
        await self.ensure_as(digest, lock, interpreter, harness, work, log)
        return digest

    async def ensure_as(
        self, digest: Digest, lock: str, interpreter: Interpreter, harness: Harness, work: Path, log: BuildLog
    ) -> None:
        """The same under a name from before, of another interpreter or harness. Raises `Unavailable`."""
        async with self._locked(digest):
            if self.is_whole(digest) and mark_used(self.folder / digest):
                log.say(f"Environment: {digest[:12]} is reused")
            else:
                log.say(f"Environment: {digest[:12]} is being made with Python {interpreter.version}")
                await self._make(digest, lock, interpreter, harness, work, log)

    def sweep(self) -> None:
        """Take away what builders that died left half made or half removed. What a living one works on stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in (*self.folder.glob(".*.partial"), *self.folder.glob(f".*{ASIDE}")):
            with self._try_lock(left.name.split(".")[1]) as is_locked:
                if is_locked:
                    shutil.rmtree(left, ignore_errors=True)

    async def ensure_made(self, digest: Digest, make: Callable[[Path], Awaitable[None]], log: BuildLog) -> None:
        """The environment `digest`. Where it is not there, `make` makes the folder that it gets, and fills it."""
        async with self._locked(digest):
            if self.is_whole(digest) and mark_used(self.folder / digest):
                log.say(f"Environment: {digest[:12]} is reused")
                return
            aside = self._aside(digest)
            try:
                await make(aside)
                await asyncio.to_thread(_open_to_all, aside)
                await asyncio.to_thread(self._move_into_place, aside, digest)
            finally:
                await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)

    def held(self) -> list[Held]:
        """The environments that are in place."""
        return [each for each in look(self.folder) if is_digest(each.name)]

    def take_away(self, digest: str, *, unused_since: datetime) -> bool:
        """Remove an environment, unless it was used since or is being made; true when it is gone."""
        with self._try_lock(digest) as is_locked:
            is_gone = is_locked and take_away(self.folder / digest, unused_since=unused_since)
            if is_gone:
                self._lock_file(digest).unlink(missing_ok=True)
        return is_gone

    def is_whole(self, digest: Digest) -> bool:
        """A system upgrade can take the interpreter away from under an environment: then it is made anew."""
        return any((self.folder / digest / program).exists() for program in PROGRAMS)

    @contextlib.asynccontextmanager
    async def _locked(self, digest: Digest) -> AsyncIterator[None]:
        while True:
            with self._try_lock(digest) as is_locked:
                if is_locked:
                    yield
                    return
            await asyncio.sleep(_TRY_LOCK_S)  # the order's own timeout ends this

    @contextlib.contextmanager
    def _try_lock(self, digest: str) -> Iterator[bool]:
        """Whether this environment is ours alone inside."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self._lock_file(digest)
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _has_locked(descriptor, place)
        finally:
            os.close(descriptor)  # gives the lock back

    def _lock_file(self, digest: str) -> Path:
        return self.folder / f".{digest}.lock"

    async def _make(
        self, digest: Digest, lock: str, interpreter: Interpreter, harness: Harness, work: Path, log: BuildLog
    ) -> None:
        aside = self._aside(digest)
        try:
            await self._call([self.uv, *VENV, "--python", interpreter.executable, aside], log)
            log.say(f"Environment: installing {len(locked_versions(lock))} packages and the harness")
            for version in locked_versions(lock):
                log.say(f"  {version}")
            await self._install(aside, lock, harness, work, log)
            log.say("Environment: compiling to bytecode")
            await self._compile(aside, interpreter, log)
            await asyncio.to_thread(_open_to_all, aside)
            await asyncio.to_thread(self._move_into_place, aside, digest)
        finally:
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)

    async def _install(self, aside: Path, lock: str, harness: Harness, work: Path, log: BuildLog) -> None:
        locked = work / "environment.lock"
        own = f"{harness.name} @ {harness.wheel.as_uri()} --hash=sha256:{harness.digest}\n"
        locked.write_text(lock + own, encoding="utf-8")
        await self._call([self.uv, *INSTALL, "--python", aside / "bin" / "python", "-r", locked], log)

    async def _compile(self, aside: Path, interpreter: Interpreter, log: BuildLog) -> None:
        parts = min(MAX_COMPILERS, os.cpu_count() or 1)
        python = [interpreter.executable, "-I", "-S", bytecode.__file__]
        async with asyncio.TaskGroup() as group:
            compilers = [
                group.create_task(run([*python, aside / "lib", str(part), str(parts)], self.environ, log.write))
                for part in range(parts)
            ]
        if any(compiler.result() for compiler in compilers):
            raise Unavailable("the environment could not be compiled to bytecode", retry_after_s=5.0)

    async def _call(self, arguments: Sequence[str | Path], log: BuildLog) -> None:
        said = Tail()
        code = await run(arguments, self.environ, said.then(log.write))
        log.end_output()
        if code != 0:
            if FULL in bytes(said):
                raise Unavailable(NO_ROOM, retry_after_s=5.0)
            raise Unavailable(f"the environment could not be made: a program ended with {code}", retry_after_s=5.0)

    def _aside(self, digest: str) -> Path:
        return self.folder / f".{digest}.{secrets.token_hex(4)}.partial"

    def _move_into_place(self, aside: Path, digest: Digest) -> None:
        place = self.folder / digest
        if place.exists():  # it lost its interpreter
            broken = self._aside(digest)
            place.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
        mark_used(aside)
        os.sync()  # what is in place is whole, also after the power went
        aside.rename(place)


def _has_locked(descriptor: int, place: Path) -> bool:
    """False when somebody else has it, or has just removed the file with the environment."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(place))
    except (BlockingIOError, FileNotFoundError):
        return False


def _open_to_all(folder: Path) -> None:
    """Everyone may read, nobody but the owner may write: instances run as other users, whatever the cache's modes."""
    for where, _, files in os.walk(folder):
        os.chmod(where, 0o755)  # noqa: S103  (they are there to be read)
        for file in files:
            path = os.path.join(where, file)
            mode = os.lstat(path).st_mode
            if stat.S_ISREG(mode):
                os.chmod(path, 0o755 if mode & stat.S_IXUSR else 0o644)
