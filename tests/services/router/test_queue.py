"""Calls that wait: first come, first served, by whichever worker is free; who leaves gives up the place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from msgspec.structs import replace

from services.core.routing import RoutingTable
from services.router.haproxy.dataplane import HAProxy
from tests.parts import wait_until_async
from tests.services.router.parts import LATEST, MODEL, VERSION, Place, StandIn, backend, errors, open_table
from tests.services.router.raw import Connection, head
from tests.services.router.test_changes import settle_alone

Call = Callable[..., Connection]


@pytest.fixture
def call(place: Place) -> Iterator[Call]:
    """Sends one call, on a connection of its own, and reads nothing."""
    made: list[Connection] = []

    def send(delay_s: float = 0.0, *lines: str, size: int = 0) -> Connection:
        lines = (f"X-Test-Delay: {delay_s}", f"Content-Length: {size}", *lines)
        made.append(Connection(place).send(head(*lines) + b" " * size))
        return made[-1]

    yield send
    for each in made:
        each.close()


def calls(connection: Connection) -> int:
    """Which number the call had at its worker, counted from the first."""
    answer = connection.answer()
    assert answer.status == 200, answer
    return int(json.loads(answer.body)["calls"])


async def has(data_plane: HAProxy, table: RoutingTable, *, running: int, waiting: int) -> None:
    async def is_so() -> bool:
        (worker,) = (await data_plane.converge(table)).workers
        return (sum(worker.in_flight.values()), worker.waiting.get(VERSION, 0)) == (running, waiting)

    await wait_until_async(is_so, what=f"{running} calls run and {waiting} wait")


@pytest.fixture
async def single(data_plane: HAProxy, stand_in: StandIn) -> RoutingTable:
    """One worker."""
    table = open_table(stand_in.servers[0])
    await settle_alone(data_plane, table)
    await has(data_plane, table, running=0, waiting=0)
    return table


async def test_calls_are_answered_in_the_order_they_came(data_plane: HAProxy, single: RoutingTable, call: Call) -> None:
    first = call(0.4)
    await has(data_plane, single, running=1, waiting=0)
    waiting = []
    for number in range(1, 6):
        waiting.append(call())
        await has(data_plane, single, running=1, waiting=number)
    assert [calls(each) for each in (first, *waiting)] == [1, 2, 3, 4, 5, 6]


async def test_a_slow_call_keeps_no_other_from_a_free_worker(
    data_plane: HAProxy, stand_in: StandIn, place: Place, call: Call, client: httpx.AsyncClient
) -> None:
    table = open_table(*stand_in.servers)
    await settle_alone(data_plane, table)
    slow = call(1.5)
    await has(data_plane, table, running=1, waiting=0)
    busy = {(await client.post(LATEST, json={})).json()["server"] for _ in range(10)}
    assert len(busy) == 1, "all by the other worker"
    waiting = [asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "0.05"})) for _ in range(8)]
    assert {(await each).json()["server"] for each in waiting} == busy
    assert json.loads(slow.answer().body)["server"] not in busy


async def test_who_leaves_while_waiting_gives_up_the_place(
    data_plane: HAProxy, single: RoutingTable, call: Call
) -> None:
    first = call(0.8)
    await has(data_plane, single, running=1, waiting=0)
    leaving = [call(0.8) for _ in range(3)]
    await has(data_plane, single, running=1, waiting=3)
    last = call()
    await has(data_plane, single, running=1, waiting=4)
    for each in leaving:
        each.close()
    await has(data_plane, single, running=1, waiting=1)
    assert (calls(first), calls(last)) == (1, 2)


async def test_who_leaves_while_its_body_still_arrives_is_not_waited_for(
    data_plane: HAProxy, single: RoutingTable, place: Place, call: Call
) -> None:
    Connection(place).send(head("Content-Length: 100") + b"{").close()
    await has(data_plane, single, running=0, waiting=0)
    assert calls(call()) == 1


@pytest.mark.parametrize("size", [0, 300_000], ids=["small", "large"])
async def test_who_leaves_while_the_call_runs_harms_nobody(
    data_plane: HAProxy, stand_in: StandIn, call: Call, size: int
) -> None:
    """Its worker goes on computing: HAProxy believes that it is free, and it says that it is not."""
    table = open_table(*stand_in.servers)
    await settle_alone(data_plane, table)
    abandoned = call(1.0)
    await has(data_plane, table, running=1, waiting=0)
    abandoned.close()
    answers = [call(0.02, size=size).answer() for _ in range(12)]
    assert {each.status for each in answers} == {200}
    (worker,) = (await data_plane.converge(table)).workers
    assert all(server.is_open for each in worker.running.backends.values() for server in each.servers)


async def test_a_call_may_be_as_large_as_it_likes_while_it_waits(
    data_plane: HAProxy, single: RoutingTable, call: Call
) -> None:
    first = call(0.3)
    await has(data_plane, single, running=1, waiting=0)
    waiting = call(size=200_000)
    assert (calls(first), calls(waiting)) == (1, 2)


@pytest.mark.parametrize("has_repeatable_calls", [False, True], ids=["not declared", "declared"])
async def test_a_call_on_an_instance_that_dies_runs_again_only_where_its_owner_allows_it(
    data_plane: HAProxy, place: Place, stand_in: StandIn, client: httpx.AsyncClient, has_repeatable_calls: bool
) -> None:
    dying = StandIn(place.folder, "three.0")
    dying.start()
    try:
        lasting = replace(stand_in.servers[0], is_open=False)
        served = replace(backend(*dying.servers, lasting), has_repeatable_calls=has_repeatable_calls)
        table = RoutingTable(
            routes={f"{MODEL}/latest": VERSION}, open_models=frozenset({MODEL}), backends={VERSION: served}
        )
        await settle_alone(data_plane, table)
        running = asyncio.create_task(client.post(LATEST, json={}, headers={"X-Test-Delay": "1"}))
        await has(data_plane, table, running=1, waiting=0)
        both = replace(served, servers=(*dying.servers, stand_in.servers[0]))
        await data_plane.converge(replace(table, backends={VERSION: both}))
        dying.kill()
        response = await running
    finally:
        dying.stop()
    assert response.status_code == (200 if has_repeatable_calls else 502)
    if has_repeatable_calls:
        assert response.json()["server"] == stand_in.servers[0].name
    else:
        told = "The worker ended during the call; the function may have run. The instance log says more."
        assert errors(response) == [told]
