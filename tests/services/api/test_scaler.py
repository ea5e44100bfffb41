"""The scaler: instances of busy models follow what the routers count, and stay as they are on what nobody says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from services.api.ledger import MongoLedger
from services.api.observed import BusObserved
from services.api.ports import EntryQuery
from services.api.scaler import GONE_S, Scaler
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.commands import ArchiveModel
from services.core.draining import Routers
from services.core.ids import VersionId
from services.core.model import Model
from services.core.records import Placement, RouterReport
from services.core.scaling import Patience
from services.core.settings import Scaling, Settings
from services.core.subjects import Bucket, version_key
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.heartbeat import beat
from services.kit.process import Stop
from services.kit.producer import Producer
from services.kit.wake import Wake
from tests.makers import (
    MODEL_ID,
    PERSON,
    built,
    create,
    instance,
    instance_id,
    placement,
    publish,
    ready,
    version_id,
)
from tests.parts import wait_until, wait_until_async

SCALING = Scaling(min_instances=1, max_instances=4, target_calls=2.0)


async def serve(ledger: MongoLedger, scaling: Scaling | None = SCALING) -> None:
    """A model that scales, with a version that runs."""
    settings = Settings(instances=1, scaling=scaling)
    for command in (create(settings=settings), publish(1), built(1), ready(1)):
        await ledger.execute(MODEL, MODEL_ID, command, actor=PERSON)


def report(in_flight: int, waiting: int = 0, router: str = "router-1", revision: int = 1) -> RouterReport:
    return RouterReport(
        revision=revision,
        router_id=router,
        routes={},
        placements={},
        in_flight={instance_id(1): in_flight},
        waiting={version_id(1): waiting},
    )


async def test_instances_follow_the_calls_that_the_routers_count(store: MongoStore, bus: Bus, stop: Stop) -> None:
    observed = BusObserved(bus, Wake())
    patience = Patience(up_s=0.3, down_s=1.0, gap_s=3.0)
    ledger = MongoLedger(store, deployer_id="local", clock=now, on_change=lambda state: scaler.changed(state))
    scaler = Scaler(ledger, store, observed, patience=patience, clock=time.monotonic, sample_s=0.05)
    await serve(ledger)
    reports = Producer(bus.bucket(Bucket.ROUTERS, RouterReport))

    async def count(in_flight: int, waiting: int) -> None:
        await reports.publish("router-1", lambda revision: report(in_flight, waiting, revision=revision))

    async def has(instances: int) -> bool:
        return (await store.load(MODEL, MODEL_ID)).instances == instances

    works = (observed.run, scaler.run, lambda stop: beat(bus, "api", "api-1", stop))
    routing = lambda stop: beat(bus, "router", "router-1", stop)  # noqa: E731
    tasks = [asyncio.create_task(work(stop)) for work in (*works, routing)]
    await bus.bucket(Bucket.PLACEMENTS, Placement).put(
        version_key("local", version_id(1)), placement(instances=[instance(1)])
    )
    await count(in_flight=1, waiting=4)
    await wait_until_async(lambda: has(3), what="three instances for five calls")
    await count(in_flight=8, waiting=100)
    await wait_until_async(lambda: has(4), what="the most there may be")
    await count(in_flight=1, waiting=0)
    await wait_until_async(lambda: has(1), what="one is enough again")
    stop.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 15)
    scaled = [link.entry for link in await store.entries(EntryQuery(aggregate_id=MODEL_ID), limit=3)]
    assert [type(entry.event).__name__ for entry in scaled] == ["InstancesScaled"] * 3
    assert {entry.actor.name for entry in scaled} == {"api"}
    assert "at most" in str(scaled[0].event)


class Told:
    """What is observed, as the test says; at each look a second has passed."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.reports: dict[str, RouterReport] = {}
        self.live: set[str] = set()
        self.is_known = True
        self.looks = 0

    def routers(self) -> Routers | None:
        self.looks += 1
        self.now_s += 1
        return Routers(reports=self.reports, live=frozenset(self.live)) if self.is_known else None

    def placements(self) -> Mapping[VersionId, Placement]:
        return {version_id(1): placement(instances=[instance(1)])}


class Scene:
    """A scaler on a real store whose time passes as fast as it can."""

    def __init__(self, store: MongoStore) -> None:
        self.store, self.told = store, Told()
        self.ledger = MongoLedger(store, deployer_id="local", clock=now)
        patience = Patience(up_s=3.0, down_s=20.0, gap_s=3.0)
        self._scaler = Scaler(
            self.ledger, store, self.told, patience=patience, clock=lambda: self.told.now_s, sample_s=0.0001
        )

    async def passes(self, seconds: int) -> Model:
        """The model after so many looks, and some that were under way."""
        stop, until = Stop(), self.told.looks + seconds
        task = asyncio.create_task(self._scaler.run(stop))
        await wait_until(lambda: self.told.looks >= until, 20)
        stop.set()
        await asyncio.wait_for(task, 10)
        return await self.store.load(MODEL, MODEL_ID)

    def says(self, router: str, in_flight: int) -> None:
        self.told.reports[router] = report(in_flight, router=router)
        self.told.live.add(router)


async def test_nothing_scales_down_while_a_router_is_silent_until_it_is_gone_for_good(store: MongoStore) -> None:
    scene = Scene(store)
    await serve(scene.ledger)
    scene.says("router-1", 4)
    scene.says("router-2", 4)
    assert (await scene.passes(30)).instances == 4
    scene.told.live.remove("router-2")
    scene.says("router-1", 0)
    assert (await scene.passes(60)).instances == 4, "its HAProxy may serve on"
    scene.told.now_s += GONE_S
    assert (await scene.passes(40)).instances == 1


async def test_nothing_changes_while_it_is_not_known_which_routers_live(store: MongoStore) -> None:
    scene = Scene(store)
    await serve(scene.ledger)
    scene.says("router-1", 6)
    assert (await scene.passes(10)).instances == 3
    scene.told.is_known = False
    scene.says("router-1", 0)
    assert (await scene.passes(60)).instances == 3
    scene.told.is_known = True
    assert (await scene.passes(10)).instances == 3, "of the time between nothing is known"
    assert (await scene.passes(30)).instances == 1


async def test_a_live_router_that_has_not_said_anything_yet_may_have_calls(store: MongoStore) -> None:
    scene = Scene(store)
    await serve(scene.ledger)
    scene.says("router-1", 6)
    assert (await scene.passes(10)).instances == 3
    scene.told.live.add("router-2")
    scene.says("router-1", 0)
    assert (await scene.passes(60)).instances == 3


async def test_a_model_that_does_not_scale_is_left_alone(store: MongoStore) -> None:
    scene = Scene(store)
    await serve(scene.ledger, scaling=None)
    scene.says("router-1", 6)
    assert (await scene.passes(20)).instances == 1


async def test_a_model_that_is_archived_meanwhile_is_left_alone(store: MongoStore) -> None:
    scene = Scene(store)
    await serve(scene.ledger)
    scene.says("router-1", 6)
    assert (await scene.passes(10)).instances == 3
    archived = await scene.ledger.execute(MODEL, MODEL_ID, ArchiveModel(), actor=PERSON)
    scene.says("router-1", 8)
    assert (await scene.passes(20)).revision == archived.revision
