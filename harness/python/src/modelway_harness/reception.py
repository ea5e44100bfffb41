"""This file is what becomes of a request as soon as it has come: answered, refused, or put among those that wait for
the function.
"""

from __future__ import annotations

import socket
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .connection import Connection, Stage
from .deposit import Deposit
from .endpoint import Endpoint, Refused, busy, request_id_of
from .lobby import Lobby
from .wire import Answer, Malformed, written
from .wsgi import asked

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

AT_ONCE_BYTES = 16 * 1024  # the router sends on a body of this size when it has all of it
AT_ONCE_S = 0.5


class Reception:
    """A lobby and its host. One thread at a time."""

    def __init__(
        self, listener: socket.socket, endpoint: Endpoint, app: WSGIApplication, deposit: Deposit | None = None
    ) -> None:
        self._endpoint = endpoint
        self._app = app
        self.lobby = Lobby(listener, self, deposit)
        self.waiting: deque[Connection] = deque()  # whole requests for a call, in the order they came
        self.is_busy = False  # a call runs
        self.is_overdue = False  # past its deadline
        self.is_stopping = False  # nothing more is begun

    def answer(self, connection: Connection, answer: Answer) -> None:
        self._send(connection, written(answer, connection.request_id, is_kept=self._is_kept(connection)))

    def refuse(self, connection: Connection, error: Refused) -> None:
        self.answer(connection, self._endpoint.refused(error, connection.request_id))

    def refuse_impatient(self) -> float:
        """Refuse the calls that may wait no longer; when that will be for the next."""
        now = monotonic()
        for connection in [each for each in self.waiting if self.is_overdue or each.hold_until <= now]:
            self.waiting.remove(connection)
            self.refuse(connection, busy())
            self.lobby.go_on(connection)
        return min((each.hold_until for each in self.waiting), default=float("inf"))

    def note_call(self, connection: Connection) -> None:
        """The function is about to be called. Should this process die under it, that has to be told, if the connection
        is one that may have been used before: by this caller, or by a proxy that has tried the call elsewhere first.
        """
        if connection.held is None and connection.is_kept and connection.head.is_kept:
            self.lobby.may_keep(connection)
        if connection.held is not None:
            connection.held.note_call(connection.request_id)

    # What the lobby asks

    def greet(self, connection: Connection) -> None:
        head = connection.head
        connection.request_id = request_id_of(head.headers)
        connection.began = now = monotonic()
        left_s = self._endpoint.left_s(head)
        connection.deadline = connection.until = now + left_s
        if head.length is not None and head.length <= AT_ONCE_BYTES:
            connection.until = max(connection.until, now + AT_ONCE_S)
        try:
            if self.is_stopping:
                raise busy("this worker is ending")
            if head.method == "POST" and head.path == "/model":
                self._greet_call(connection, left_s)
        except Refused as error:
            self.refuse(connection, error)

    def watch_growth(self, connection: Connection) -> None:
        try:
            self._endpoint.check_size(connection.reader.size)
        except Refused as error:
            self.refuse(connection, error)

    def take(self, connection: Connection) -> None:
        head = connection.head
        match head.method, head.path:
            case "POST", "/model":
                if head.length is None and connection.reader.size > self._endpoint.most_bytes:
                    self.watch_growth(connection)
                    return
                connection.stage = Stage.WAITS
                self.waiting.append(connection)
            case "GET", "/health":
                self._tell_health(connection)
            case _:
                self._ask_app(connection)

    def give_up_on(self, connection: Connection) -> None:
        self.refuse(connection, self._endpoint.too_slow())

    def correct(self, connection: Connection, error: Malformed) -> None:
        connection.request_id = connection.request_id or request_id_of({})
        connection.is_kept = False
        self.answer(connection, self._endpoint.error(error.status, str(error), connection.request_id))

    def dismiss(self, connection: Connection) -> None:
        connection.request_id = request_id_of({})
        connection.is_kept = False
        data = written(self._endpoint.refused(busy(), connection.request_id), connection.request_id, is_kept=False)
        self.lobby.answer(connection, data)

    def _greet_call(self, connection: Connection, left_s: float) -> None:
        head = connection.head
        self._endpoint.check_server(head.headers)
        self._endpoint.check_body(head)
        hold_s = min(self._endpoint.hold_s(head), left_s)
        if self.is_busy and (hold_s <= 0 or self.is_overdue):
            raise busy()
        if not self.lobby.has_room_for(connection):
            raise busy("this worker has too many large bodies")
        connection.hold_until = connection.began + hold_s

    def _tell_health(self, connection: Connection) -> None:
        try:
            self._endpoint.check_server(connection.head.headers)
        except Refused as error:
            self.refuse(connection, error)
        else:
            self.answer(connection, self._endpoint.health(is_overdue=self.is_overdue))

    def _ask_app(self, connection: Connection) -> None:
        head, body, is_kept = connection.head, connection.reader.body(), self._is_kept(connection)
        try:
            data = asked(self._app, head, body, is_kept=is_kept)
        except Exception as error:
            self.answer(connection, self._endpoint.own_failure(error, connection.request_id))
        else:
            self._send(connection, data)

    def _is_kept(self, connection: Connection) -> bool:
        reader = connection.reader
        is_kept = reader.is_whole and reader.head is not None and reader.head.is_kept
        is_kept = connection.is_kept and is_kept and not self.is_stopping and not self.is_overdue
        connection.is_kept = is_kept and (connection.held is not None or self.lobby.may_keep(connection))
        return connection.is_kept

    def _send(self, connection: Connection, data: bytes) -> None:
        self.lobby.answer(connection, data)
