"""What a rollout cost, as the router measured it and sent it: against what the callers saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from services.core.ids import InstanceId
from services.core.records import Candidate, InstancePhase, Rollout, RolloutKind, RouterReport
from services.core.subjects import rollout_fact
from services.kit.bus import Bus
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.router.parts import LATEST, MODEL, NEXT_VERSION, VERSION, Callers, Place, StandIn
from tests.services.router.raw import who_answered
from tests.services.router.world import RouterProcess, World, draining, instance


@pytest.fixture
async def facts(bus: Bus) -> AsyncIterator[list[Rollout]]:
    """The receipts that come to the bus."""
    seen: list[Rollout] = []

    async def note(message: Any) -> None:
        rollout = msgspec.json.decode(message.data, type=Rollout)
        assert message.subject == rollout_fact(rollout.id)
        assert message.headers["Nats-Msg-Id"] == rollout.id
        seen.append(rollout)

    subscription = await bus.client.subscribe("fact.router.>", cb=note)
    yield seen
    await subscription.unsubscribe()


@pytest.fixture
def callers(place: Place) -> Iterator[Callers]:
    callers = Callers(place, connections=4, delay_s=0.02)
    yield callers
    callers.kill()


@pytest.fixture
async def serving(router: RouterProcess, world: World, stand_in: StandIn) -> World:
    """One server has version one, to which latest leads; the other has version two."""
    one, two = map(instance, stand_in.servers)
    await world.fill()
    await world.run(VERSION, [one])
    second = await world.run(NEXT_VERSION, [two])
    await world.reported(placement=second, version=NEXT_VERSION)
    await world.reported(route=await world.lead({"latest": VERSION, "prod": None}, is_restricted=False))
    return world


async def switch(world: World) -> int:
    return await world.lead({"latest": NEXT_VERSION, "prod": None}, is_restricted=False)


async def only(facts: list[Rollout], *, label: str = "latest") -> Rollout:
    """The receipt, which is the only one."""
    await wait_until(lambda: any(each.label == label for each in facts), 15, what="the receipt has come")
    (rollout,) = (each for each in facts if each.label == label)
    return rollout


async def is_drawn_for(place: Place, world: World, count: int) -> None:
    async def are_running() -> bool:
        report = await world.report()
        return report is not None and sum(report.in_flight.values()) >= count

    await wait_until_async(are_running, what=f"{count} calls run")


async def test_a_switch_under_load_is_measured_until_the_last_call_on_what_it_replaced(
    serving: World, place: Place, facts: list[Rollout], client: httpx.AsyncClient, callers: Callers
) -> None:
    facts.clear()
    slow = asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "1.5"}))
    await is_drawn_for(place, serving, 1)
    revision = await switch(serving)
    receipt = await only(facts)
    assert (await slow).status_code == 200
    outcome = callers.finish()
    print(receipt, outcome)
    assert receipt.id == f"router-1.{MODEL}.latest.{revision}"
    assert (receipt.kind, receipt.version_id, receipt.replaced) == (RolloutKind.SWITCH, NEXT_VERSION, VERSION)
    assert (receipt.instances, receipt.replaced_instances) == (("two",), ("one",))
    assert (receipt.failures, receipt.is_complete) == (0, True)
    assert 1 < receipt.requests <= sum(outcome.statuses.values()) + 1
    assert receipt.in_effect_s <= receipt.drain_s
    assert receipt.longest_call_s >= 1.4
    assert receipt.longest_wait_s <= receipt.longest_call_s
    assert outcome.failures == {}


async def test_a_failure_during_a_switch_is_in_its_receipt(
    serving: World, place: Place, facts: list[Rollout], client: httpx.AsyncClient
) -> None:
    facts.clear()
    slow = asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "1", "X-Test-Status": "500"}))
    await is_drawn_for(place, serving, 1)
    await switch(serving)
    receipt = await only(facts)
    assert (await slow).status_code == 500
    assert (receipt.requests, receipt.failures, receipt.is_complete) == (1, 1, True)


async def test_what_was_answered_before_a_switch_is_no_part_of_it(
    serving: World, place: Place, facts: list[Rollout]
) -> None:
    """The router counts already, for a canary of another label, and now and then: not since these calls."""
    candidates = {"prod": Candidate(version_id=NEXT_VERSION, share=0.0)}
    instances = {VERSION: "one.0", NEXT_VERSION: "two.0"}
    facts.clear()
    report = await serving.reported(
        route=await serving.lead({"latest": VERSION, "prod": VERSION}, is_restricted=False, candidates=candidates)
    )
    assert report.traffic.keys() == instances.keys()
    await only(facts, label="prod")
    before, after = VERSION, NEXT_VERSION
    for _ in range(3):
        facts.clear()
        assert await who_answered(place, 8) == {instances[before]: 8}
        await serving.lead({"latest": after, "prod": VERSION}, is_restricted=False, candidates=candidates)
        assert (await only(facts)).requests == 0
        before, after = after, before


async def test_a_restart_is_measured_until_the_older_instances_are_idle(
    router: RouterProcess, world: World, stand_in: StandIn, facts: list[Rollout], place: Place
) -> None:
    old, new = (
        replace(instance(each), instance_id=InstanceId(f"{VERSION[-8:]}-{generation}-x"))
        for generation, each in enumerate(stand_in.servers, 1)
    )
    await world.fill()
    await world.run(VERSION, [old])
    await world.reported(route=await world.lead({"latest": VERSION}, is_restricted=False))
    starting = replace(new, phase=InstancePhase.STARTING)
    await world.reported(placement=await world.run(VERSION, [old, starting], generation=2))
    await world.reported(placement=await world.run(VERSION, [old, new], generation=2))
    await world.run(VERSION, [draining(old), new], generation=2)
    receipt = await only(facts, label="")
    assert receipt.id == f"router-1.{VERSION}.2"
    assert (receipt.kind, receipt.version_id, receipt.replaced) == (RolloutKind.RESTART, VERSION, VERSION)
    assert (receipt.instances, receipt.replaced_instances) == ((new.instance_id,), (old.instance_id,))
    assert receipt.is_complete


async def test_a_receipt_waits_for_a_bus_that_is_away(
    serving: World, router: RouterProcess, facts: list[Rollout], nats_server: NatsServer, place: Place
) -> None:
    """The bus goes when the switch is in effect, and the calls on what was replaced still run."""
    facts.clear()
    slow = asyncio.create_task(who_answered(place, 1, "X-Test-Delay: 2.5", connections=1))
    await is_drawn_for(place, serving, 1)
    await serving.reported(route=await switch(serving))
    nats_server.kill()
    assert await slow == {"one.0": 1}
    await wait_until(lambda: "rollout_measured" in router.output, 10, what="the router has measured it")
    nats_server.start()
    receipt = await only(facts)
    assert (receipt.requests, receipt.is_complete) == (1, True)


async def test_a_router_that_was_restarted_in_the_middle_sends_no_receipt(
    serving: World, router: RouterProcess, facts: list[Rollout], place: Place
) -> None:
    facts.clear()
    slow = asyncio.create_task(who_answered(place, 1, "X-Test-Delay: 2", connections=1))
    await is_drawn_for(place, serving, 1)
    await serving.reported(route=await switch(serving))
    router.kill()
    router.start()
    assert await slow == {"one.0": 1}
    # The next switch has one, so the first would have come before.
    await serving.reported(route=await serving.lead({"latest": NEXT_VERSION, "prod": VERSION}, is_restricted=False))
    assert (await only(facts, label="prod")).requests == 0
    assert [each.label for each in facts] == ["prod"]


async def test_a_canary_and_what_it_is_held_to_are_reported_side_by_side(
    serving: World, place: Place, client: httpx.AsyncClient
) -> None:
    candidates = {"latest": Candidate(version_id=NEXT_VERSION, share=0.0)}
    revision = await serving.lead({"latest": VERSION}, is_restricted=False, candidates=candidates)
    report = await serving.reported(route=revision)
    assert report.traffic.keys() == {VERSION, NEXT_VERSION}
    await who_answered(place, 40)
    await who_answered(place, 24, "X-Modelway-Canary: always")
    for status in ("500", "200"):
        await client.post(LATEST, json={}, headers={"X-Test-Status": status, "X-Modelway-Canary": "always"})

    reports: list[RouterReport] = []

    async def are_counted() -> bool:
        report = await serving.report()
        reports.extend([] if report is None else [report])
        return sum(each.requests for each in reports[-1].traffic.values()) == 66

    await wait_until_async(are_counted, what="all calls are counted")
    main, candidate = (reports[-1].traffic[version] for version in (VERSION, NEXT_VERSION))
    assert (main.requests, main.failures, candidate.requests, candidate.failures) == (40, 0, 26, 1)
    assert 0 <= candidate.mean_s <= candidate.longest_s
    await serving.reported(route=await serving.lead({"latest": VERSION}, is_restricted=False))

    async def is_over() -> bool:
        report = await serving.report()
        return report is not None and report.traffic == {}

    await wait_until_async(is_over, what="nothing is compared any more")
