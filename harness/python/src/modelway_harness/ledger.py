"""This file is what a worker leaves behind of the calls that it was asked for, should it die: a page of shared memory.

The worker writes, a byte or two a call; its supervisor reads, once the worker is no more. Of each connection that the
supervisor keeps, by its place, there is what it is owed.
"""

from __future__ import annotations

import mmap

PLACES = 64  # connections of one worker that are kept
_ELSEWHERE = PLACES  # the place of a call on any other
_IDS_AT = PLACES + 2  # before them: what each is owed, and the place of the call that runs, from 1 on
_RUNS_AT = PLACES + 1
_ID_BYTES = 16  # every request id has as many
_PAGE_BYTES = _IDS_AT + (PLACES + 1) * _ID_BYTES


# What the other end of a connection is still to be told.
REFUSAL = 0  # whatever it has asked for, nothing was begun
FAILURE = 1  # the function was called for it
NOTHING = 2  # an answer was sent, or a part of one


class Held:
    """A connection that the supervisor has, too; what it is owed is noted here, as seldom and as quickly as can be."""

    __slots__ = ("_shared", "at", "id_at", "place")

    def __init__(self, shared: mmap.mmap, at: int, id_at: int, place: int) -> None:
        self._shared = shared
        self.at = at
        self.id_at = slice(id_at, id_at + _ID_BYTES)
        self.place = place

    def note_answer(self) -> None:
        """Some of an answer has been sent, or there is none to be sent."""
        self._shared[self.at] = NOTHING

    def note_end(self) -> None:
        """All of an answer has been sent, and another request may come."""
        self._shared[self.at] = REFUSAL

    @property
    def owed(self) -> int:
        return self._shared[self.at]

    @property
    def request_id(self) -> str:
        """Of the last call."""
        return self._shared[self.id_at].decode("latin-1")


class Current:
    """The call that a worker is in, on whatever connection it came."""

    __slots__ = ("_at", "_elsewhere", "_shared")

    def __init__(self, shared: mmap.mmap, at: int, elsewhere: Held) -> None:
        self._shared = shared
        self._at = at
        self._elsewhere = elsewhere

    def begin(self, held: Held | None, request_id: str) -> None:
        """The function is about to be called."""
        if held is None:
            held = self._elsewhere
        shared = self._shared
        shared[held.id_at] = request_id.encode()
        shared[held.at] = FAILURE
        shared[self._at] = held.place + 1

    def end(self) -> None:
        """It has returned."""
        self._shared[self._at] = 0


class Ledger:
    """The pages of all workers, by slot."""

    def __init__(self, slots: int) -> None:
        self._shared = mmap.mmap(-1, slots * _PAGE_BYTES)

    def held(self, slot: int, place: int) -> Held:
        at = slot * _PAGE_BYTES
        return Held(self._shared, at + place, at + _IDS_AT + place * _ID_BYTES, place)

    def current(self, slot: int) -> Current:
        return Current(self._shared, slot * _PAGE_BYTES + _RUNS_AT, self.held(slot, _ELSEWHERE))

    def running(self, slot: int) -> str:
        """The request id of the call that the worker there is in, or died in; "" is none."""
        place = self._shared[slot * _PAGE_BYTES + _RUNS_AT]
        return self.held(slot, place - 1).request_id if 0 < place <= PLACES + 1 else ""
