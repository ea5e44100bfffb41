"""This file is standard output and standard error as an instance has them: at once, whole lines, and never a failure.

They go to files that all workers write to. So a line is written in one piece, as soon as it ends; what has no end yet
is written a moment later, by `flush`. When the disk is full, what is printed is lost, and the call goes on.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_BY_LINE = 1  # glibc's _IOLBF


class _Forgiving(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return memoryview(data).nbytes
            raise


class _Ours:
    """The two as they were opened here, whatever the user's code puts in their place."""

    streams: tuple[io.TextIOWrapper, ...] = ()


def make_streams_forgiving() -> None:
    """Replace both. A character that cannot be encoded is escaped; a line is written as soon as it ends."""
    _open(by_line=True)
    _write_lines_of_c()
    os.register_at_fork(before=flush)  # or both processes would write what is left


def write_through_in_children() -> None:
    """From now on processes that this one forks write each piece at once: nobody calls `flush` there."""
    os.register_at_fork(after_in_child=lambda: _open(by_line=False))


def flush() -> None:
    """Write what has been printed and is no whole line yet; of a stream that nobody reads from, not now."""
    for stream in _Ours.streams:
        with suppress(OSError, ValueError):  # the user's code may have closed it
            if select.select((), (stream,), (), 0)[1]:
                stream.flush()


def _open(*, by_line: bool) -> None:
    is_replaced = _Ours.streams and (sys.stdout, sys.stderr) != _Ours.streams
    out, err = _Ours.streams = _opened(1, by_line=by_line), _opened(2, by_line=by_line)
    sys.__stdout__, sys.__stderr__ = out, err  # type: ignore[misc]  # final only in the types
    if not is_replaced:
        sys.stdout, sys.stderr = out, err


def _opened(descriptor: int, *, by_line: bool) -> io.TextIOWrapper:
    raw = _Forgiving(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if by_line else raw,
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=by_line,
        write_through=not by_line,
    )


def _write_lines_of_c() -> None:
    """What libraries print without Python would be kept until the end otherwise, since this is no terminal."""
    with suppress(OSError, ValueError, AttributeError):  # not glibc
        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, _BY_LINE, ctypes.c_size_t(0))
