"""This file passes on what instances write: their files are read from a kept offset, and shrink from the front.

A file's bytes are given back to the system once they are accepted, without a change of any offset: a hole is punched.
What was not accepted is kept up to `KEEP_BYTES` a file; of more, the oldest is dropped, and a line says how much.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from services.core.ids import InstanceId
from services.core.ports import Output
from services.core.records import LogLine
from services.deployer.runtimes.process.folders import Folders, write_whole
from services.deployer.runtimes.process.spawn import OUTPUT_FILES
from services.kit.clock import now

KEEP_BYTES = 64 << 20
READ_BYTES = 16 << 10  # of each stream at once
MAX_LINES = 250  # of each stream at once
LINE_BYTES = 16 << 10
_BLOCK_BYTES = 4096
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01


class _Offsets(msgspec.Struct, frozen=True):
    """By stream: up to where it is accepted, and how many bytes before that were dropped and not yet told."""

    accepted: dict[str, int] = {}
    dropped: dict[str, int] = {}


class ProcessOutput:
    """See `core.ports.InstanceOutput`."""

    def __init__(self, folders: Folders, *, keep_bytes: int = KEEP_BYTES) -> None:
        self._folders = folders
        self._keep_bytes = keep_bytes
        self._offsets: dict[InstanceId, _Offsets] = {}

    async def read(self, instance_id: InstanceId, *, is_final: bool) -> Output:
        offsets = self._load(instance_id)
        sizes = self._sizes(instance_id)
        if all(size == offsets.accepted.get(stream, 0) for stream, size in sizes.items()) and not offsets.dropped:
            return Output(lines=(), cursor="")
        return await asyncio.to_thread(self._read, instance_id, offsets, sizes, is_final)

    async def accept(self, instance_id: InstanceId, cursor: str) -> None:
        if cursor and self._folders.of(instance_id).exists():
            accepted = msgspec.json.decode(cursor, type=dict[str, int])
            await asyncio.to_thread(self._accept, instance_id, _Offsets(accepted))

    def forget(self, instance_id: InstanceId) -> None:
        self._offsets.pop(instance_id, None)

    def _read(self, instance_id: InstanceId, offsets: _Offsets, sizes: dict[str, int], is_final: bool) -> Output:
        offsets = self._drop_excess(instance_id, offsets, sizes)
        lines: list[LogLine] = []
        cursor = {}
        for stream, size in sizes.items():
            start = offsets.accepted.get(stream, 0)
            start = start if start <= size else 0  # it was cut by the instance itself
            if dropped := offsets.dropped.get(stream, 0):
                text = f"{dropped} bytes of {stream} are missing here: they came faster than they could be kept"
                lines.append(LogLine(at=now(), text=text, stream="modelway"))
            texts, used = split_lines(self._bytes(instance_id, stream, start), is_final=is_final)
            at = now()
            lines += [LogLine(at=at, text=text, stream=stream) for text in texts]
            cursor[stream] = start + used
        return Output(lines=tuple(lines), cursor=msgspec.json.encode(cursor).decode())

    def _drop_excess(self, instance_id: InstanceId, offsets: _Offsets, sizes: dict[str, int]) -> _Offsets:
        accepted, dropped = dict(offsets.accepted), dict(offsets.dropped)
        for stream, size in sizes.items():
            start = accepted.get(stream, 0)
            if size - start > self._keep_bytes:
                accepted[stream] = size - self._keep_bytes // 2
                dropped[stream] = dropped.get(stream, 0) + accepted[stream] - start
        changed = _Offsets(accepted, dropped)
        if changed != offsets:
            self._accept(instance_id, changed)
        return changed

    def _accept(self, instance_id: InstanceId, offsets: _Offsets) -> None:
        self._offsets[instance_id] = offsets
        folder = self._folders.of(instance_id)
        with suppress(OSError):  # it is told again, then
            write_whole(folder / "output.json", msgspec.json.encode(offsets), 0o600)
        for stream, end in offsets.accepted.items():
            _give_back(folder / OUTPUT_FILES[stream], end)

    def _load(self, instance_id: InstanceId) -> _Offsets:
        if instance_id not in self._offsets:
            offsets = _Offsets()
            with suppress(OSError, msgspec.MsgspecError):
                data = (self._folders.of(instance_id) / "output.json").read_bytes()
                offsets = msgspec.json.decode(data, type=_Offsets)
            self._offsets[instance_id] = offsets
        return self._offsets[instance_id]

    def _sizes(self, instance_id: InstanceId) -> dict[str, int]:
        sizes = {}
        for stream, name in OUTPUT_FILES.items():
            with suppress(OSError):
                sizes[stream] = os.stat(self._folders.of(instance_id) / name, follow_symlinks=False).st_size
        return sizes

    def _bytes(self, instance_id: InstanceId, stream: str, start: int) -> bytes:
        with suppress(OSError), (self._folders.of(instance_id) / OUTPUT_FILES[stream]).open("rb") as file:
            file.seek(start)
            return file.read(READ_BYTES)
        return b""


def split_lines(data: bytes, *, is_final: bool) -> tuple[list[str], int]:
    """The lines at the beginning of `data`, and how many bytes they took.

    What has no end yet is left, unless `is_final` or it is as long as a line may be: then it is cut there.

    >>> split_lines(b"one\\ntwo", is_final=False), split_lines(b"two", is_final=True)
    ((['one'], 4), (['two'], 3))
    """
    texts: list[str] = []
    used = 0
    while used < len(data) and len(texts) < MAX_LINES:
        end = data.find(b"\n", used, used + LINE_BYTES + 1)
        if end < 0:
            is_cut = len(data) - used >= LINE_BYTES
            if not is_cut and not is_final:
                break
            end = after = min(len(data), used + LINE_BYTES)
        else:
            after = end + 1
        texts.append(data[used:end].removesuffix(b"\r").decode("utf-8", errors="replace"))
        used = after
    return texts, used


def _give_back(path: Path, end: int) -> None:
    """Free the blocks before `end`; where the file system cannot, the file merely stays as large as it is."""
    with suppress(OSError, AttributeError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            length = end - end % _BLOCK_BYTES
            if length:
                zero, size = ctypes.c_int64(0), ctypes.c_int64(length)
                ctypes.CDLL(None, use_errno=True).fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, zero, size)
        finally:
            os.close(descriptor)
