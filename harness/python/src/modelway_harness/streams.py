"""This file is standard output and standard error as an instance has them: lines at once, and never a failure.

They go to files. When the disk is full, what is printed is lost, and the call that printed goes on.
"""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Forgiving(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in _NO_ROOM:
                return memoryview(data).nbytes
            raise


def make_streams_forgiving() -> None:
    """Replace both. A character that cannot be encoded is escaped; a line is written as soon as it ends."""
    sys.stdout = sys.__stdout__ = _opened(1)  # type: ignore[misc]  # final only in the types
    sys.stderr = sys.__stderr__ = _opened(2)  # type: ignore[misc]


def _opened(descriptor: int) -> io.TextIOWrapper:
    binary = io.BufferedWriter(_Forgiving(descriptor, "w", closefd=False))
    return io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", line_buffering=True)
