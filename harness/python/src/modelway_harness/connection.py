"""This file is one connection to a worker: what has been read of a request, and what is still to be sent."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING

from .ledger import Held
from .wire import Head, Reader

if TYPE_CHECKING:
    from .dialect import Dialect

READ_BYTES = 64 * 1024
WHOLE_BYTES = 32 * 1024  # are sent as a whole or not at all, whenever this process dies


class Stage(Enum):
    """Where a connection is with its request."""

    READS = auto()  # a request, or waits for one
    WAITS = auto()  # the whole request is here, and waits for its turn, or has it
    WRITES = auto()  # an answer that did not go out in one piece
    LEAVES = auto()  # what still comes is dropped until the other side has closed


class Connection:
    """Bytes in, bytes out, never waiting. Used by one thread at a time."""

    __slots__ = (
        "_unsent",
        "began",
        "deadline",
        "dialect",
        "held",
        "hold_until",
        "is_gone",
        "is_kept",
        "is_watched",
        "reader",
        "request_id",
        "stage",
        "stream",
        "until",
    )

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.reader = Reader()
        self.stage = Stage.READS
        self.request_id = ""  # none as long as no head was read
        self.began = monotonic()  # then
        self.until = 0.0  # whatever is under way has to be over, if the lobby minds
        self.deadline = 0.0  # of the call that is asked for
        self.dialect: Dialect | None = None  # that it is asked for in; None when no call is
        self.held: Held | None = None  # by the supervisor too
        self.hold_until = 0.0  # how long it may wait while another runs
        self.is_kept = True  # after the next answer
        self.is_gone = False  # nobody takes what is sent
        self.is_watched = True  # for what comes
        self._unsent: bytes | memoryview = b""

    @property
    def head(self) -> Head:
        """Of the request that was read."""
        assert self.reader.head is not None  # noqa: S101 - for the type checker
        return self.reader.head

    @property
    def is_idle(self) -> bool:
        """Nothing of a request is here."""
        return self.stage is Stage.READS and self.reader.is_between

    def receive(self) -> bytes | None:
        """What has come; b"" once the other side has closed, None when nothing has come yet."""
        try:
            return self.stream.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send(self, data: bytes | memoryview) -> None:
        """Send as much as goes; `has_unsent` tells whether there is more. What nobody takes any more is dropped."""
        if self._unsent:
            data = bytes(self._unsent) + data
        held = self.held
        if held is not None and len(data) > WHOLE_BYTES:
            held.note_answer()
        try:
            sent = self.stream.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_kept = False
            self.is_gone = True
            sent = len(data)
        if sent == len(data):
            self._unsent = b""
            return
        self._unsent = memoryview(data)[sent:]
        if held is not None and sent:
            held.note_answer()

    def send_rest(self) -> None:
        rest, self._unsent = self._unsent, b""
        self.send(rest)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def say_bye(self) -> None:
        """No more will be sent."""
        with suppress(OSError):
            self.stream.shutdown(socket.SHUT_WR)


def above_standard(stream: socket.socket) -> socket.socket:
    """The same under another number, when the function has closed a standard descriptor and `stream` got its number.

    What is printed would go to a caller otherwise. The standard descriptors lead nowhere from now on.
    """
    held = stream.detach()
    moved = socket.socket(fileno=fcntl.fcntl(held, fcntl.F_DUPFD_CLOEXEC, 3))
    os.close(held)
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(nowhere, True)
    os.close(nowhere)
    return moved
