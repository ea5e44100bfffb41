"""This file is what of a directory belongs to a project: its regular files, with their digests."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelway.errors import UnfitDirectory
from modelway.records import Json

SKIPPED = frozenset({".git", ".venv", "__pycache__", ".modelway"})
"""Names that are never part of a project. `.modelignore` is applied where the version is built."""

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class ProjectFile:
    """One file as it was when its digest was taken. `path` is relative, with forward slashes."""

    path: str
    location: Path
    mode: int
    size_bytes: int
    sha256: str

    @property
    def entry(self) -> Json:
        """Its line in a manifest."""
        return {"path": self.path, "mode": self.mode, "sizeBytes": self.size_bytes, "sha256": self.sha256}

    def chunks(self) -> Iterator[bytes]:
        """Its content from the beginning. Raises UnfitDirectory when it is not what it was, or unreadable."""
        digest = hashlib.sha256()
        left_bytes = self.size_bytes
        try:
            with self.location.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    left_bytes -= len(chunk)
                    if left_bytes <= 0:
                        break
                    yield chunk
        except OSError as error:
            raise UnfitDirectory(f"{self.path} cannot be read: {error.strerror}.") from error
        # The last chunk is held back until the digest is known, so that a changed file is never wholly sent.
        if left_bytes or digest.hexdigest() != self.sha256:
            raise UnfitDirectory(f"{self.path} changed while it was uploaded: publish again.")
        yield chunk


def read_directory(directory: Path) -> list[ProjectFile]:
    """The files below `directory`, sorted by path. Raises UnfitDirectory on the first bad one.

    Symbolic links are refused, not followed: they could carry files of this machine into a published version.
    """
    files = sorted((_read_file(directory, path) for path in _walk(directory)), key=lambda file: file.path)
    if not files:
        raise UnfitDirectory(f"{directory} holds no files to publish.")
    return files


def _walk(directory: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise UnfitDirectory(f"{directory} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name in SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)


def _read_file(directory: Path, location: Path) -> ProjectFile:
    path = location.relative_to(directory).as_posix()
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if shown != path:
        raise UnfitDirectory(f"{shown} cannot be published: its name is not UTF-8.")
    try:
        found = location.lstat()
        _refuse_unless_regular(path, found.st_mode)
        with location.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
    except OSError as error:
        raise UnfitDirectory(f"{path} cannot be read: {error.strerror}.") from error
    # Only the owner's execute bit has a meaning; the rest would make equal projects differ by umask.
    mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
    return ProjectFile(path=path, location=location, mode=mode, size_bytes=size_bytes, sha256=digest)


def _refuse_unless_regular(path: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise UnfitDirectory(f"{path} is a symbolic link, which cannot be published: put the file itself there.")
    if not stat.S_ISREG(mode):
        raise UnfitDirectory(f"{path} is not a regular file and cannot be published.")
