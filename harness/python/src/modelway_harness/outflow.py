"""This file is a result on its way to its caller, piece by piece, each sent as soon as the function has made it.

The function makes the next piece when the caller has taken the last, but for what lies in the socket: who reads slowly
slows the function down, and nothing piles up. Meanwhile the turn is given away, as it is while the function runs.
"""

from __future__ import annotations

import select
from contextlib import suppress
from threading import Lock
from time import monotonic

from .calls import Answered, Calls, Failed, Unfit
from .connection import Connection
from .endpoint import Endpoint
from .flow import Flow
from .log import log
from .reception import Reception
from .streaming import Streamed
from .wire import chunk, last_chunk

LEAVE_S = 1.0  # for the function to end, and the caller to take what was told, once the time is over


class Outflow:
    """One stream, of a call that was begun `since`. `run` is for the thread of the function, which has given the turn
    away; all else is for who has it.
    """

    def __init__(
        self, connection: Connection, flow: Flow, since: float, reception: Reception, endpoint: Endpoint
    ) -> None:
        self._connection = connection
        self._request_id = connection.request_id
        self._flow = flow
        self._lobby = reception.lobby
        self._endpoint = endpoint
        self._head = reception.begun(connection, flow.kind, since)  # goes out with the first piece
        self.until = connection.deadline  # by then the function has to be where it ends
        self.is_over = False  # nothing may be sent any more

    def run(self, pieces: Streamed, first: str | Answered, turn: Lock, calls: Calls) -> Answered | Failed | None:
        """Send one piece after the other; how the function ended, or None when its caller had gone or been told."""
        piece: str | Answered | Failed = first
        while isinstance(piece, str) and self._is_sent(piece, turn):
            piece = calls.piece(pieces)
        if isinstance(piece, Answered):
            return piece
        trace = calls.leave(pieces)
        if trace:
            log("call_failed", trace, request_id=self._request_id)
        return piece if isinstance(piece, Failed) else None

    def finish(self, outcome: Answered | Failed | Unfit | None) -> None:
        """Send the last piece."""
        if self.is_over or outcome is None:
            return
        self.is_over = True
        if isinstance(outcome, Answered):
            last = self._flow.end(self._endpoint.ended(outcome, self._request_id))
        else:
            last = self._flow.error(str(self._endpoint.failed(outcome, self._endpoint, self._request_id).body))
        self._lobby.answer(self._connection, self._last(last))

    def break_off(self) -> None:
        """The time is over: tell the caller, who may not be reading, and give the function a moment more to end.

        The connection ends with it, so that nobody asks for anything more on it while the function is still there.
        """
        named = {"request_id": self._request_id, "after_s": f"{monotonic() - self._connection.began:.3f}"}
        log("stream_overdue", **named, worker=self._endpoint.worker)
        self.is_over = True
        self.until = monotonic() + LEAVE_S
        self._connection.is_kept = False
        late = self._endpoint.refused(self._endpoint.too_long(), self._endpoint, self._request_id)
        self._lobby.answer(self._connection, self._last(self._flow.error(str(late.body))), LEAVE_S)

    def _is_sent(self, piece: str, turn: Lock) -> bool:
        """Whether the caller has taken it, and there is time for another."""
        if self.is_over:  # also in a process that the function forked: the turn might never come free there
            return False
        with turn:
            if not self.is_over:
                self._connection.send(self._begun() + chunk(self._flow.piece(piece)))
        while self._waits(turn):
            _wait_for_room(self._connection, self.until - monotonic())
        return not self.is_over

    def _waits(self, turn: Lock) -> bool:
        """Whether there is more to be sent of a piece, and time for it."""
        connection = self._connection
        with turn:
            if self.is_over:
                return False
            if connection.has_unsent:
                connection.send_rest()
            if connection.is_gone:
                self.is_over = True
                self._lobby.answer(connection, b"")
            elif monotonic() >= self.until:
                self.break_off()
            return connection.has_unsent and not self.is_over

    def _last(self, piece: str) -> bytes:
        return self._begun() + chunk(piece) + last_chunk()

    def _begun(self) -> bytes:
        head, self._head = self._head, b""
        return head


def _wait_for_room(connection: Connection, wait_s: float) -> None:
    poll = select.poll()
    with suppress(ValueError):  # it has just been broken off, and closed
        poll.register(connection.stream, select.POLLOUT)
        poll.poll(max(0.0, wait_s) * 1000)
