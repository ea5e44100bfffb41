"""This file is a worker's side of keeping connections: one may be used for another call only once the supervisor has it
too.

For when a worker dies, so do its connections, and a proxy that has used one before takes its end as an invitation to
ask again elsewhere, or lets its own caller do so: the call might run twice. What the supervisor also holds stays open,
and the supervisor says what became of the call.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from .ledger import PLACES, Held, Ledger


class Deposit:
    """Where a worker leaves its connections. Nothing here waits."""

    def __init__(self, supervisor: socket.socket, ledger: Ledger, slot: int) -> None:
        self._supervisor = supervisor
        self._free = [ledger.held(slot, place) for place in range(PLACES)]
        self.current = ledger.current(slot)

    def take(self, stream: socket.socket) -> Held | None:
        """Have the supervisor hold it. None when it cannot: then it has to end with its answer."""
        if not self._free:
            return None
        held = self._free.pop()
        held.note_answer()
        try:
            socket.send_fds(self._supervisor, [bytes([held.place])], [stream.fileno()])
        except OSError:  # full: the supervisor has other things to do; or it is no more
            self._free.append(held)
            return None
        return held

    def give_back(self, stream: socket.socket, held: Held) -> None:
        """It is over. Closing alone would not end it: the supervisor notices the end, and closes its own."""
        with suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
        self._free.append(held)
