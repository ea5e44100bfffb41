"""This file is everybody who is connected to a worker: they come, are read, are answered, and go.

It knows nothing of what is asked. Nothing here waits but `look`, and nothing is without bounds: not the number of
connections, nor of large bodies at once, nor the time that half a request may take.
"""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from time import monotonic
from typing import Protocol

from .connection import Connection, Stage, above_standard
from .deposit import Deposit
from .wire import GO_ON, Malformed

CONNECTIONS = 512
LARGE_BODIES = 16
LARGE_BYTES = 64 * 1024
HEAD_S = 60.0  # for a head that has begun
LEAVE_S = 2.0  # for the other side to close after us
TAKE_S = 60.0  # for the other side to take the next piece of an answer
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Host(Protocol):
    """Who decides about requests. Each of these answers the connection, or leaves it for later."""

    def greet(self, connection: Connection) -> None:
        """The head of a request has been read."""

    def watch_growth(self, connection: Connection) -> None:
        """Some of its body has been read, and not the last of it."""

    def take(self, connection: Connection) -> None:
        """The whole of a request has been read."""

    def give_up_on(self, connection: Connection) -> None:
        """The rest of a request did not come in time."""

    def correct(self, connection: Connection, error: Malformed) -> None:
        """What came is no request."""

    def dismiss(self, connection: Connection) -> None:
        """Nothing of a request has come, and none that comes will be carried out."""


