"""This file bounds how long the body of a request may take to arrive."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from threading import Event, Timer


@contextlib.contextmanager
def cut_off(connection: socket.socket | None, after_s: float) -> Iterator[Event]:
    """Nothing more is read from `connection` once `after_s` seconds are over; the event says that it came to this.

    A timeout of the socket would begin anew with every byte. What is written to it still goes out.
    """
    cut = Event()

    def cut_now() -> None:
        cut.set()
        with contextlib.suppress(OSError):  # the caller has gone by itself
            if connection is not None:
                connection.shutdown(socket.SHUT_RD)

    timer = Timer(max(0.0, after_s), cut_now)
    timer.daemon = True
    timer.start()
    try:
        yield cut
    finally:
        timer.cancel()
