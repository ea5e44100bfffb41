"""This file builds bundles: a version's files as one tar, and the environment they run in."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.builder.basis import Interpreter, describe_interpreter, read_harness
from services.builder.build_log import BuildLog
from services.builder.environment import Environments
from services.builder.lock import Locksmith
from services.builder.mlflow_model import check_lock, check_mlflow
from services.builder.r_environment import REnvironments
from services.builder.r_library import examine_r, read_r_harness, whole_lock
from services.builder.r_lock import RLocksmith
from services.builder.r_requirements import RENV_LOCK, Demand, r_demands, renv_demands
from services.builder.snapshot import check_source, fetch_source, read_project
from services.core.errors import BuildFailed, NotFound
from services.core.ids import Digest
from services.core.languages import Language, is_mlflow, written_in
from services.core.records import BuildOrder, Bundle, FileEntry
from services.kit.blobs import Blobs

FETCHED_AT_ONCE = 16
IN_MEMORY_BYTES = 1 << 20
MAX_RENV_LOCK_BYTES = 4 << 20
EXECUTABLE, PLAIN = 0o755, 0o644


@dataclass(frozen=True)
class BundleBackend:
    """Builds for the machine it runs on: bundles name environments under `environments`."""

    blobs: Blobs
    locksmith: Locksmith
    environments: Environments
    harness_wheel: Path
    model_python: Path
    environ: Mapping[str, str]
    r_locksmith: RLocksmith
    r_environments: REnvironments
    r_harness: Path | None = None

    async def build(self, order: BuildOrder, folder: Path, log: BuildLog) -> Digest:
        """The digest of the `Bundle` that `order` describes; the same for the same order. `folder` is scratch space.

        Raises `BuildFailed` or `Invalid` with one sentence when what was ordered is at fault,
        `TemporaryError` else.
        """
        files = await read_project(self.blobs, order, self.environ, log)
        if written_in(order.file, order.language) is Language.R:
            return await self._build_r(order, files, folder, log)
        interpreter = await self._interpreter()
        if is_mlflow(order.file):
            order = await check_mlflow(self.blobs, order, files, interpreter.version, log)
        else:
            await check_source(self.blobs, order, files, interpreter, self.environ, folder, log)
        harness = await read_harness(self.harness_wheel, folder)
        lock = await self.locksmith.lock(order, interpreter, harness, folder, log)
        if is_mlflow(order.file):
            check_lock(order.file, lock)
        environment = await self.environments.ensure(lock, interpreter, harness, folder, log)
        bundle = Bundle(
            files=await self._pack(files, folder),
            environment=environment,
            lock=await self.blobs.put(lock.encode()),
            python=interpreter.minor,
            harness_version=harness.version,
        )
        return await self.blobs.put_document(bundle)

    async def remake(self, bundle: Bundle, folder: Path, log: BuildLog) -> None:
        """Make the environment of an earlier build again, from its own lock, by its own name.

        The harness and Python's last number are those of now. Raises `BuildFailed` when only another Python is here,
        `NotFound` when the lock is lost, `TemporaryError` else.
        """
        if bundle.language is Language.R:
            await self._remake_r(bundle, folder, log)
            return
        interpreter = await self._interpreter()
        if interpreter.minor != bundle.python:
            raise BuildFailed(f"it takes Python {bundle.python}, and here is {interpreter.minor}: publish it again")
        harness = await read_harness(self.harness_wheel, folder)
        lock = (await self.blobs.get(bundle.lock)).decode()
        await self.environments.ensure_as(bundle.environment, lock, interpreter, harness, folder, log)

    async def _interpreter(self) -> Interpreter:
        return await describe_interpreter(self.model_python, self.environ)

    async def _pack(self, files: Sequence[FileEntry], folder: Path) -> Digest:
        """A tar of `files`, stored. On the way there are never more than a few of them outside the store."""
        packed = folder / "files.tar"
        with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as tar:
            for start in range(0, len(files), FETCHED_AT_ONCE):
                some = files[start : start + FETCHED_AT_ONCE]
                contents = await asyncio.gather(
                    *(self._content(entry, folder / f"content-{number}") for number, entry in enumerate(some))
                )
                await asyncio.to_thread(_add, tar, some, contents)
        return await self.blobs.put_file(packed)

    async def _build_r(self, order: BuildOrder, files: Sequence[FileEntry], folder: Path, log: BuildLog) -> Digest:
        harness = await read_r_harness(self.r_harness)
        demands = (*r_demands(order.requirements), *await self._pinned(files))
        source = await fetch_source(self.blobs, order, files, folder)
        machine = await examine_r(order, source, self.environ, log)
        locked = await self.r_locksmith.lock(
            order.environment_revision_id, demands, machine.packages, machine.platform, folder, log
        )
        lock = whole_lock(locked, machine)
        environment = await self.r_environments.ensure(lock, harness, folder, log)
        bundle = Bundle(
            files=await self._pack(files, folder),
            environment=environment,
            lock=await self.blobs.put(lock.encode()),
            language=Language.R,
            r=machine.r,
            harness_version=harness.version,
        )
        return await self.blobs.put_document(bundle)

    async def _pinned(self, files: Sequence[FileEntry]) -> tuple[Demand, ...]:
        """What the project's renv.lock asks for, where it has one."""
        entry = next((entry for entry in files if entry.path == RENV_LOCK), None)
        if entry is None:
            return ()
        if entry.size_bytes > MAX_RENV_LOCK_BYTES:
            raise BuildFailed(f"{RENV_LOCK} is larger than {MAX_RENV_LOCK_BYTES >> 20} MB")
        try:
            return renv_demands(await self.blobs.get(entry.digest))
        except NotFound as error:
            raise BuildFailed(f"the content of {RENV_LOCK!r} is not in the store") from error

    async def _remake_r(self, bundle: Bundle, folder: Path, log: BuildLog) -> None:
        harness = await read_r_harness(self.r_harness)
        lock = (await self.blobs.get(bundle.lock)).decode()
        await self.r_environments.remake(bundle.environment, lock, harness, folder, log)

    async def _content(self, entry: FileEntry, copy: Path) -> bytes | Path:
        try:
            if entry.size_bytes <= IN_MEMORY_BYTES:
                return await self.blobs.get(entry.digest)
            await self.blobs.fetch(entry.digest, copy)
            return copy
        except NotFound as error:
            raise BuildFailed(f"the content of {entry.path!r} is not in the store") from error


def _add(tar: tarfile.TarFile, files: Sequence[FileEntry], contents: Sequence[bytes | Path]) -> None:
    """Nothing of the time, the machine or the person gets in: the same files make the same tar."""
    for entry, content in zip(files, contents, strict=True):
        member = tarfile.TarInfo(entry.path)
        member.mode = EXECUTABLE if entry.mode & 0o100 else PLAIN
        if isinstance(content, bytes):
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        else:
            member.size = content.stat().st_size
            with content.open("rb") as file:
                tar.addfile(member, file)
            content.unlink()
