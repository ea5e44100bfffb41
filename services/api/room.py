"""This file is the guard of the disk on which the platform keeps its state: changes are refused before it is full.

The embedded database acknowledges the very write that fills its disk, and may have lost it when it comes back. So what
would be stored is refused while there is still room for what is under way: nothing is acknowledged then that could be
lost. Reading, and everything that changes nothing, goes on.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.core.errors import Unavailable

RESERVE_BYTES = 32 << 20
_PART = 10  # of a small disk is as good as a reserve
_RETRY_S = 10.0


class Room:
    """What is left on the file system of `path`."""

    def __init__(self, path: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes

    def check(self) -> None:
        """Nothing while there is room, or while nobody knows; else `Unavailable`.

        Looks every time: it takes microseconds, and a database fills what is left of a small disk within a second.
        """
        try:
            found = os.statvfs(self._path)
        except OSError:
            return  # the database may still know better
        free_bytes = found.f_bavail * found.f_frsize
        needed_bytes = min(self._reserve_bytes, found.f_blocks * found.f_frsize // _PART)
        if free_bytes < needed_bytes:
            raise Unavailable(
                f"the platform's disk is nearly full: {free_bytes / 1e6:.0f} MB left; "
                f"nothing is changed until there are {needed_bytes / 1e6:.0f} MB",
                retry_after_s=_RETRY_S,
            )
