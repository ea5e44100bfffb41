"""Callers that hold a worker byte by byte are cut, and nobody else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from services.core.ids import VersionId
from services.core.routing import RoutingTable
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.overdue import Overdue, longest_s
from services.router.haproxy.words import BackendRow, ServerRow
from tests.parts import wait_until_async
from tests.services.router.parts import LATEST, VERSION, HAProxyProcess, Place, StandIn, open_table
from tests.services.router.raw import head, who_answered
from tests.services.router.test_changes import settle_alone

LIMIT_S = 0.6


@pytest.fixture
def impatient(place: Place, haproxy: HAProxyProcess) -> HAProxy:
    """A router that lets a call be with a server for `LIMIT_S` only."""
    return place.data_plane(Overdue(lambda _: LIMIT_S))


@asynccontextmanager
async def hostage(place: Place, start: bytes, *, reads: bool) -> AsyncIterator[None]:
    """A caller that sends `start` and then a byte now and then, or takes a little of the answer now and then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=1024)
    writer.write(start)

    async def go_on() -> None:
        with suppress(OSError):
            while not reads or await reader.read(10):
                await asyncio.sleep(0.05)  # the pace of a slow caller, not a wait
                if not reads:
                    writer.write(b" ")
                    await writer.drain()

    going_on = asyncio.create_task(go_on())
    try:
        yield
    finally:
        going_on.cancel()
        writer.close()


async def is_busy(data_plane: HAProxy, table: RoutingTable) -> bool:
    return any(each.in_flight for each in (await data_plane.converge(table)).workers)


@pytest.mark.parametrize("what", ["sends a body", "takes an answer"])
async def test_who_goes_on_for_ever_loses_the_worker(
    impatient: HAProxy, place: Place, stand_in: StandIn, client: httpx.AsyncClient, what: str
) -> None:
    table = open_table(stand_in.servers[0])
    await settle_alone(impatient, table)
    reads = what == "takes an answer"
    lines = ("Content-Length: 0", "X-Test-Answer-Bytes: 90000000") if reads else ("Content-Length: 1000000",)
    start = head(*lines) + (b"" if reads else b" " * 40_000)  # more than HAProxy waits for
    async with hostage(place, start, reads=reads):
        await wait_until_async(lambda: is_busy(impatient, table), what="the worker is taken")
        waiting = asyncio.create_task(client.post(LATEST, json={}))

        async def is_answered() -> bool:
            await impatient.converge(table)
            return waiting.done()

        await wait_until_async(is_answered, 4, what="the worker is free again")
        assert (await waiting).status_code == 200


async def test_one_call_after_the_other_is_no_long_call(impatient: HAProxy, place: Place, stand_in: StandIn) -> None:
    table = open_table(stand_in.servers[0])
    await settle_alone(impatient, table)
    calling = asyncio.create_task(who_answered(place, 24, "X-Test-Delay: 0.1", connections=3))
    while not calling.done():
        await impatient.converge(table)
    assert await calling == {stand_in.servers[0].name: 24}


def row(total: int, calls: int = 1) -> dict[VersionId, BackendRow]:
    server = ServerRow(name="i.0", is_open=True, calls=calls, total=total)
    return {VERSION: BackendRow(servers=(server,), calls=calls, counters=None)}


def test_the_same_call_in_the_same_worker_for_too_long_is_overdue() -> None:
    limit_s, timeouts = longest_s(2.0), {VERSION: 2.0}
    overdue = Overdue()
    assert overdue.look(7, row(5), timeouts, 100.0) == []
    assert overdue.look(7, row(5), timeouts, 100.0 + limit_s) == []
    assert overdue.look(7, row(5), timeouts, 101.0 + limit_s) == [(VERSION, "i.0")]
    assert overdue.look(8, row(5), timeouts, 101.0 + limit_s) == [], "another worker"
    assert overdue.look(7, row(6), timeouts, 102.0 + limit_s) == [], "another call"
    assert overdue.look(7, row(6, calls=0), timeouts, 900.0) == []
    assert overdue.look(7, row(6), timeouts, 901.0) == [], "it was idle in between"
    assert overdue.look(7, row(6), {}, 9000.0) == [], "a version nobody knows the timeout of"


def test_no_call_that_obeys_its_deadline_is_overdue() -> None:
    assert longest_s(60.0) > 2 * 60.0 + 1