class Lobby:
    """The connections of one listening socket. One thread at a time."""

    def __init__(self, listener: socket.socket, host: Host, deposit: Deposit | None) -> None:
        self._listener = listener
        self._host = host
        self._deposit = deposit
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, _READ)
        self._connections: set[Connection] = set()
        self._timed: set[Connection] = set()  # who has to go on by a moment
        self._is_open = True
        self._is_full = False

    def fileno(self) -> int:
        """Readable when `look` has something to do."""
        return self._selector.fileno()

    def watch(self, descriptor: int) -> None:
        """Also return from `look` when `descriptor` is readable. Whoever makes it so, empties it."""
        self._selector.register(descriptor, _READ)

    def look(self, wait_s: float | None) -> None:
        """Do what there is to do, after waiting for it for at most so long; None is without end."""
        if self._timed:
            next_s = max(0.0, min(each.until for each in self._timed) - monotonic())
            wait_s = next_s if wait_s is None else min(wait_s, next_s)
        for key, mask in self._selector.select(wait_s):
            connection = key.data
            if connection is not None:
                if connection in self._connections:
                    self._go_on(connection, mask)
            elif key.fileobj is self._listener:
                self._let_in()
        if self._timed:
            self._end_overdue()

    def next_s(self) -> float:
        """Seconds until `look` has something to do although nothing comes."""
        return min((each.until for each in self._timed), default=float("inf")) - monotonic()

    def answer(self, connection: Connection, data: bytes, take_s: float = TAKE_S) -> None:
        """Send what was made of a request. What came behind it is read by `go_on`. The connection is left open when
        it `is_kept`. Who takes none of it for `take_s` seconds is left.
        """
        self._timed.discard(connection)
        connection.send(data)
        if connection.has_unsent:
            connection.stage = Stage.WRITES
            self._selector_set(connection, _WRITE)
            self._expect(connection, monotonic() + take_s)
        else:
            self._answered(connection)

    def may_keep(self, connection: Connection) -> bool:
        """Whether it may be used for another request: it is held elsewhere too, should this process die under that."""
        if connection.held is None and self._deposit is not None:
            connection.held = self._deposit.take(connection.stream)
        return connection.held is not None or self._deposit is None

    def go_on(self, connection: Connection) -> None:
        """Read the requests that came behind the one that has been answered."""
        if connection.stage is Stage.READS and not connection.reader.is_between:
            self._take_in(connection, b"")

    def close_door(self) -> None:
        """Let in who is at the door, and nobody after."""
        if self._is_open:
            self._is_open = False
            with suppress(OSError):  # first, so that nobody comes after the last who is let in
                self._listener.shutdown(socket.SHUT_RDWR)
            self._let_in()
            with suppress(KeyError):
                self._selector.unregister(self._listener)

    def dismiss_idle(self) -> None:
        """Part with those who ask for nothing: what they may have sent by now is refused."""
        for connection in [each for each in self._connections if each.is_idle]:
            self._host.dismiss(connection)

    def is_quiet(self) -> bool:
        """Nobody is in the middle of anything that was begun."""
        return all(each.stage is Stage.LEAVES or not each.reader.head for each in self._connections)

    @property
    def is_empty(self) -> bool:
        return not self._connections

    def has_room_for(self, connection: Connection) -> bool:
        """Whether its body may be kept, together with those that are."""
        return not _is_large(connection) or sum(1 for each in self._connections if _is_large(each)) <= LARGE_BODIES

    def forget(self) -> None:
        """Close everything here, and nothing for anybody else who has it: in a process that was forked."""
        for stream in (self._listener, *(each.stream for each in self._connections)):
            stream.close()
        self._selector.close()

    def _let_in(self) -> None:
        while not self._is_full:
            try:
                stream, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no more descriptors, or the socket is no more
                if self._is_open:
                    self._wait_for_room()
                return
            if stream.fileno() <= 2:
                stream = above_standard(stream)
            connection = Connection(stream)
            self._connections.add(connection)
            self._selector.register(stream, _READ, connection)
            if len(self._connections) >= CONNECTIONS:
                self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Whoever has been idle for longest has to go; if nobody is, nobody comes in until one has left."""
        idle = [each for each in self._connections if each.is_idle]
        if idle:
            self._host.dismiss(min(idle, key=lambda each: each.began))
        else:
            self._is_full = True
            with suppress(KeyError):
                self._selector.unregister(self._listener)

    def _go_on(self, connection: Connection, mask: int) -> None:
        match connection.stage:
            case Stage.READS:
                data = connection.receive()
                if data:
                    self._take_in(connection, data)
                elif data is not None:
                    self._drop(connection)
            case Stage.WAITS:  # not before its answer; also nobody there any more is found out then
                self._selector.unregister(connection.stream)
                connection.is_watched = False
            case Stage.WRITES:
                self._send_rest(connection)
            case Stage.LEAVES:
                if connection.receive() == b"":
                    self._drop(connection)

    def _send_rest(self, connection: Connection) -> None:
        connection.send_rest()
        if connection.has_unsent:
            self._expect(connection, monotonic() + TAKE_S)
        else:
            self._selector_set(connection, _READ)
            self._answered(connection)
            self.go_on(connection)

    def _take_in(self, connection: Connection, data: bytes) -> None:
        """Read one request after the other, as long as they are answered at once."""
        reader = connection.reader
        try:
            while reader.feed(data):
                if not connection.request_id:
                    self._host.greet(connection)
                if connection.request_id and connection.stage is Stage.READS:  # not answered when it was greeted
                    self._timed.discard(connection)
                    self._host.take(connection)
                if connection.stage is not Stage.READS or reader.is_between:
                    return
                data = b""
        except Malformed as error:
            self._host.correct(connection, error)
            return
        self._wait_for_rest(connection)

    def _wait_for_rest(self, connection: Connection) -> None:
        if connection.reader.head is None:
            if connection not in self._timed:
                self._expect(connection, monotonic() + HEAD_S)
            return
        if not connection.request_id:
            self._host.greet(connection)
            self._begin_body(connection)
        if connection.stage is Stage.READS:
            self._host.watch_growth(connection)

    def _begin_body(self, connection: Connection) -> None:
        if connection.stage is Stage.READS:
            self._expect(connection, connection.until)
            if connection.head.headers.get("expect", "").lower() == "100-continue":
                connection.send(GO_ON)

    def _expect(self, connection: Connection, until: float) -> None:
        connection.until = until
        self._timed.add(connection)

    def _answered(self, connection: Connection) -> None:
        self._timed.discard(connection)
        if not connection.is_kept:
            self._bid_farewell(connection)
            return
        connection.stage = Stage.READS
        connection.request_id = ""
        if connection.held is not None:
            connection.held.note_end()
        connection.reader.next()
        if not connection.is_watched:
            self._selector_set(connection, _READ)

    def _bid_farewell(self, connection: Connection) -> None:
        """Close in two steps: who is still sending would otherwise lose the answer."""
        connection.stage = Stage.LEAVES
        if connection.held is not None and not connection.is_gone:
            connection.held.note_answer()
        connection.say_bye()
        if not connection.is_watched:
            self._selector_set(connection, _READ)
        self._expect(connection, monotonic() + LEAVE_S)

    def _end_overdue(self) -> None:
        now = monotonic()
        for connection in [each for each in self._timed if each.until <= now]:
            self._timed.discard(connection)
            if connection.stage is Stage.READS and connection.request_id:
                self._host.give_up_on(connection)
            else:
                self._drop(connection)

    def _selector_set(self, connection: Connection, events: int) -> None:
        if connection.is_watched:
            self._selector.modify(connection.stream, events, connection)
        else:
            self._selector.register(connection.stream, events, connection)
            connection.is_watched = True

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._timed.discard(connection)
        if connection.is_watched:
            self._selector.unregister(connection.stream)
        if connection.held is not None and self._deposit is not None:
            self._deposit.give_back(connection.stream, connection.held)
        connection.stream.close()
        if self._is_full:
            self._is_full = False
            if self._is_open:
                self._selector.register(self._listener, _READ)
            else:
                self._let_in()


def _is_large(connection: Connection) -> bool:
    head = connection.reader.head
    return head is not None and (head.length is None or head.length > LARGE_BYTES)
