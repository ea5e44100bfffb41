"""This file brings records of calls from HAProxy to the bus: which version and instance answered which request.

A thread of its own empties the sockets, so that they do not run full while the router works out a change. Whatever
cannot be kept is dropped, counted, and told: no call ever waits for its record.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Iterable, Sequence

import structlog

log = structlog.get_logger()

LINES = 100_000  # that are kept for the event loop: half a minute of 3,000 calls a second
_REST_S = 0.01  # between two looks while lines come: a wake for each of them would cost more than reading them
_IDLE_S = 0.5
_DATAGRAM = 1024
_MODE = 0o600
_JOIN_S = 2.0


class Intake:
    """Lines as HAProxy writes them. `open` starts the thread; `take` is for the event loop."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._dropped = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="access-records", daemon=True)

    def open(self) -> None:
        """Take the place of whoever had these sockets before. Raises `OSError`."""
        for path in self._paths:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sockets.append(made)
            made.setblocking(False)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            made.bind(path)
            os.chmod(path, _MODE)
        self._thread.start()

    def take(self) -> tuple[list[bytes], int]:
        """The lines since the last time, and how many there was no room for."""
        with self._lock:
            lines, dropped = self._lines, self._dropped
            self._lines, self._dropped = [], 0
        return lines, dropped

    async def close(self) -> None:
        """The sockets stay in place for the next one: HAProxy drops what nobody takes."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _JOIN_S)
        for each in self._sockets:
            each.close()

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in self._sockets:
                selector.register(each, selectors.EVENT_READ)
            while not self._stopping.is_set():
                if selector.select(_IDLE_S):
                    self._keep([line for each in self._sockets for line in _waiting(each)])
                    self._stopping.wait(_REST_S)

    def _keep(self, lines: list[bytes]) -> None:
        with self._lock:
            room = max(0, LINES - len(self._lines))
            self._lines += lines[:room]
            self._dropped += len(lines) - min(room, len(lines))


def _waiting(given: socket.socket) -> Iterable[bytes]:
    """All that lies in a socket."""
    while True:
        try:
            yield given.recv(_DATAGRAM)
        except OSError:  # nothing more
            return
