"""This file puts a version's files where its instances see them.

VERSIONS_DIR/<version>-<artifact>/mnt/<user>/<project>
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path

from services.core.errors import Invalid, NotFound, Unavailable, WorkloadRejected
from services.core.languages import Language
from services.core.paths import path_fault
from services.core.records import Bundle, Desired
from services.deployer.runtimes.process.folders import make_passable
from services.deployer.runtimes.process.procfs import boot_id
from services.kit.aging import mark_used, take_away
from services.kit.blobs import Blobs

_ARTIFACT_CHARACTERS = 8
_MARK = "boot"  # a folder of an earlier boot may have lost what was never synced: it is made again


class VersionFiles:
    """The files of versions, each unpacked once, read-only for those who run them."""

    def __init__(self, versions_dir: Path, environments_dir: Path, blobs: Blobs) -> None:
        self._versions_dir = versions_dir
        self._asides: set[str] = set()  # being unpacked now
        self._environments_dir = environments_dir
        self._blobs = blobs
        self._locks: dict[Path, asyncio.Lock] = {}
        self._is_tidy = False

    async def bundle(self, desired: Desired) -> Bundle:
        """What the version is made of. Raises `WorkloadRejected` when it is gone for good, or `Unavailable`."""
        try:
            return await self._blobs.get_document(desired.artifact, Bundle)
        except (NotFound, Invalid) as error:
            raise WorkloadRejected("the version's artifact is not in the blob store any more") from error

    def program(self, bundle: Bundle) -> tuple[str, ...]:
        """What runs an instance of it: a program of its environment, and its first arguments.

        Raises `Unavailable` when that is not here: its builder makes it anew.
        """
        environment = self._environments_dir / bundle.environment
        is_r = bundle.language is Language.R
        path = environment / "serve" if is_r else environment / "bin" / "python"
        if not path.exists():
            raise Unavailable("the environment of this version is not on this machine; it is made anew if that can be")
        return (str(path),) if is_r else (str(path), "-m", "modelway_harness")

    async def project(self, desired: Desired, bundle: Bundle, gid: int | None) -> Path:
        """The project's folder, unpacked when it is not there yet, for nobody but group `gid` where that is given.

        Raises `WorkloadRejected`, `Unavailable`.
        """
        folder = self._versions_dir / f"{desired.version_id}-{desired.artifact[:_ARTIFACT_CHARACTERS]}"
        project = folder / "mnt" / desired.user_name / desired.project_name
        if not project.is_relative_to(folder / "mnt") or ".." in project.parts:
            raise WorkloadRejected("the project's name cannot be the name of a folder")
        async with self._locks.setdefault(folder, asyncio.Lock()):
            if not (await asyncio.to_thread(_is_whole, folder) and mark_used(folder)):
                await self._unpack(folder, project.relative_to(folder), bundle, gid)
        return project

    @property
    def folder(self) -> Path:
        """Where all of them are."""
        return self._versions_dir

    async def take_away(self, name: str, *, unused_since: datetime) -> bool:
        """Remove what has this name in `folder`, unless it was used since; true when it is gone. Raises OSError."""
        folder = self._versions_dir / name
        if name in self._asides:
            return False
        async with self._locks.setdefault(folder, asyncio.Lock()):
            return await asyncio.to_thread(take_away, folder, unused_since=unused_since)

    async def _unpack(self, folder: Path, project: Path, bundle: Bundle, gid: int | None) -> None:
        make_passable(self._versions_dir)
        if not self._is_tidy:  # what an earlier deployer was unpacking when it died
            self._is_tidy = True
            for left in self._versions_dir.glob(".*"):
                await asyncio.to_thread(_discard, left)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=self._versions_dir))
        self._asides.add(aside.name)
        try:
            await self._blobs.fetch(bundle.files, aside / "files.tar")
            await asyncio.to_thread(_extract, aside, project, gid)
            await asyncio.to_thread(_put_in_place, aside, folder)
        except (NotFound, Invalid) as error:
            raise WorkloadRejected("the version's files are not in the blob store any more") from error
        except tarfile.TarError as error:
            raise WorkloadRejected(f"the version's files cannot be unpacked: {error}") from error
        except OSError as error:
            raise Unavailable(f"the version's files cannot be written: {error.strerror}") from error
        finally:
            await asyncio.to_thread(_discard, aside)
            self._asides.discard(aside.name)


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / _MARK).read_text() == boot_id()
    except OSError:
        return False


def _extract(aside: Path, project: Path, gid: int | None) -> None:
    target = aside / project
    target.mkdir(parents=True)
    with tarfile.open(aside / "files.tar") as tar:
        for member in tar:
            _extract_file(tar, member, target)
    (aside / "files.tar").unlink()
    for folder, _, _ in os.walk(aside / "mnt", topdown=False):
        os.chmod(folder, 0o555)  # noqa: S103  # its reader is another user; the folder above keeps others out
    (aside / _MARK).write_text(boot_id())
    if gid is not None:
        os.chown(aside, -1, gid)
    os.chmod(aside, 0o750 if gid is not None else 0o755)


def _extract_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Only plain files below `target`: extraction filters came to Python after 3.11.0, so the rule is ours."""
    content = tar.extractfile(member) if member.isfile() else None
    fault = path_fault(member.name) or (None if content is not None else "is not a plain file")
    if content is None or fault is not None:
        raise tarfile.ExtractError(f"the path {member.name!r} {fault}")
    path = target / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("xb") as copy:
        shutil.copyfileobj(content, copy)
    path.chmod(0o555 if member.mode & stat.S_IXUSR else 0o444)


def _put_in_place(aside: Path, folder: Path) -> None:
    if folder.exists():  # of an earlier boot: nothing runs from it
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
        folder.rename(old / "it")
        _discard(old)
    aside.rename(folder)


def _discard(folder: Path) -> None:
    for each, _, _ in os.walk(folder):
        os.chmod(each, 0o700)  # its folders may be read-only for us too
    shutil.rmtree(folder, ignore_errors=True)
