"""This file makes checkpoints of the histories, and tells the bus and the log of them: see core/checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from services.api.ledger import to_milliseconds
from services.api.store.checkpoints import Unchecked
from services.core.checkpoint import HEADS, Checkpoint, Seal, following, newest_heads
from services.core.errors import TemporaryError
from services.kit.process import Stop

log = structlog.get_logger()

CHECKPOINT_S = 30.0  # between two, when anything changed: what is not yet in one can be altered unseen


class Checkpoints(Protocol):
    """The chain as stored. Every method raises `Unavailable` when the database does not answer in time."""

    async def newest(self) -> Seal | None:
        """None: there is none yet."""

    async def unchecked(self, *, limit: int) -> list[Unchecked]:
        """Some of the changes that no checkpoint has."""

    async def add(self, checkpoint: Checkpoint, seen: Sequence[Unchecked]) -> bool:
        """Stores it, and that it has `seen` these. False, and nothing stored: its number is taken."""

    async def note_what_is_ahead(self) -> None:
        """Every history that no checkpoint has seen as it is now counts as changed. Reads the whole chain."""


class Announcer(Protocol):
    async def announce(self, seal: Seal) -> None:
        """Keeps it where the database is not. Raises `Unavailable`."""


class Checkpointer:
    """Runs in every api process: of two with the same number in mind one is first, and the other goes on from there."""

    def __init__(
        self, checkpoints: Checkpoints, announcer: Announcer, *, clock: Callable[[], datetime], every_s: float
    ) -> None:
        self._checkpoints = checkpoints
        self._announcer = announcer
        self._clock = clock
        self._every_s = every_s
        self._announced: Seal | None = None
        self._has_looked = False

    async def run(self, stop: Stop) -> None:
        """Until `stop`. What waits for the database or the bus is done the next time."""
        while not await stop.wait_for(self._every_s):
            try:
                while await self.make() and not stop.is_set:
                    pass
            except TemporaryError as error:
                log.warning("checkpoint_waits", reason=error.reason)

    async def make(self) -> bool:
        """One checkpoint of what changed, if anything did; true when there may be more for another one."""
        newest = await self._checkpoints.newest()
        if newest is None or not self._has_looked:
            # A database that is older than checkpoints, or was restored, has changes that nobody noted.
            await self._checkpoints.note_what_is_ahead()
            self._has_looked = True
        changed = await self._checkpoints.unchecked(limit=HEADS)
        is_added = False
        if changed:
            heads = newest_heads((each.aggregate_id, each.head) for each in changed)
            checkpoint = following(newest, heads, at=to_milliseconds(self._clock()))
            is_added = await self._checkpoints.add(checkpoint, changed)
            if is_added:
                newest = checkpoint.seal
                log.info("checkpoint_made", number=newest.number, hash=newest.hash, heads=len(heads))
        if newest is not None and newest != self._announced:
            await self._announcer.announce(newest)
            self._announced = newest
        return is_added and len(changed) == HEADS
