"""This file is the collector: blobs that no project and no version needs are taken away, now and then.

A blob is needed by a commit of a project, which lasts as long as the project, or by a version that runs or may be
started. When anything of that cannot be read, nothing is taken away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from services.api.referred import of_bundle, of_snapshot
from services.api.store.store import MongoStore
from services.core.collection import Collected, collectable, needed_artifacts, unfinished_builds, unused_since
from services.core.ids import Digest
from services.core.project import Project
from services.kit.blobs import Blobs
from services.kit.collecting import keep_collecting
from services.kit.process import Stop


class Collector:
    """Takes blobs away that were not needed, nor used, for `grace_s`."""

    def __init__(self, store: MongoStore, blobs: Blobs, *, clock: Callable[[], datetime], grace_s: float) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._grace_s = grace_s

    async def run(self, stop: Stop, *, every_s: float) -> None:
        """Until `stop`; a store that does not know how old its blobs are keeps them all."""
        if self._blobs.ages.is_kept:
            await keep_collecting(self.collect, stop, what="blobs", every_s=every_s)
        await stop.wait()

    async def collect(self) -> Collected:
        """One look at everything. Raises what reading the database or the store raises; then nothing was taken."""
        began = self._clock()
        # Before the references: what becomes needed from here on was used from here on, too.
        held = await self._blobs.ages.held()
        names = {each.name for each in held}
        needed: set[str] = set()
        unfinished: list[datetime] = []
        async for model in self._store.all_models():
            unfinished += unfinished_builds(model)
            for artifact in needed_artifacts(model):
                needed |= await of_bundle(self._blobs, artifact)
        async for state, _ in self._store.states("project"):
            async for digests in self._of_project(state):
                needed |= digests & names
        since = unused_since(began, grace_s=self._grace_s, unfinished=unfinished)
        collected = Collected()
        for each in collectable(held, needed, unused_since=since):
            if await self._blobs.ages.take_away(each.name, unused_since=since):
                collected = collected.with_one(each)
        return collected

    async def _of_project(self, state: object) -> AsyncIterator[set[Digest]]:
        """What each commit of the project holds, its manifest included. Equal commits are read once."""
        snapshots = state.snapshots if isinstance(state, Project) else ()
        for digest in {each.snapshot for each in snapshots}:
            yield await of_snapshot(self._blobs, digest)
