"""This file bounds the waiting for the database: how many wait at once, and how long one request waits in all.

A database that hangs answers nobody, so those who queue for it would only grow in number. They are turned away at once
instead, and told to come again: they wait better than we do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from services.api import patience
from services.api.store.database import CALL_DEADLINE_S, answering
from services.core.errors import Overloaded, Unavailable

MOST_WAITING = 200
_RETRY_S = 2.0


class Waiting:
    """Those who wait for one database. Called around each use of it, as `answering` is."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._now = 0

    def longest_s(self) -> float:
        """How long one more call may take."""
        mine = patience.current()
        return CALL_DEADLINE_S if mine is None else max(0.0, min(CALL_DEADLINE_S, mine.left_s))

    @contextlib.asynccontextmanager
    async def __call__(self, deadline_s: float = CALL_DEADLINE_S) -> AsyncIterator[None]:
        """Raises `Overloaded` when too many wait already, `Unavailable` when the request waited long enough, and what
        `answering` raises.
        """
        if self._now >= self._most:
            raise Overloaded("too many requests wait for the database; try again soon", retry_after_s=_RETRY_S)
        mine = patience.current() or patience.Patience(deadline_s)
        if mine.left_s <= 0:
            raise Unavailable("the database is too slow; try again soon", retry_after_s=_RETRY_S)
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._now += 1
        try:
            async with answering(min(deadline_s, mine.left_s)):
                yield
        finally:
            self._now -= 1
            mine.left_s -= loop.time() - began
