"""This file is the supervisor's side of keeping connections: it holds those of its workers, and when one dies it tells
each what became of the call.

None is just closed: a request may be on its way. An answer is sent that holds whether or not one comes, and the other
side is left to close: that a call ended with the worker (502), or that nothing had begun (503), which a proxy sends
elsewhere.
"""

from __future__ import annotations

import json
import os
import select
import socket
from base64 import b32encode
from contextlib import suppress
from time import monotonic

from .deposit import Deposit
from .ledger import FAILURE, PLACES, REFUSAL, Held, Ledger
from .wire import Answer, written

LEAVE_S = 2.0  # for the other side to close after us
LINGER_S = 0.5  # the same, when all is over
_ENDS = getattr(select, "POLLRDHUP", 0)  # the other side has closed, or the worker has


class _Kept:
    """One connection of a worker."""

    __slots__ = ("leaves_at", "place", "slot", "stream")

    def __init__(self, stream: socket.socket, slot: int, place: int) -> None:
        self.stream = stream
        self.slot = slot
        self.place = place
        self.leaves_at: float | None = None


class Keeper:
    """The connections of all workers, by slot. For one thread of the supervisor."""

    def __init__(self, slots: int) -> None:
        self._ledger = Ledger(slots)
        self._pairs = [socket.socketpair() for _ in range(slots)]
        self._kept: dict[int, _Kept] = {}  # by descriptor
        self._places: dict[tuple[int, int], _Kept] = {}
        self._leaving: set[_Kept] = set()
        self._watch = select.poll()
        for ours, theirs in self._pairs:
            ours.setblocking(False)
            theirs.setblocking(False)
            self._watch.register(ours, select.POLLIN)
        self._slots = {ours.fileno(): slot for slot, (ours, _) in enumerate(self._pairs)}
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def deposit(self, slot: int) -> Deposit:
        """For the worker there, in its own process."""
        return Deposit(self._pairs[slot][1], self._ledger, slot)

    def wake_by(self, descriptor: int) -> None:
        """Also return from `tend` when `descriptor` is readable. Whoever makes it so, empties it."""
        self._watch.register(descriptor, select.POLLIN)

    def tend(self, wait_s: float) -> None:
        """Take over what is new, and let go of what has ended, after waiting for either for at most so long."""
        for descriptor, _ in self._watch.poll(wait_s * 1000):
            slot = self._slots.get(descriptor)
            if slot is not None:
                self._take_over(slot)
            elif descriptor in self._kept:
                self._let_go(self._kept[descriptor])
        now = monotonic()
        for kept in [each for each in self._leaving if each.leaves_at is not None and each.leaves_at <= now]:
            self._let_go(kept)

    def running(self, slot: int) -> str:
        """The request id of the call that the worker there is in, or died in; "" is none."""
        return self._ledger.running(slot)

    def settle(self, slot: int, how: str) -> None:
        """The worker there has ended, `how` says in which way: tell everybody who was connected to it."""
        self._take_over(slot)
        self._ledger.current(slot).end()
        for kept in [each for each in self._places.values() if each.slot == slot]:
            self._part_with(kept, told(self._ledger.held(slot, kept.place), how, has_asked=_has_asked(kept.stream)))

    def linger(self) -> None:
        """At the very end: give those who were told something a moment to take it."""
        until = monotonic() + LINGER_S
        while self._leaving and monotonic() < until:
            self.tend(max(0.0, until - monotonic()))

    def _take_over(self, slot: int) -> None:
        with suppress(BlockingIOError):
            while True:
                data, descriptors, _, _ = socket.recv_fds(self._pairs[slot][0], 1, 1)
                if descriptors:  # else none was free here
                    stream = socket.socket(fileno=descriptors[0])
                    self._keep(_Kept(stream, slot, data[0] % PLACES))

    def _keep(self, kept: _Kept) -> None:
        before = self._places.get((kept.slot, kept.place))
        if before is not None:  # the worker is done with it
            self._let_go(before)
        self._kept[kept.stream.fileno()] = self._places[kept.slot, kept.place] = kept
        self._watch.register(kept.stream, _ENDS)

    def _part_with(self, kept: _Kept, last: bytes) -> None:
        del self._places[kept.slot, kept.place]
        if not last:
            self._let_go(kept)
            return
        with suppress(OSError):
            kept.stream.send(last)
            kept.stream.shutdown(socket.SHUT_WR)
        kept.leaves_at = monotonic() + LEAVE_S
        self._leaving.add(kept)

    def _let_go(self, kept: _Kept) -> None:
        self._leaving.discard(kept)
        if self._places.get((kept.slot, kept.place)) is kept:
            del self._places[kept.slot, kept.place]
        del self._kept[kept.stream.fileno()]
        self._watch.unregister(kept.stream)
        kept.stream.close()

    def _leave_to_parent(self) -> None:
        """In a process that was forked: these connections are not its own, and may not be held open by it."""
        for kept in self._kept.values():
            kept.stream.close()
        self._kept, self._places, self._leaving = {}, {}, set()


def told(held: Held, how: str, *, has_asked: bool) -> bytes:
    """What is said on a connection to a worker that ended in that way; nothing, when an answer was begun.

    Who asks has been answered: the worker did not come to write that down.
    """
    if held.owed == FAILURE and not has_asked:
        return _answer(502, f"the worker {how} during the call", held.request_id)
    if held.owed in (FAILURE, REFUSAL):
        return _answer(503, "the worker ended before the call began", b32encode(os.urandom(10)).decode())
    return b""  # also for a number that nobody wrote but the user's code


def _has_asked(stream: socket.socket) -> bool:
    """A request lies there that the worker did not read."""
    try:
        return bool(stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _answer(status: int, reason: str, request_id: str) -> bytes:
    text = json.dumps({"errors": [reason], "request_id": request_id})
    again = (("Retry-After", "1"),) if status == 503 else ()
    return written(Answer(status, text, again), request_id, is_kept=False)
