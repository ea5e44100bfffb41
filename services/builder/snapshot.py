"""This file is the project as a version gets it: the snapshot's files without the ignored ones, checked."""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from services.builder.apart import ignore, source
from services.builder.basis import Interpreter
from services.builder.build_log import BuildLog
from services.builder.command import Answer, run
from services.core.errors import BuildFailed, NotFound, Unavailable
from services.core.languages import NAMED, Language, language_of, written_in
from services.core.paths import paths_fault
from services.core.records import BuildOrder, FileEntry, Manifest
from services.kit.blobs import Blobs

IGNORE_FILE = ".modelignore"
MAX_IGNORE_BYTES = 256 * 1024
MAX_SOURCE_BYTES = 16 << 20
ANSWER_BYTES = 1 << 20
CHECK_S = 20.0  # for each of the programs that look at what the person wrote


class _LeftOut(msgspec.Struct):
    left_out: frozenset[str] = frozenset()
    fault: tuple[str, ...] = ()


class _Examined(msgspec.Struct):
    fault: str
    detail: str


async def read_project(
    blobs: Blobs, order: BuildOrder, environ: Mapping[str, str], log: BuildLog
) -> tuple[FileEntry, ...]:
    """The files of the order's snapshot that belong into the version, by path.

    Raises `BuildFailed` for a path or a pattern that cannot be, and when the order's file is not among them.
    """
    try:
        manifest = await blobs.get_document(order.snapshot, Manifest)
    except NotFound as error:
        raise BuildFailed("the project's snapshot is not in the store") from error
    if fault := paths_fault(entry.path for entry in manifest.files):
        raise BuildFailed(f"the project cannot be built: {fault}")
    left_out = await _left_out(blobs, manifest, order.exclude_files, environ)
    kept = tuple(sorted((e for e in manifest.files if e.path not in left_out), key=lambda entry: entry.path))
    size = sum(entry.size_bytes for entry in kept)
    log.say(f"Project: {len(kept)} files, {size} bytes; {len(left_out)} files are left out by ignore patterns")
    if fault := file_fault(order.file, [entry.path for entry in kept], left_out, order.language):
        raise BuildFailed(fault)
    return kept


def file_fault(file: str, paths: Sequence[str], left_out: frozenset[str], said: Language | None = None) -> str | None:
    """Why `file` cannot be a version's file, as a sentence; None when it can.

    >>> file_fault("Model.py", ["model.py"], frozenset())
    "file 'Model.py' is not in the project; did you mean 'model.py'?"
    """
    if file in left_out:
        return f"file {file!r} is left out of the version by {IGNORE_FILE} or by the files to exclude"
    if file not in paths:
        same = [path for path in paths if path.rpartition("/")[2].lower() == file.rpartition("/")[2].lower()]
        close = same or difflib.get_close_matches(file, [path for path in paths if language_of(path)], n=1)
        return f"file {file!r} is not in the project" + (f"; did you mean {close[0]!r}?" if close else "")
    if written_in(file, said) is None:
        return f"file {file!r} is neither Python nor R: its name {NAMED}"
    return None


async def check_source(
    blobs: Blobs,
    order: BuildOrder,
    files: Sequence[FileEntry],
    interpreter: Interpreter,
    environ: Mapping[str, str],
    folder: Path,
    log: BuildLog,
) -> None:
    """Return when the order's file is Python and may define its function; else raise `BuildFailed` with the line."""
    copy = await fetch_source(blobs, order, files, folder)
    command: list[str | Path] = [
        interpreter.executable,
        "-I",
        "-S",
        source.__file__,
        copy,
        order.file,
        order.function,
    ]
    answer = await ask(command, environ, b"", too_slow=f"{order.file}: the source takes too long to be read")
    try:
        examined = msgspec.json.decode(answer, type=_Examined)
    except msgspec.DecodeError as error:  # it brought the interpreter's own parser down
        log.say(answer.decode(errors="replace"))
        raise BuildFailed(f"{order.file}: Python cannot read the source") from error
    if examined.fault:
        log.say(examined.detail)
        raise BuildFailed(examined.fault)
    log.say(f"Source: {order.file} can be read, function {order.function}")


async def fetch_source(blobs: Blobs, order: BuildOrder, files: Sequence[FileEntry], folder: Path) -> Path:
    """A copy, in `folder`, of the order's file. Raises `BuildFailed` when it is too large, or lost."""
    entry = next(entry for entry in files if entry.path == order.file)
    if entry.size_bytes > MAX_SOURCE_BYTES:
        raise BuildFailed(f"{order.file}: larger than {MAX_SOURCE_BYTES >> 20} MB, which is too much for source")
    copy = folder / "source"
    try:
        await blobs.fetch(entry.digest, copy)
    except NotFound as error:
        raise BuildFailed(f"the content of {order.file!r} is not in the store") from error
    return copy


async def _left_out(
    blobs: Blobs, manifest: Manifest, exclude_files: Sequence[str], environ: Mapping[str, str]
) -> frozenset[str]:
    sources = [(IGNORE_FILE, await _ignore_lines(blobs, manifest)), ("excludeFiles", list(exclude_files))]
    if not any(lines for _, lines in sources):
        return frozenset()
    question = {"sources": sources, "paths": [entry.path for entry in manifest.files]}
    data = await ask(
        [sys.executable, "-I", ignore.__file__],
        environ,
        msgspec.json.encode(question),
        too_slow=f"the patterns of {IGNORE_FILE} and excludeFiles take too long: use fewer '*' in one",
    )
    try:
        answer = msgspec.json.decode(data, type=_LeftOut)
    except msgspec.DecodeError as error:
        raise Unavailable("the ignore patterns could not be applied") from error
    if answer.fault:
        raise BuildFailed(answer.fault[0])
    return answer.left_out


async def _ignore_lines(blobs: Blobs, manifest: Manifest) -> list[str]:
    entry = next((entry for entry in manifest.files if entry.path == IGNORE_FILE), None)
    if entry is None:
        return []
    if entry.size_bytes > MAX_IGNORE_BYTES:
        raise BuildFailed(f"{IGNORE_FILE} is larger than {MAX_IGNORE_BYTES >> 10} kB")
    try:
        return (await blobs.get(entry.digest)).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BuildFailed(f"{IGNORE_FILE} is not UTF-8") from error


async def ask(command: Sequence[str | Path], environ: Mapping[str, str], question: bytes, *, too_slow: str) -> bytes:
    """What a program that looks at a person's files writes. Raises `BuildFailed`, saying `too_slow`, past its time."""
    answer = Answer(limit_bytes=len(question) + ANSWER_BYTES)
    try:
        async with asyncio.timeout(CHECK_S):
            await run(command, environ, answer, question=question)
    except TimeoutError as error:
        raise BuildFailed(too_slow) from error
    return bytes(answer)
