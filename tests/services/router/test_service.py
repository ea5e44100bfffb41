"""The whole router: its own process, between a real nats-server and a real HAProxy."""

from __future__ import annotations

import asyncio
import signal

import httpx

from services.core.records import Heartbeat, InstancePhase
from services.core.subjects import Bucket, heartbeat_key
from services.kit.bus import Bus
from tests.parts import NatsServer, wait_until_async
from tests.services.router.parts import LATEST, TOKEN, VERSION, HAProxyProcess, Place, basic
from tests.services.router.world import RouterProcess, World


async def status(client: httpx.AsyncClient, token: str = TOKEN) -> int:
    return (await client.post(LATEST, json={}, headers=basic(token, token))).status_code


async def test_what_is_reported_is_in_effect(router: RouterProcess, world: World, client: httpx.AsyncClient) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    assert await status(client) == 200
    # At once from here on: whoever saw the report may rely on it.
    next_token = "N" * 64
    await world.reported(route=await world.route(tokens=(next_token,)))
    assert (await status(client), await status(client, next_token)) == (401, 200)
    await world.reported(route=await world.route(labels=False))
    assert await status(client) == 503
    await world.reported(route=await world.remove_route())
    assert await status(client) == 404


async def test_a_model_that_is_opened_takes_calls_without_a_token_until_it_is_restricted_again(
    router: RouterProcess, world: World, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    for is_restricted, statuses in ((True, (401, 200)), (False, (200, 200)), (True, (401, 200))):
        await world.reported(route=await world.lead({"latest": VERSION}, is_restricted=is_restricted))
        without_token = (await client.post(LATEST, json={})).status_code
        assert (without_token, await status(client)) == statuses


async def test_health_decides_who_is_called(router: RouterProcess, world: World, client: httpx.AsyncClient) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place(InstancePhase.STARTING))
    assert await status(client) == 503
    await world.judge("one", is_ready=True)

    async def is_answered() -> bool:
        return await status(client) == 200

    await wait_until_async(is_answered)
    responses = [await client.post(LATEST, json={}, headers=basic(TOKEN, TOKEN)) for _ in range(4)]
    assert {each.json()["server"] for each in responses} == {"one.0"}


async def test_calls_in_flight_are_reported_until_they_end_also_those_an_old_worker_has(
    router: RouterProcess, world: World, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    headers = {**basic(TOKEN, TOKEN), "X-Test-Delay": "2.0"}
    calls = [asyncio.create_task(client.post(LATEST, json={}, headers=headers)) for _ in range(3)]

    async def shows(in_flight: dict[str, int], waiting: dict[str, int]) -> bool:
        report = await world.report()
        return report is not None and (report.in_flight, report.waiting) == (in_flight, waiting)

    await wait_until_async(lambda: shows({"one": 1, "two": 1}, {VERSION: 1}), what="two run and one waits")
    stopped, drained = await world.route(labels=False), await world.place(InstancePhase.DRAINING)
    await world.reported(route=stopped)
    report = await world.report()
    assert report is not None
    assert report.placements.get(VERSION, 0) < drained, "a call still waits for the version"
    await world.reported(placement=drained)
    assert [each.status_code for each in await asyncio.gather(*calls)] == [200, 200, 200]
    await wait_until_async(lambda: shows({}, {}), what="no call is in flight")


async def test_a_restarted_router_takes_nothing_away_from_a_bus_that_has_lost_its_memory(
    router: RouterProcess, world: World, nats_server: NatsServer, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    router.kill()
    nats_server.forget_everything()
    before = len(router.output)
    router.start()

    async def has_looked() -> bool:
        return "worker_found" in router.output[before:]

    await wait_until_async(has_looked, what="the router found HAProxy")
    assert await status(client) == 200


async def test_without_memory_and_before_the_bus_is_whole_nothing_is_touched(
    router: RouterProcess, world: World, place: Place, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    router.kill()
    (place.haproxy_dir / "known.json").unlink()
    await world.route(tokens=())
    router.start()
    # It is whole: the new route counts, and the memory is made anew.
    await world.reported(route=world.revision)
    assert await status(client) == 401
    assert (place.haproxy_dir / "known.json").exists()


async def test_a_killed_haproxy_serves_again_without_the_router(
    router: RouterProcess, world: World, haproxy: HAProxyProcess, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    router.signal(signal.SIGSTOP)
    haproxy.kill()
    await asyncio.to_thread(haproxy.start)
    assert await status(client) == 200
    router.signal(signal.SIGCONT)
    await world.reported(route=await world.route(labels=False))
    assert await status(client) == 503


async def test_the_routers_heart_beats_and_its_health_names_what_is_missing(
    router: RouterProcess, world: World, bus: Bus, haproxy: HAProxyProcess
) -> None:
    hearts = bus.bucket(Bucket.HEARTBEATS, Heartbeat)
    await world.fill()

    async def beats() -> bool:
        return await hearts.get(heartbeat_key("router", "router-1")) is not None

    await wait_until_async(beats, what="the heart beats")
    url = f"http://127.0.0.1:{router.environment['HEALTH_PORT']}/healthz"
    async with httpx.AsyncClient() as client:

        async def is_well() -> bool:
            return (await client.get(url)).status_code == 200

        await wait_until_async(is_well)
        haproxy.kill()

        async def is_missed() -> bool:
            checks = (await client.get(url)).json()["checks"]
            return bool(checks["bus"] == "ok" and "HAProxy's master is away" in checks["haproxy"])

        await wait_until_async(is_missed)


async def test_a_stopped_router_ends_quickly_and_haproxy_serves_on(
    router: RouterProcess, world: World, client: httpx.AsyncClient
) -> None:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    router.signal(signal.SIGTERM)
    await wait_until_async(lambda: ended(router), 5)
    assert await status(client) == 200


async def ended(router: RouterProcess) -> bool:
    return not router.is_running
