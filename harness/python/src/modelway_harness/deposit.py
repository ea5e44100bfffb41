"""This file is a worker's side of keeping connections: one may be used for another call only once the supervisor has it
too.

For when a worker dies, so do its connections, and a proxy that has used one before takes its end as an invitation to
ask again elsewhere, or lets its own caller do so: the call might run twice. What the supervisor also holds stays open,
and the supervisor says what became of the call.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from .ledger import PLACES, Owed, Page


class Held:
    """A connection that the supervisor has too. `page` and `place` say where it is noted what it is owed."""

    __slots__ = ("page", "place")

    def __init__(self, page: Page, place: int) -> None:
        self.page = page
        self.place = place

    def note_call(self, request_id: str) -> None:
        """The function is about to be called for it."""
        self.page.note_call(self.place, request_id)

    def note_answer(self) -> None:
        """Some of an answer has been sent."""
        self.page.note(self.place, Owed.NOTHING)

    def note_end(self) -> None:
        """The answer has been sent, and another request may come."""
        self.page.note(self.place, Owed.REFUSAL)


class Deposit:
    """Where a worker leaves its connections. Nothing here waits."""

    def __init__(self, supervisor: socket.socket, page: Page) -> None:
        self._supervisor = supervisor
        self._page = page
        self._free = list(range(PLACES))
        page.clear()

    def take(self, stream: socket.socket) -> Held | None:
        """Have the supervisor hold it. None when it cannot: then it has to end with its answer."""
        if not self._free:
            return None
        place = self._free.pop()
        self._page.note(place, Owed.NOTHING)  # what comes before its second request, a proxy sees as any end
        try:
            socket.send_fds(self._supervisor, [bytes([place])], [stream.fileno()])
        except OSError:  # full: the supervisor has other things to do; or it is no more
            self._free.append(place)
            return None
        return Held(self._page, place)

    def give_back(self, stream: socket.socket, held: Held) -> None:
        """It is over. Closing alone would not end it: the supervisor notices the end, and closes its own."""
        with suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
        self._free.append(held.place)
