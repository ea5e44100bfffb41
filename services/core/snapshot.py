"""This file is what may be in a snapshot of a project: which paths, how many files, how many bytes.

A snapshot is a list of regular files. Symbolic links, devices and empty folders cannot be said in it, so that the same
snapshot is the same files on every machine, whoever unpacks it.
"""

from __future__ import annotations

import re
import stat
import unicodedata
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from services.core.errors import Invalid, TooLarge
from services.core.ids import Digest, is_digest
from services.core.languages import NAMED, Language, language_of
from services.core.names import shortened
from services.core.paths import path_fault
from services.core.records import FileEntry, Manifest

GIBIBYTE = 1024**3

_PLATFORM_FOLDER = ".modelway"  # keys and state of a platform or a client live in it: never to be uploaded
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
_DRIVE = re.compile(r"[A-Za-z]:(/|$)")


class SnapshotLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large a snapshot may be; the platform's owner may set others."""

    files: int = 100_000
    total_bytes: int = 10 * GIBIBYTE
    file_bytes: int = 2 * GIBIBYTE


def manifest(files: Sequence[FileEntry], limits: SnapshotLimits) -> Manifest:
    """The manifest of `files`, sorted, with modes 0o644 or 0o755 only, so that equal files are equal manifests.

    Raises `Invalid` or `TooLarge` with one sentence about the first file that does not fit.
    """
    if not files:
        raise Invalid("files must not be empty: a snapshot has at least one file", field="files")
    if len(files) > limits.files:
        raise TooLarge(f"a snapshot may have at most {limits.files} files, got {len(files)}")
    for entry in files:
        _check_path(entry.path)
        _check_content(entry, limits)
    total = sum(entry.size_bytes for entry in files)
    if total > limits.total_bytes:
        raise TooLarge(f"a snapshot may have at most {limits.total_bytes} bytes, got {total}")
    _check_together(files)
    return Manifest(files=tuple(sorted(map(_with_plain_mode, files), key=lambda entry: entry.path)))


def check_language(language: str | None, *, field: str = "language") -> Language | None:
    """The language that was said, where one was."""
    if language is not None and language not in list(Language):
        raise Invalid(f"{field} must be {' or '.join(Language)}, got {shortened(language)}", field=field)
    return None if language is None else Language(language)


def check_script(path: str, said: Language | None = None, *, field: str = "file") -> str:
    """The path of the file that holds a version's function: inside the project, and Python or R.

    Where the publisher `said` which, its name may be any that does not say otherwise.
    """
    if (fault := _fault(path)) is not None:
        raise Invalid(f"{field} must be a path inside the project, and {shortened(path)} {fault}", field=field)
    named = language_of(path)
    if named is None and said is None:
        raise Invalid(f"{field} {NAMED}, got {shortened(path)}", field=field)
    if named is not None and said not in (None, named):
        raise Invalid(f"{field} is {named} by its name, {shortened(path)}, and language says {said}", field=field)
    return path


def _check_path(path: str) -> None:
    if (fault := _fault(path)) is not None:
        raise Invalid(f"the path {shortened(path)} {fault}", field="files")


def _fault(path: str) -> str | None:
    """What is wrong with `path`, as the end of a sentence; None when nothing is."""
    if (fault := path_fault(path)) is not None:
        return fault
    if "\\" in path:
        return "has a backslash in it: folders are separated by '/'"
    if _DRIVE.match(path) is not None:
        return "is absolute"
    names = path.split("/")
    if names[0].casefold() == _PLATFORM_FOLDER:
        return f"is reserved: {_PLATFORM_FOLDER} holds keys of the platform"
    for name in names:
        if name.split(".")[0].casefold() in _DEVICES:
            return "has a name in it that is reserved for a device on some machines"
    return None


def _check_content(entry: FileEntry, limits: SnapshotLimits) -> None:
    path = shortened(entry.path)
    if not is_digest(entry.digest):
        raise Invalid(f"the sha256 of {path} must be 64 lower-case hexadecimal characters", field="files")
    if entry.size_bytes < 0:
        raise Invalid(f"the sizeBytes of {path} must not be negative", field="files")
    if entry.size_bytes > limits.file_bytes:
        raise TooLarge(f"a file may have at most {limits.file_bytes} bytes, {path} has {entry.size_bytes}")
    if not 0 <= entry.mode <= 0o177777 or stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
        raise Invalid(
            f"{path} is not a regular file: symbolic links, folders and devices cannot be in a snapshot", field="files"
        )


def _check_together(files: Sequence[FileEntry]) -> None:
    """No two files may meet in one place, also not where names are compared without regard to case or composition."""
    seen: dict[str, str] = {}
    sizes: dict[Digest, int] = {}
    for entry in files:
        key = _folded(entry.path)
        if (other := seen.get(key)) == entry.path:
            raise Invalid(f"the path {shortened(entry.path)} occurs twice", field="files")
        if other is not None:
            both = f"{shortened(other)} and {shortened(entry.path)}"
            raise Invalid(f"the paths {both} differ only in case or in how an accent is written", field="files")
        seen[key] = entry.path
        if sizes.setdefault(entry.digest, entry.size_bytes) != entry.size_bytes:
            raise Invalid(
                f"the file {shortened(entry.path)} has the sha256 of another file, but not its size", field="files"
            )
    for key, path in seen.items():
        for place, character in enumerate(key):
            if character == "/" and (file := seen.get(key[:place])) is not None:
                raise Invalid(f"{shortened(file)} is both a file and a folder of {shortened(path)}", field="files")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _with_plain_mode(entry: FileEntry) -> FileEntry:
    return replace(entry, mode=0o755 if entry.mode & stat.S_IXUSR else 0o644)
