"""What callers notice of changes: nothing. A real HAProxy, under load from another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from msgspec.structs import replace

from services.core.errors import Unavailable
from services.core.ids import VersionId
from services.core.routing import STOPPED, RoutingTable, Server
from services.router.haproxy.dataplane import HAProxy, State
from tests.parts import wait_until_async
from tests.services.router.parts import (
    LATEST,
    MODEL,
    NEXT_VERSION,
    TOKEN,
    VERSION,
    Callers,
    Place,
    StandIn,
    backend,
    basic,
    open_table,
    token_hash,
)


@pytest.fixture
def callers(place: Place) -> Iterator[list[Callers]]:
    """Those that a test puts here are gone when it ends."""
    started: list[Callers] = []
    yield started
    for each in started:
        each.kill()


def with_another(table: RoutingTable, number: int) -> RoutingTable:
    """`table` with one more version, which only a reload can bring about."""
    server = Server(name=f"new{number}.0", address=f"/tmp/mw-nobody-{number}.sock", is_open=False)
    version = VersionId(f"{number + 100:024x}")
    return replace(table, backends={**table.backends, version: backend(server)})


async def settle(data_plane: HAProxy, table: RoutingTable, *, deadline_s: float = 20) -> State:
    """Converge until HAProxy runs the newest configuration."""
    states: list[State] = []

    async def is_there() -> bool:
        try:
            states.append(await data_plane.converge(table))
        except Unavailable:  # it is being started
            return False
        return data_plane.is_current

    await wait_until_async(is_there, deadline_s, what="HAProxy runs the newest configuration")
    return states[-1]


async def settle_alone(data_plane: HAProxy, table: RoutingTable) -> State:
    """Converge until the newest worker is the only one."""
    states: list[State] = []

    async def is_alone() -> bool:
        states.append(await settle(data_plane, table))
        return states[-1].is_settled

    await wait_until_async(is_alone, what="a single worker lives")
    return states[-1]


@pytest.mark.parametrize("delay_s", [0.0, 0.05], ids=["quick calls", "slow calls"])
async def test_reloads_under_load_fail_no_call(
    data_plane: HAProxy, place: Place, stand_in: StandIn, callers: list[Callers], delay_s: float
) -> None:
    table = open_table(*stand_in.servers)
    await settle(data_plane, table)
    callers.append(Callers(place, delay_s=delay_s))
    for number in range(6):
        await settle(data_plane, with_another(table, number))
    outcome = callers[0].finish()
    print(outcome)
    assert outcome.failures == {}
    assert set(outcome.statuses) == {"200"}
    assert outcome.statuses["200"] > 20


async def test_a_worker_whose_calls_an_old_haproxy_worker_holds_is_waited_for(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(stand_in.servers[0])
    await settle(data_plane, table)
    held = asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "1.5"}))
    await has_calls(data_plane, table, 1)
    await settle(data_plane, with_another(table, 1))
    small, large = await asyncio.gather(client.post(LATEST, json={}), client.post(LATEST, content=b" " * 300_000))
    assert (held.done(), small.status_code, large.status_code) == (True, 200, 200)
    assert large.json()["bytes"] == 300_000


async def has_calls(data_plane: HAProxy, table: RoutingTable, count: int) -> None:
    async def has() -> bool:
        state = await data_plane.converge(table)
        return sum(sum(each.in_flight.values()) for each in state.workers) == count

    await wait_until_async(has, what=f"{count} calls are in flight")


@pytest.fixture
async def kept(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with a single connection, kept alive."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60)
    async with httpx.AsyncClient(base_url=place.url, limits=limits, timeout=20) as client:
        yield client


async def test_an_old_worker_passes_new_calls_to_the_newest(
    data_plane: HAProxy, stand_in: StandIn, kept: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    one, two = stand_in.servers
    table = replace(open_table(one), open_models=frozenset(), tokens=frozenset({f"{MODEL}/{token_hash(TOKEN)}"}))
    await settle(data_plane, table)
    assert (await kept.post(LATEST, json={}, headers=basic(TOKEN, TOKEN))).json()["server"] == one.name
    # Only the newest worker has the next version, and the old token opens nothing any more.
    next_token = "N" * 64
    await settle(
        data_plane,
        replace(
            table,
            tokens=frozenset({f"{MODEL}/{token_hash(next_token)}"}),
            routes={f"{MODEL}/latest": NEXT_VERSION},
            backends={VERSION: backend(one), NEXT_VERSION: backend(two)},
        ),
    )
    response = await kept.post(LATEST, json={}, headers=basic(next_token, next_token))
    assert response.json()["server"] == two.name
    assert response.headers["X-Request-Id"] == response.json()["headers"]["x-request-id"]
    assert response.headers["Connection"] == "close"


async def test_a_revoked_token_is_refused_at_once_also_by_an_old_worker(
    data_plane: HAProxy, stand_in: StandIn, kept: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    table = replace(
        open_table(*stand_in.servers), open_models=frozenset(), tokens=frozenset({f"{MODEL}/{token_hash(TOKEN)}"})
    )
    await settle(data_plane, table)
    assert (await kept.post(LATEST, json={}, headers=basic(TOKEN, TOKEN))).status_code == 200
    held = asyncio.create_task(client.post(LATEST, json={}, headers={**basic(TOKEN, TOKEN), "X-Test-Delay": "1.0"}))
    await has_calls(data_plane, table, 1)
    state = await settle(data_plane, with_another(table, 1))
    assert len(state.workers) == 2
    await data_plane.converge(replace(with_another(table, 1), tokens=frozenset()))
    assert (await kept.post(LATEST, json={}, headers=basic(TOKEN, TOKEN))).status_code == 401
    assert (await client.post(LATEST, json={}, headers=basic(TOKEN, TOKEN))).status_code == 401
    assert (await held).status_code == 200


async def test_routes_tokens_and_readiness_change_without_a_reload(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    one, two = stand_in.servers
    closed = replace(two, is_open=False)
    first = replace(open_table(one), backends={VERSION: backend(one), NEXT_VERSION: backend(closed)})
    second = replace(
        first, routes={f"{MODEL}/latest": NEXT_VERSION}, backends={VERSION: backend(one), NEXT_VERSION: backend(two)}
    )
    await settle(data_plane, first)
    before = data_plane.newest_pid
    for table, server in ((first, one), (second, two), (first, one), (second, two)):
        await data_plane.converge(table)
        assert (await client.post(LATEST, json={})).json()["server"] == server.name
    restricted = replace(second, open_models=frozenset())
    await data_plane.converge(restricted)
    assert (await client.post(LATEST, json={})).status_code == 401
    await data_plane.converge(replace(restricted, tokens=frozenset({f"{MODEL}/{token_hash(TOKEN)}"})))
    assert (await client.post(LATEST, json={}, headers=basic(TOKEN, TOKEN))).status_code == 200
    await data_plane.converge(replace(second, routes={f"{MODEL}/latest": STOPPED}))
    assert (await client.post(LATEST, json={})).status_code == 503
    await data_plane.converge(replace(second, routes={}))
    assert (await client.post(LATEST, json={})).status_code == 404
    assert data_plane.newest_pid == before


async def test_a_version_is_switched_under_load_without_a_failed_call(
    data_plane: HAProxy, place: Place, stand_in: StandIn, callers: list[Callers]
) -> None:
    one, two = stand_in.servers
    both = {VERSION: backend(one), NEXT_VERSION: backend(two)}
    before = replace(open_table(one), backends=both)
    after = replace(before, routes={f"{MODEL}/latest": NEXT_VERSION})
    left = replace(after, backends={NEXT_VERSION: backend(two)})
    await settle(data_plane, before)
    callers.append(Callers(place, delay_s=0.03))
    for _ in range(3):
        for table in (before, after, left):
            await settle(data_plane, table)
    outcome = callers[0].finish()
    assert (outcome.failures, set(outcome.statuses)) == ({}, {"200"})


async def test_a_killed_instance_is_no_black_hole(
    data_plane: HAProxy, place: Place, stand_in: StandIn, callers: list[Callers]
) -> None:
    other = StandIn(place.folder, "three.0")
    other.start()
    try:
        table = open_table(*stand_in.servers, *other.servers)
        await settle(data_plane, table)
        callers.append(Callers(place, delay_s=0.01))
        await is_called(data_plane, table)
        other.kill()
        await has_gone(data_plane, table)
        await asyncio.to_thread(other.start)
        await is_called(data_plane, table)
        outcome = callers[0].finish()
    finally:
        other.stop()
    # What it had taken is lost: the call it answered, and what reached its socket while the process was being ended.
    # That may have run, so it is not sent again.
    assert outcome.failures == {}
    assert sum(count for status, count in outcome.statuses.items() if status != "200") <= 3
    assert outcome.statuses["200"] > 20


async def has_gone(data_plane: HAProxy, table: RoutingTable) -> None:
    """The others are called, again and again, and it is not."""
    for _ in range(5):

        async def others_are_called() -> bool:
            state = await data_plane.converge(table)
            called = {server for each in state.workers for server in each.in_flight}
            return bool(called) and "three.0" not in called

        await wait_until_async(others_are_called, what="the others are called")


async def is_called(data_plane: HAProxy, table: RoutingTable) -> None:
    async def has() -> bool:
        state = await data_plane.converge(table)
        return any(each.in_flight.get("three.0") for each in state.workers)

    await wait_until_async(has, what="the instance that will be killed is called")


async def test_an_instance_that_drains_gets_no_new_call_and_finishes_what_it_has(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    one, two = stand_in.servers
    await settle(data_plane, open_table(one, two))
    calls = [asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "0.5"})) for _ in range(2)]
    await has_calls(data_plane, open_table(one, two), 2)
    await data_plane.converge(open_table(replace(one, is_open=False), two))
    later = [await client.post(LATEST, json={}) for _ in range(4)]
    assert {each.json()["server"] for each in later} == {two.name}
    assert [each.status_code for each in await asyncio.gather(*calls)] == [200, 200]


async def test_calls_that_wait_for_a_version_that_leaves_are_still_answered(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    one = stand_in.servers[0]
    await settle(data_plane, open_table(one))
    calls = [asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "0.3"})) for _ in range(3)]

    async def all_are_there() -> bool:
        workers = (await data_plane.converge(open_table(one))).workers
        return any((each.in_flight, each.waiting) == ({one.name: 1}, {VERSION: 2}) for each in workers)

    await wait_until_async(all_are_there)
    leaving = replace(
        open_table(one),
        routes={f"{MODEL}/latest": STOPPED},
        backends={VERSION: backend(replace(one, is_open=False), is_leaving=True)},
    )
    await settle(data_plane, leaving)
    assert (await client.post(LATEST, json={})).status_code == 503
    assert [each.status_code for each in await asyncio.gather(*calls)] == [200, 200, 200]
