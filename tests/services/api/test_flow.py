"""Recorder, relay and projector between a real database and a real bus: what is stored is published, once it can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from services.api import projector
from services.api.ledger import MongoLedger
from services.api.observed import BusObserved
from services.api.ports import EntryQuery
from services.api.projector import Projector
from services.api.recorder import Recorder
from services.api.relay import Relay
from services.api.store.store import MongoStore
from services.api.verify import verify
from services.core import subjects
from services.core.aggregates import MODEL, State
from services.core.commands import CancelBuild, StopVersion
from services.core.errors import Unavailable
from services.core.ids import VersionId
from services.core.lifecycle import DeploymentPhase
from services.core.records import (
    Build,
    BuildOrder,
    BuildPhase,
    BuildReport,
    Desired,
    Health,
    Placement,
    PlacementPhase,
    Removed,
    Rollout,
    RolloutKind,
    Route,
    Target,
)
from services.core.subjects import Bucket, Stream
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.process import Stop
from services.kit.setup import create_all
from services.kit.wake import Wake
from tests.makers import (
    ARTIFACT,
    MODEL_ID,
    PERSON,
    START,
    built,
    create,
    health,
    instance,
    placement,
    publish,
    ready,
    version_id,
)
from tests.parts import NatsServer, wait_until_async

Work = Callable[[Stop], Coroutine[Any, Any, None]]


@asynccontextmanager
async def at_work(*works: Work) -> AsyncIterator[None]:
    stop = Stop()
    tasks = [asyncio.create_task(work(stop)) for work in works]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 15)


class Flow:
    """Api without its HTTP, on real parts."""

    def __init__(self, store: MongoStore, bus: Bus) -> None:
        self.store, self.bus = store, bus
        stored, seen = Wake(), Wake()
        self.stored = stored
        self.ledger = MongoLedger(store, deployer_id="local", clock=now, on_change=self._on_change)
        self.observed = BusObserved(bus, seen)
        self.recorder = Recorder(self.ledger, store, self.observed, seen)
        self.relay = Relay(store, bus, stored)
        self.desired = bus.bucket(Bucket.DESIRED, Desired)
        self.routes = bus.bucket(Bucket.ROUTES, Route)

    def _on_change(self, state: State) -> None:
        self.stored.ring()
        self.recorder.changed(state)

    def works(self) -> list[Work]:
        facts: Work = lambda stop: self.recorder.record_facts(self.bus, stop)  # noqa: E731
        return [self.relay.run, facts, self.recorder.record_observations, self.observed.run]

    async def report(self, phase: BuildPhase, number: int = 1) -> None:
        report = BuildReport(
            model_id=MODEL_ID, version_id=version_id(number), attempt=1, phase=phase, artifact=ARTIFACT
        )
        await self.bus.publish(subjects.build_fact(version_id(number)), report)

    async def deployment(self, number: int = 1) -> DeploymentPhase:
        return (await self.store.load(MODEL, MODEL_ID)).version(version_id(number)).deployment

    async def wait_for_deployment(self, phase: DeploymentPhase) -> None:
        async def reached() -> bool:
            return await self.deployment() is phase

        await wait_until_async(reached, what=f"the version is {phase}")

    async def wait_for_entry(self, matches: Callable[[Desired | Removed | None], bool]) -> None:
        async def found() -> bool:
            return matches(await self.desired.get(subjects.version_key("local", version_id(1))))

        await wait_until_async(found, what="the desired entry")


@pytest.fixture
def flow(store: MongoStore, bus: Bus) -> Flow:
    return Flow(store, bus)


async def test_a_version_goes_from_publish_to_stopped_by_what_is_reported_and_observed(flow: Flow) -> None:
    placements = flow.bus.bucket(Bucket.PLACEMENTS, Placement)
    verdicts = flow.bus.bucket(Bucket.HEALTH, Health)
    key = subjects.version_key("local", version_id(1))
    async with at_work(*flow.works()):
        await flow.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
        await flow.ledger.execute(MODEL, MODEL_ID, publish(1), actor=PERSON)
        await flow.report(BuildPhase.BUILDING)
        await flow.report(BuildPhase.COMPLETE)
        await flow.wait_for_entry(lambda entry: isinstance(entry, Desired) and entry.target is Target.RUNNING)

        await placements.put(key, placement(instances=[instance(1)], phase=PlacementPhase.STARTING))
        assert await flow.deployment() is DeploymentPhase.STARTING
        for name, verdict in health(1).items():
            await verdicts.put(name, verdict)
        await flow.wait_for_deployment(DeploymentPhase.READY)

        async def is_routed() -> bool:
            route = await flow.routes.get(MODEL_ID)
            return isinstance(route, Route) and route.labels == {"latest": version_id(1)}

        await wait_until_async(is_routed, what="the route")

        await flow.ledger.execute(MODEL, MODEL_ID, StopVersion(version_id=version_id(1)), actor=PERSON)
        await flow.wait_for_entry(lambda entry: isinstance(entry, Desired) and entry.target is Target.STOPPED)
        await placements.put(key, placement(revision=2, phase=PlacementPhase.STOPPED))
        await flow.wait_for_deployment(DeploymentPhase.STOPPED)
        await flow.wait_for_entry(lambda entry: isinstance(entry, Removed))


async def test_what_was_changed_while_the_bus_was_away_is_published_in_order_when_it_is_back(
    flow: Flow, nats_server: NatsServer
) -> None:
    async with at_work(*flow.works()):
        nats_server.kill()
        await flow.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
        await flow.ledger.execute(MODEL, MODEL_ID, publish(1), actor=PERSON)
        nats_server.start()

        async def is_published() -> bool:
            return not await flow.store.unpublished(limit=1)

        await wait_until_async(is_published, 20, what="the outbox is empty")
    async with flow.bus.deadline("read the events") as jetstream:
        first = await jetstream.get_msg(Stream.EVENTS, 1)
        second = await jetstream.get_msg(Stream.EVENTS, 2)
        order = await jetstream.get_msg(Stream.COMMANDS, 1)
    assert first.subject == f"event.model.{MODEL_ID}.model-created"
    assert second.subject == f"event.model.{MODEL_ID}.version-published"
    assert order.data is not None
    assert msgspec.json.decode(order.data, type=BuildOrder).version_id == version_id(1)


async def test_a_bus_that_lost_its_memory_is_filled_again_from_the_database(
    flow: Flow, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "ORDER_IS_LOST_AFTER", timedelta(0))
    await flow.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
    await flow.ledger.execute(MODEL, MODEL_ID, publish(1), actor=PERSON)
    async with at_work(flow.relay.run):

        async def is_ordered() -> bool:
            return await flow.bus.has_message(Stream.COMMANDS, subjects.build_command(version_id(1)))

        await wait_until_async(is_ordered, what="the order")
    nats_server.forget_everything()

    async def is_set_up() -> bool:
        try:
            await create_all(flow.bus)
        except Unavailable:
            return False
        return True

    await wait_until_async(is_set_up, what="the bus is back")
    async with at_work(Projector(flow.store, flow.bus, deployer_id="local").run):
        await wait_until_async(is_ordered, what="the order, given again")

        async def is_routed() -> bool:
            return isinstance(await flow.routes.get(MODEL_ID), Route)

        await wait_until_async(is_routed, what="the route, put again")


async def test_a_receipt_that_comes_twice_is_recorded_once_and_one_of_an_unknown_version_not_at_all(
    flow: Flow,
) -> None:
    for command in (create(), publish(1), built(1), ready(1)):
        await flow.ledger.execute(MODEL, MODEL_ID, command, actor=PERSON)
    async with at_work(lambda stop: flow.recorder.record_receipts(flow.bus, stop)):
        for rollout in (receipt("1"), receipt("1"), receipt("2", version_id(9)), receipt("3")):
            finer = replace(rollout, began_at=rollout.began_at + timedelta(microseconds=123))
            await flow.bus.publish(subjects.rollout_fact(rollout.id), finer)

        async def has_last() -> bool:
            return (await flow.store.load(MODEL, MODEL_ID)).rollouts[-1:] == (receipt("3"),)

        await wait_until_async(has_last, what="the last receipt")
    assert (await flow.store.load(MODEL, MODEL_ID)).rollouts == (receipt("1"), receipt("3"))
    assert (await verify(flow.store.evidence)).findings == [], "what was hashed is what is read back"
    newest = (await flow.store.entries(EntryQuery(aggregate_id=MODEL_ID), limit=1))[0].entry
    assert (newest.actor.name, newest.id) == ("router", "rollout.router-1.latest.3.1")


def receipt(number: str, version: VersionId | None = None) -> Rollout:
    return Rollout(
        id=f"router-1.latest.{number}",
        router_id="router-1",
        kind=RolloutKind.SWITCH,
        model_id=MODEL_ID,
        version_id=version or version_id(1),
        replaced=None,
        label="latest",
        began_at=START,
        in_effect_s=0.1,
        drain_s=0.0,
        requests=3,
        failures=0,
        longest_wait_s=0.0,
        longest_call_s=0.2,
        instances=(),
    )


async def test_a_cancelled_build_is_given_up_by_a_tombstone(flow: Flow) -> None:
    builds = flow.bus.bucket(Bucket.BUILDS, Build)
    async with at_work(flow.relay.run):
        await flow.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
        await flow.ledger.execute(MODEL, MODEL_ID, publish(1), actor=PERSON)

        async def is_said(kind: type[Build | Removed]) -> bool:
            return isinstance(await builds.get(version_id(1)), kind)

        await wait_until_async(lambda: is_said(Build), what="the build is wanted")
        await flow.ledger.execute(MODEL, MODEL_ID, CancelBuild(version_id=version_id(1), by="ada"), actor=PERSON)
        await wait_until_async(lambda: is_said(Removed), what="the build is given up")


async def test_a_deployer_that_slept_through_a_tombstone_is_told_again(flow: Flow) -> None:
    key = subjects.version_key("local", version_id(1))
    await flow.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
    await flow.ledger.execute(MODEL, MODEL_ID, publish(1, should_deploy=False), actor=PERSON)
    placements = flow.bus.bucket(Bucket.PLACEMENTS, Placement)
    await placements.put(key, placement(instances=[instance(1)], phase=PlacementPhase.FAILED))
    async with at_work(Projector(flow.store, flow.bus, deployer_id="local").run):
        await flow.wait_for_entry(lambda entry: isinstance(entry, Removed))


async def test_an_entry_that_differs_from_the_database_is_put_right_and_one_of_an_unknown_model_stays(
    flow: Flow,
) -> None:
    await flow.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
    forged = Route(
        revision=0, model_id=MODEL_ID, labels={}, is_restricted=False, token_hashes=(), request_timeout_s=1.0
    )
    unknown = "f" * 24
    await flow.routes.put(MODEL_ID, forged)
    await flow.routes.put(unknown, msgspec.structs.replace(forged, model_id=unknown))
    async with at_work(Projector(flow.store, flow.bus, deployer_id="local").run):

        async def is_right() -> bool:
            route = await flow.routes.get(MODEL_ID)
            return isinstance(route, Route) and route.is_restricted

        await wait_until_async(is_right, what="the route is put right")
    assert isinstance(await flow.routes.get(unknown), Route)
