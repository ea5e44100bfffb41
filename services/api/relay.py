"""This file is the relay: it publishes what was stored, in order per aggregate, and forgets it once it is out.

It selects what is unpublished and keeps no cursor, so it may die at any moment and two may run at once: what is then
published twice is dropped by the bus, refused by an entry's revision, or handled idempotently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby

import msgspec
import structlog

from services.api.store.documents import OutboxRow
from services.api.store.store import MongoStore
from services.core.errors import TemporaryError
from services.core.records import Build, Desired, Removed, Route
from services.core.subjects import Bucket
from services.kit.bus import Bus
from services.kit.process import Stop
from services.kit.wake import Wake

log = structlog.get_logger()

ROWS_AT_ONCE = 500
POLL_S = 1.0  # finds what another api process stored; our own changes ring
BACK_OFF_S = 0.5


class Relay:
    """Carries the outbox to the bus."""

    def __init__(self, store: MongoStore, bus: Bus, wake: Wake) -> None:
        self._store = store
        self._bus = bus
        self._wake = wake
        self._desired = bus.bucket(Bucket.DESIRED, Desired)
        self._routes = bus.bucket(Bucket.ROUTES, Route)
        self._builds = bus.bucket(Bucket.BUILDS, Build)

    async def run(self, stop: Stop) -> None:
        """Until `stop`; an absent bus or database is waited for."""
        is_away = False
        while not stop.is_set:
            try:
                published = await self._publish_some()
                is_away = False
            except TemporaryError as error:
                if not is_away:
                    log.warning("relay_waits", reason=error.reason)
                is_away, published = True, 0
                await stop.wait_for(BACK_OFF_S)
            if published < ROWS_AT_ONCE:
                await self._wake.wait_or(stop, POLL_S)

    async def _publish_some(self) -> int:
        rows = await self._store.unpublished(limit=ROWS_AT_ONCE)
        if not rows:
            return 0
        aggregates = [list(group) for _, group in groupby(rows, key=lambda row: row.aggregate_id)]
        results = await asyncio.gather(*map(self._publish_in_order, aggregates))
        done = [row for published, _ in results for row in published]
        if done:
            await self._store.forget(done)
        for _, error in results:
            if error is not None:
                raise error
        return len(done)

    async def _publish_in_order(self, rows: Sequence[OutboxRow]) -> tuple[list[OutboxRow], TemporaryError | None]:
        """Rows of one aggregate, up to the first that the bus does not take."""
        done: list[OutboxRow] = []
        for row in rows:
            try:
                await self._publish(row)
            except TemporaryError as error:
                return done, error
            done.append(row)
        return done, None

    async def _publish(self, row: OutboxRow) -> None:
        match row.bucket:
            case Bucket.DESIRED:
                await self._desired.put(row.key, msgspec.json.decode(row.body, type=Desired | Removed))
            case Bucket.ROUTES:
                await self._routes.put(row.key, msgspec.json.decode(row.body, type=Route | Removed))
            case Bucket.BUILDS:
                await self._builds.put(row.key, msgspec.json.decode(row.body, type=Build | Removed))
            case _:
                await self._bus.publish(row.key, msgspec.Raw(row.body), message_id=row.id)
