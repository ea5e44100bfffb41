"""This file is the harness's own log: one line an event, on stderr, among what the user's code writes."""

from __future__ import annotations

import sys
from contextlib import suppress


def log(event: str, /, trace: str = "", **values: object) -> None:
    """Write one event with its values, and a traceback under it where there is one.

    One write for all of it, so that workers that share the file do not tear each other's lines. It goes to
    the stream the process was started with, also when the user's code has replaced `sys.stderr`.
    """
    stream = sys.__stderr__
    if stream is None:
        return
    words = "".join(f" {name}={value}" for name, value in values.items())
    with suppress(OSError, ValueError):  # a full disk, or a stream that the user's code has closed
        stream.write(f"modelway_harness: {event}{words}\n{trace}")
        stream.flush()
