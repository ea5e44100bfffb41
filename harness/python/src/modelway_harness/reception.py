"""This file is what becomes of a request as soon as it has come: answered, refused, or put among those that wait for
the function.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from .connection import Connection, Stage
from .deposit import Deposit
from .dialect import Dialect
from .endpoint import Endpoint, Refused, busy, request_id_of
from .lobby import Lobby
from .wire import Answer, Head, Malformed, Reader, begun, written
from .wsgi import asked

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

AT_ONCE_BYTES = 16 * 1024  # the router sends on a body of this size when it has all of it
AT_ONCE_S = 0.5


class Reception:
    """A lobby and its host. One thread at a time. Calls may come in `dialects` beside the endpoint's own."""

    def __init__(
        self,
        listener: socket.socket,
        endpoint: Endpoint,
        app: WSGIApplication,
        dialects: Sequence[Dialect] = (),
        deposit: Deposit | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._app = app
        self._dialects = dialects
        self.timing_of_import = "import;dur=0"
        self.lobby = Lobby(listener, self, deposit)
        self._current = None if deposit is None else deposit.current
        self.waiting: deque[Connection] = deque()  # whole requests for a call, in the order they came
        self.is_busy = False  # a call runs
        self.is_overdue = False  # past its deadline
        self.is_stopping = False  # nothing more is begun
        self.is_retiring = False  # each connection ends with the answer to its next request

    def answer(self, connection: Connection, answer: Answer, timing: str = "") -> None:
        is_kept = self._is_kept(connection)
        self.lobby.answer(connection, written(answer, connection.request_id, is_kept=is_kept, timing=timing))

    def refuse(self, connection: Connection, error: Refused, *, timing: str = "") -> None:
        """Answer a request that is not carried out, in its own dialect."""
        dialect = connection.dialect
        if dialect is not None and not timing:
            timing = self.timing(connection, monotonic())
        answer = self._endpoint.refused(error, dialect or self._endpoint, connection.request_id)
        self.answer(connection, answer, timing)

    def timing(self, connection: Connection, since: float) -> str:
        """How long a call waited that was begun then, as `Server-Timing` has it; what took time after may follow."""
        return f"{self.timing_of_import}, wait;dur={(since - connection.began) * 1000:.3f}"

    def begun(self, connection: Connection, kind: str, since: float) -> bytes:
        """The head of an answer that comes in pieces, to a call that was begun then."""
        timing, is_kept = self.timing(connection, since), self._is_kept(connection)
        if connection.held is not None:
            connection.held.note_answer()
        return begun(kind, connection.request_id, is_kept=is_kept, timing=timing)

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
        if self._current is not None:
            self._current.begin(connection.held, connection.request_id)

    def note_return(self) -> None:
        """The function has returned."""
        if self._current is not None:
            self._current.end()

    # What the lobby asks

    def greet(self, connection: Connection) -> None:
        head = connection.head
        connection.request_id = request_id_of(head.headers)
        connection.began = now = monotonic()
        connection.dialect = dialect = self._dialect_of(head)
        left_s = self._endpoint.left_s(head)
        connection.deadline = connection.until = now + left_s
        if head.length is not None and head.length <= AT_ONCE_BYTES:
            connection.until = max(connection.until, now + AT_ONCE_S)
        try:
            if self.is_stopping:
                raise busy("this worker is ending")
            if dialect is not None:
                self._greet_call(connection, dialect, left_s)
        except Refused as error:
            self.refuse(connection, error)

    def watch_growth(self, connection: Connection) -> None:
        try:
            self._endpoint.check_size(connection.reader.size)
        except Refused as error:
            self.refuse(connection, error)

    def take(self, connection: Connection) -> None:
        head = connection.head
        if connection.dialect is not None:
            if head.length is None and connection.reader.size > self._endpoint.most_bytes:
                self.watch_growth(connection)
                return
            connection.stage = Stage.WAITS
            self.waiting.append(connection)
        elif head.method == "GET" and head.path == "/health":
            self._tell_health(connection)
        else:
            self._ask_app(connection)

    def give_up_on(self, connection: Connection) -> None:
        self.refuse(connection, self._endpoint.too_slow())

    def correct(self, connection: Connection, error: Malformed) -> None:
        if not connection.request_id:
            connection.request_id = request_id_of({})
            connection.dialect = None
        connection.is_kept = False
        self.answer(connection, self._endpoint.error(error.status, str(error), connection.request_id))

    def _dialect_of(self, head: Head) -> Dialect | None:
        if head.method != "POST":
            return None
        path = head.path
        if path == "/model":
            return self._endpoint
        return next((each for each in self._dialects if each.takes(path)), None)

    def dismiss(self, connection: Connection) -> None:
        connection.request_id = request_id_of({})
        connection.dialect = None
        connection.is_kept = False
        refused = self._endpoint.refused(busy("this worker is ending"), self._endpoint, connection.request_id)
        self.lobby.answer(connection, written(refused, connection.request_id, is_kept=False))

    def _greet_call(self, connection: Connection, dialect: Dialect, left_s: float) -> None:
        head = connection.head
        self._endpoint.check_server(head.headers)
        self._endpoint.check_body(head)
        dialect.check(head)
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
            data = asked(self._app, head, body, is_kept=is_kept, is_overdue=self.is_overdue)
        except Exception as error:
            self.answer(connection, self._endpoint.own_failure(error, self._endpoint, connection.request_id))
        else:
            self.lobby.answer(connection, data)

    def _is_kept(self, connection: Connection) -> bool:
        reader = connection.reader
        is_kept = reader.is_whole and reader.head is not None and reader.head.is_kept
        is_kept = connection.is_kept and is_kept and not self._is_last(reader)
        connection.is_kept = is_kept and (connection.held is not None or self.lobby.may_keep(connection))
        return connection.is_kept

    def _is_last(self, reader: Reader) -> bool:
        is_left = self.is_retiring and not reader.has_more  # what was sent behind it is answered first
        return self.is_stopping or self.is_overdue or is_left
