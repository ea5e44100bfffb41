"""This file is the collector: environments that no version needs are taken away, now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from services.builder.environment import Environments
from services.builder.wishes import BusWishes
from services.core.collection import Collected, collectable, unused_since
from services.core.records import Bundle
from services.kit.blobs import Blobs
from services.kit.collecting import keep_collecting
from services.kit.process import Stop


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
        """Until `stop`."""
        await keep_collecting(self.collect, stop, what="environments", every_s=every_s)

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
