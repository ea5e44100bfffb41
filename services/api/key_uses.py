"""This file is when each API key was last used: noticed on every request, written once a minute at most.

Observed, not decided: it is in nobody's history, and what a crash loses of it is the last few seconds.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import structlog

from services.api.ports import People
from services.core.errors import ModelwayError
from services.core.person import Person
from services.kit.clock import now
from services.kit.process import Stop

NOTED_EVERY_S = 60.0
WRITTEN_EVERY_S = 5.0
MOST = 2_000  # keys that are remembered, and uses that wait while the database does not answer

log = structlog.get_logger()


class KeyUses:
    """`note` costs a request one look into a table; the database is never waited for."""

    def __init__(
        self,
        people: People,
        *,
        clock: Callable[[], datetime] = now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._people = people
        self._clock = clock
        self._monotonic = monotonic
        self._rest_until: OrderedDict[str, float] = OrderedDict()  # by hash of the key
        self._waiting: dict[str, datetime] = {}  # by id of the key

    def note(self, person: Person, key_hash: str) -> None:
        """The key of `person` with this hash was used just now."""
        if self._rest_until.get(key_hash, 0.0) > self._monotonic():
            return
        self._rest_until[key_hash] = self._monotonic() + NOTED_EVERY_S
        self._rest_until.move_to_end(key_hash)
        if len(self._rest_until) > MOST:
            self._rest_until.popitem(last=False)
        for key in person.api_keys:
            if key.key_hash == key_hash and (key.id in self._waiting or len(self._waiting) < MOST):
                self._waiting[key.id] = self._clock()

    async def write(self) -> None:
        """Writes what waits. What cannot be written goes on waiting."""
        uses, self._waiting = self._waiting, {}
        if not uses:
            return
        try:
            await self._people.note_key_uses(uses)
        except ModelwayError as error:
            self._waiting = {**uses, **self._waiting}
            log.warning("key_uses_not_written", keys=len(uses), reason=error.reason)

    async def run(self, stop: Stop) -> None:
        """Until the process should end; what was used since is for whoever ends it to `write`."""
        while not await stop.wait_for(WRITTEN_EVERY_S):
            await self.write()
