"""This file is the projector: it compares the decided buckets and the waiting orders with the database now and then.

The relay is fast and complete as long as the bus keeps what it was given. The projector is for the day it did not: a
bucket that lost or rolled back its memory is filled again from state, and an order that vanished is given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import structlog

from services.api.store.store import MongoStore
from services.core.errors import TemporaryError
from services.core.ids import AggregateId
from services.core.model import Model
from services.core.records import Build, BuildOrder, Desired, Epoch, Placement, Removed, Route
from services.core.subjects import EPOCH, Bucket, Stream, version_key
from services.core.wanted import Effect, is_same, wanted
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.process import Stop
from services.kit.producer import Counter

log = structlog.get_logger()

COMPARE_EVERY_S = 20.0
ORDER_IS_LOST_AFTER = timedelta(seconds=15)  # time enough for the relay, a builder's report and its recording

Entries = Mapping[str, Desired | Route | Build | Removed]


class Projector:
    """Makes the decided buckets say what the database says."""

    def __init__(self, store: MongoStore, bus: Bus, *, deployer_id: str) -> None:
        self._store = store
        self._bus = bus
        self._deployer_id = deployer_id
        self._desired = bus.bucket(Bucket.DESIRED, Desired)
        self._routes = bus.bucket(Bucket.ROUTES, Route)
        self._builds = bus.bucket(Bucket.BUILDS, Build)
        self._placements = bus.bucket(Bucket.PLACEMENTS, Placement)
        self._counter = Counter()

    async def run(self, stop: Stop) -> None:
        """Compares every `COMPARE_EVERY_S`, and at once after the bus came back, until `stop`."""
        connections = 0
        while not stop.is_set:
            try:
                await self._compare()
                connections = self._bus.connections
            except TemporaryError as error:
                log.warning("projector_waits", reason=error.reason)
                await stop.wait_for(1.0)
                continue
            waited_s = 0.0
            while waited_s < COMPARE_EVERY_S and self._bus.connections == connections and not stop.is_set:
                await stop.wait_for(1.0)
                waited_s += 1.0

    async def _compare(self) -> None:
        buckets: dict[Bucket, Entries] = {
            Bucket.DESIRED: await self._desired.list(),
            Bucket.ROUTES: await self._routes.list(),
            Bucket.BUILDS: await self._builds.list(),
        }
        placements = (each for each in (await self._placements.list()).values() if isinstance(each, Placement))
        placed = {version_key(each.deployer_id, each.version_id): each.model_id for each in placements}
        async for model in self._store.all_models():
            await self._compare_model(model, buckets, placed)
        epoch = Epoch(revision=self._counter.next())
        await self._desired.put(EPOCH, epoch)
        await self._routes.put(EPOCH, epoch)
        await self._builds.put(EPOCH, epoch)

    async def _compare_model(
        self, model: Model, buckets: Mapping[Bucket, Entries], placed: Mapping[str, AggregateId]
    ) -> None:
        effects = wanted(model, deployer_id=self._deployer_id)
        for effect in effects.values():
            match effect.body:
                case BuildOrder() as order:
                    await self._give_again(model, order, effect.key)
                case _ if effect.bucket is not None:
                    await self._put_if_other(effect, buckets[effect.bucket])
        for effect in (*self._leftovers(model, effects, buckets), *_untold(model, effects, buckets, placed)):
            await self._put(effect)

    async def _put_if_other(self, effect: Effect, entries: Entries) -> None:
        found = entries.get(effect.key)
        if found is not None and not isinstance(found, Removed):
            there = Effect(bucket=effect.bucket, key=effect.key, body=found)
            if is_same(there, effect):
                return
        await self._put(effect)

    def _leftovers(
        self, model: Model, effects: Mapping[str, Effect], buckets: Mapping[Bucket, Entries]
    ) -> list[Effect]:
        """Tombstones for entries of this model that nothing wants any more. Entries of unknown models stay."""
        wanted_keys = {(effect.bucket, effect.key) for effect in effects.values()}
        tombstone = Removed(revision=model.revision)
        return [
            Effect(bucket=bucket, key=key, body=tombstone)
            for bucket, entries in buckets.items()
            for key, entry in entries.items()
            if not isinstance(entry, Removed)
            and entry.model_id == model.id
            and entry.revision < model.revision
            and (bucket, key) not in wanted_keys
        ]

    async def _put(self, effect: Effect) -> None:
        match effect.body:
            case BuildOrder():
                return
            case Desired() | Route() | Removed() if effect.bucket is Bucket.DESIRED:
                was_put = await self._desired.put(effect.key, effect.body)  # type: ignore[arg-type]
            case Build() | Removed() if effect.bucket is Bucket.BUILDS:
                was_put = await self._builds.put(effect.key, effect.body)
            case _:
                was_put = await self._routes.put(effect.key, effect.body)  # type: ignore[arg-type]
        if was_put:
            log.info("projection_repaired", bucket=str(effect.bucket), key=effect.key)

    async def _give_again(self, model: Model, order: BuildOrder, subject: str) -> None:
        if now() - model.changed_at < ORDER_IS_LOST_AFTER:
            return
        if await self._bus.has_message(Stream.COMMANDS, subject):
            return
        log.warning("order_given_again", subject=subject)
        await self._bus.publish(subject, order)


def _untold(
    model: Model, effects: Mapping[str, Effect], buckets: Mapping[Bucket, Entries], placed: Mapping[str, AggregateId]
) -> list[Effect]:
    """Tombstones for placements of this model that nothing wants and nothing speaks of: their tombstone has expired.

    Their deployer was away all that time, and keeps what it runs until it is told.
    """
    spoken_of = {effect.key for effect in effects.values()} | buckets[Bucket.DESIRED].keys()
    keys = [key for key, model_id in placed.items() if model_id == model.id and key not in spoken_of]
    return [Effect(bucket=Bucket.DESIRED, key=key, body=Removed(revision=model.revision)) for key in keys]
