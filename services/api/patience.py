"""This file is how long one request waits for the database in all, however many calls it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

REQUEST_S = 10.0


class Patience:
    """What is left of it. Spent by whoever waits."""

    def __init__(self, seconds: float) -> None:
        self.left_s = seconds


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)


def current() -> Patience | None:
    """None where nobody waits, as in background work: each call has its own deadline there."""
    return _current.get()


@contextlib.contextmanager
def one_request(seconds: float | None = REQUEST_S) -> Iterator[None]:
    """Inside, all waiting counts together. None: what takes its time, as reading all of history does."""
    token = _current.set(None if seconds is None else Patience(seconds))
    try:
        yield
    finally:
        _current.reset(token)
