"""This file is what a worker leaves behind of the calls that it was asked for, should it die: a page of shared memory.

The worker writes, a byte or two a call; its supervisor reads, once the worker is no more. Of each connection that the
supervisor keeps, by its place, there is what it is owed.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

PLACES = 64  # connections of one worker that are kept
_ID_BYTES = 16
_PAGE_BYTES = PLACES * (1 + _ID_BYTES)


class Owed(IntEnum):
    """What the other end of a connection is still to be told."""

    REFUSAL = 0  # whatever it has asked for, nothing was begun
    FAILURE = 1  # the function was called for it
    NOTHING = 2  # an answer was sent, or a part of one

    @classmethod
    def _missing_(cls, value: object) -> Owed:
        return cls.NOTHING  # the user's code can write there too


class Page:
    """Of one worker. A process that the worker forks has it too, and is not to write."""

    __slots__ = ("_at", "_shared")

    def __init__(self, shared: mmap.mmap, slot: int) -> None:
        self._shared = shared
        self._at = slot * _PAGE_BYTES

    def note(self, place: int, owed: Owed) -> None:
        self._shared[self._at + place] = owed

    def note_call(self, place: int, request_id: str) -> None:
        """The function is about to be called."""
        at = self._at + PLACES + place * _ID_BYTES
        self._shared[at : at + _ID_BYTES] = request_id.encode().ljust(_ID_BYTES)[:_ID_BYTES]
        self._shared[self._at + place] = Owed.FAILURE

    def owed(self, place: int) -> Owed:
        return Owed(self._shared[self._at + place])

    def request_id(self, place: int) -> str:
        at = self._at + PLACES + place * _ID_BYTES
        return self._shared[at : at + _ID_BYTES].decode().rstrip()

    def clear(self) -> None:
        self._shared[self._at : self._at + _PAGE_BYTES] = bytes(_PAGE_BYTES)


class Ledger:
    """The pages of all workers, by slot."""

    def __init__(self, slots: int) -> None:
        self._shared = mmap.mmap(-1, slots * _PAGE_BYTES)
        self.pages = [Page(self._shared, slot) for slot in range(slots)]
