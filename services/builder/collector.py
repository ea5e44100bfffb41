"""This file is the collector: environments that no version needs are taken away, now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from services.builder.environment import Environments
from services.builder.wishes import BusWishes
from services.core.collection import Collected, collectable, unused_since
from services.core.errors import ModelwayError
from services.core.records import Bundle
from services.kit.blobs import Blobs
from services.kit.process import Stop

log = structlog.get_logger()

SETTLE_S = 60.0  # after a start, before the first look


class Collector:
    """Takes environments away that were not needed, nor used by a build, for `grace_s`."""

    def __init__(
        self,
        environments: Environments,
        blobs: Blobs,
        wishes: BusWishes,
        *,
        clock: Callable[[], datetime],
        grace_s: float,
    ) -> None:
        self._environments = environments
        self._blobs = blobs
        self._wishes = wishes
        self._clock = clock
        self._grace_s = grace_s

    async def run(self, stop: Stop, *, every_s: float) -> None:
        """Until `stop`; what cannot be read now is tried again at the next time."""
        wait_s = min(SETTLE_S, every_s)
        while not await stop.wait_for(wait_s):
            try:
                collected = await self.collect()
                if collected.count:
                    log.info("collected", what="environments", count=collected.count)
            except ModelwayError as error:
                log.warning("collection_put_off", what="environments", reason=error.reason)
            except OSError as error:
                log.warning("collection_put_off", what="environments", reason=error.strerror)
            wait_s = every_s

    async def collect(self) -> Collected:
        """One look at everything. Raises what reading the needs raises; then nothing was taken."""
        began = self._clock()
        await asyncio.to_thread(self._environments.sweep)
        held = await asyncio.to_thread(self._environments.held)
        builds = self._wishes.needed()
        # Read to the last before anything goes: an artifact that cannot be read may need any of them.
        bundles = [await self._blobs.get_document(each.artifact, Bundle) for each in builds if each.artifact]
        needed = {bundle.environment for bundle in bundles}
        unfinished = (each.published_at for each in builds if each.artifact is None)
        since = unused_since(began, grace_s=self._grace_s, unfinished=unfinished)
        collected = Collected()
        for each in collectable(held, needed, unused_since=since):
            if await asyncio.to_thread(self._environments.take_away, each.name, unused_since=since):
                collected = collected.with_one(each)
        return collected
