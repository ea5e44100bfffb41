"""Changes as a whole platform has them: many at once, for several routers, while parts are away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from msgspec.structs import replace

from services.core.ids import AggregateId, InstanceId, VersionId
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.router.conftest import some_place, started
from tests.services.router.parts import LATEST, TOKEN, HAProxyProcess, Place, StandIn, basic, open_table
from tests.services.router.world import RouterProcess, World, instance

MODELS = 50
SLOW = {"X-Test-Delay": "3"}
CREDENTIALS = basic(TOKEN, TOKEN)


def model(number: int) -> tuple[AggregateId, VersionId]:
    return AggregateId(f"{number:024x}"), VersionId(f"{number + 1000:024x}")


def reloads(router: RouterProcess) -> int:
    return sum(json.loads(line)["event"] == "reloaded" for line in router.output.splitlines() if line.startswith("{"))


async def test_many_models_that_change_at_once_take_few_reloads(
    router: RouterProcess, world: World, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    before = reloads(router)
    runs = instance(stand_in.servers[0])

    async def publish(number: int) -> int:
        key, version = model(number)
        mine = replace(runs, instance_id=InstanceId(f"i{number}"))
        await world.run(version, [mine], model=key)
        return await world.lead({"latest": version}, model=key, is_restricted=False)

    revisions = await asyncio.gather(*(publish(number) for number in range(MODELS)))
    for number, revision in enumerate(revisions):
        await world.reported(route=revision, model=model(number)[0])
    for number in range(MODELS):
        response = await client.post(f"/models/{model(number)[0]}/latest/model", json={})
        assert response.status_code == 421, "the stand-in has another name, so the call has reached it"
    count = reloads(router) - before
    print(f"{count} reloads for {MODELS} models")
    assert 1 <= count <= MODELS // 5


@pytest.fixture
def other(nats_server: NatsServer) -> Iterator[tuple[Place, RouterProcess]]:
    """Another router, with its own HAProxy, on the same bus."""
    with some_place() as place, started(place, open_table()):
        router = RouterProcess(place, nats_server, "router-2")
        router.start()
        yield place, router
        router.stop()


async def status(place: Place, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient(base_url=place.url, timeout=20) as client:
        return (await client.post(LATEST, json={}, headers=headers)).status_code


async def has_calls(world: World, router_id: str) -> None:
    async def has() -> bool:
        report = await world.report(router_id)
        return report is not None and bool(report.in_flight)

    await wait_until_async(has, what=f"a call runs through {router_id}")


async def test_every_router_takes_a_change_and_a_revocation_reaches_also_a_worker_that_drains(
    router: RouterProcess, other: tuple[Place, RouterProcess], world: World, place: Place, stand_in: StandIn
) -> None:
    places = {"router-1": place, "router-2": other[0]}
    await world.fill()
    placement, route = await world.place(), await world.route()
    for router_id, its_place in places.items():
        await world.reported(route=route, placement=placement, router_id=router_id)
        assert await status(its_place, CREDENTIALS) == 200
    # Both have an old worker: it ends its call, while a connection it keeps says one more word to it.
    limits = httpx.Limits(max_connections=1)
    kept = [httpx.AsyncClient(base_url=each.url, limits=limits, timeout=20) for each in places.values()]
    for client in kept:
        assert (await client.post(LATEST, json={}, headers=CREDENTIALS)).status_code == 200
    slow = [asyncio.create_task(status(each, {**CREDENTIALS, **SLOW})) for each in places.values()]
    for router_id in places:
        await has_calls(world, router_id)
    key, version = model(0)
    await world.run(version, [instance(stand_in.servers[0])], model=key)
    added = await world.lead({"latest": version}, model=key)
    for router_id in places:
        await world.reported(route=added, model=key, router_id=router_id)
    revoked = await world.route(tokens=())
    for router_id in places:
        await world.reported(route=revoked, router_id=router_id)
    assert not any(each.done() for each in slow)
    for client, its_place in zip(kept, places.values(), strict=True):
        assert (await client.post(LATEST, json={}, headers=CREDENTIALS)).status_code == 401
        assert await status(its_place, CREDENTIALS) == 401
        await client.aclose()
    assert [await each for each in slow] == [200, 200]


async def test_what_served_serves_on_when_everything_else_has_crashed_and_the_bus_is_away(
    router: RouterProcess, world: World, place: Place, haproxy: HAProxyProcess, nats_server: NatsServer
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    for part in (nats_server, router, haproxy):
        part.kill()
    await asyncio.to_thread(haproxy.start)
    assert await status(place, CREDENTIALS) == 200
    before = router.output.count("worker_found")
    router.start()
    await wait_until(lambda: router.output.count("worker_found") > before, 10, what="the router has found HAProxy")
    assert await status(place, CREDENTIALS) == 200
    assert await status(place, {}) == 401
    nats_server.start()
    await wait_until(lambda: world.bus.is_connected, what="the bus is back")
    await world.reported(route=await world.route(labels=False))
    assert await status(place, CREDENTIALS) == 503
