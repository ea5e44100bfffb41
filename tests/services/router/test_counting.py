"""What the router counts is what the callers saw, whatever HAProxy's workers come and go meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx
import psutil
import pytest
from msgspec.structs import replace

from services.core.errors import Unavailable
from services.core.routing import RoutingTable
from services.core.traffic import Meter, Tally, total
from services.router.haproxy import words
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.master import Master
from tests.parts import wait_until_async
from tests.services.router.parts import LATEST, VERSION, HAProxyProcess, Place, StandIn, open_table
from tests.services.router.raw import Connection, head, who_answered
from tests.services.router.test_changes import has_calls, settle, settle_alone, with_another

WATCHED = frozenset({VERSION})


class Counting:
    """A router's looks at one version, added up."""

    def __init__(self, data_plane: HAProxy, table: RoutingTable) -> None:
        self._data_plane = data_plane
        self._meter = Meter()
        self.table = table
        self.tally = Tally()
        self.workers = 0

    async def look(self) -> Tally:
        state = await self._data_plane.converge(self.table, WATCHED)
        self.workers = len(state.workers)
        self.tally = total((self.tally, *self._meter.read(state.workers).values()))
        return self.tally

    async def reaches(self, requests: int) -> Tally:
        """The tally once it has so many requests."""

        async def has_them() -> bool:
            try:
                return (await self.look()).requests >= requests
            except Unavailable:  # its master listens a moment after its worker has begun to answer
                return False

        await wait_until_async(has_them, what=f"{requests} requests are counted")
        return self.tally

    async def has_workers(self, count: int) -> None:
        async def has() -> bool:
            await self.look()
            return self.workers == count

        await wait_until_async(has, what=f"{count} workers live")


@pytest.fixture
async def counting(data_plane: HAProxy, stand_in: StandIn) -> Counting:
    """With a single server, after the first look."""
    table = open_table(stand_in.servers[0], timeout_s=2.0)
    await settle(data_plane, table)
    counting = Counting(data_plane, table)
    await counting.look()
    await counting.has_workers(1)
    return counting


def delayed(seconds: float) -> dict[str, str]:
    return {"X-Test-Delay": str(seconds)}


async def test_requests_failures_and_times_are_those_of_the_calls(
    counting: Counting, client: httpx.AsyncClient
) -> None:
    await asyncio.gather(*(client.post(LATEST, json={}, headers=delayed(0.4)) for _ in range(2)))
    await client.post(LATEST, json={}, headers={"X-Test-Status": "500"})
    await client.post(LATEST, json={}, headers={"X-Test-Status": "404"})
    tally = await counting.reaches(4)
    assert (tally.requests, tally.failures, tally.is_whole) == (4, 1, True)
    assert tally.longest_wait_ms > 250, "one waited while the other was computed"
    assert tally.longest_call_ms > 700, "waiting and computing"
    assert tally.longest_wait_ms < tally.longest_call_ms < tally.took_ms


async def test_calls_of_many_versions_are_asked_for_at_once_and_counted_alike(
    counting: Counting, client: httpx.AsyncClient, data_plane: HAProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "MANY", 0)
    slow = asyncio.create_task(client.post(LATEST, json={}, headers=delayed(0.5)))
    await has_calls(data_plane, counting.table, 1)
    assert (await slow).status_code == 200
    tally = await counting.reaches(1)
    assert (tally.requests, tally.failures) == (1, 0)
    assert 450 <= tally.longest_call_ms < 2000


async def test_a_longest_time_belongs_to_the_look_in_which_its_call_ended(
    counting: Counting, client: httpx.AsyncClient
) -> None:
    await asyncio.gather(*(client.post(LATEST, json={}, headers=delayed(0.4)) for _ in range(2)))
    await counting.reaches(2)
    counting.tally = Tally()
    await client.post(LATEST, json={})
    tally = await counting.reaches(1)
    assert max(tally.longest_wait_ms, tally.longest_call_ms) < 700, "one of those before took 0.8 s"


async def test_the_time_a_connection_idles_between_calls_is_no_part_of_a_call(counting: Counting, place: Place) -> None:
    connection = Connection(place)
    call = head("Content-Length: 2") + b"{}"
    connection.send(call).answer()
    await asyncio.sleep(1.0)  # what is measured is that this time is not
    connection.send(call).answer()
    tally = await counting.reaches(2)
    connection.close()
    assert max(tally.longest_call_ms, tally.took_ms) < 900


@pytest.mark.parametrize("end", ["before", "during"])
async def test_an_answer_that_is_broken_off_is_a_failure(
    counting: Counting, client: httpx.AsyncClient, end: str
) -> None:
    try:
        assert (await client.post(LATEST, json={}, headers={"X-Test-End": end})).status_code == 502
    except httpx.RemoteProtocolError:
        assert end == "during"
    tally = await counting.reaches(1)
    assert (tally.requests, tally.failures) == (1, 1)


async def test_calls_that_get_no_worker_or_no_answer_in_time_are_failures_and_show_in_the_longest_times(
    counting: Counting, client: httpx.AsyncClient
) -> None:
    one = asyncio.create_task(client.post(LATEST, json={}, headers=delayed(30)))
    other = asyncio.create_task(client.post(LATEST, json={}, headers=delayed(30)))
    assert sorted([(await one).status_code, (await other).status_code]) == [503, 504]
    tally = await counting.reaches(2)
    assert (tally.requests, tally.failures) == (2, 2)
    assert min(tally.longest_wait_ms, tally.longest_call_ms) >= 1900


async def test_a_caller_that_leaves_is_neither_a_request_nor_a_failure(
    counting: Counting, place: Place, client: httpx.AsyncClient
) -> None:
    running, waiting = (Connection(place).send(head("Content-Length: 0", "X-Test-Delay: 0.6")) for _ in range(2))
    await has_calls_of_any_kind(counting, 2)
    waiting.close()
    running.close()
    await has_calls_of_any_kind(counting, 0)
    assert (await client.post(LATEST, json={})).status_code == 200
    tally = await counting.reaches(1)
    assert (tally.requests, tally.failures) == (1, 0)


async def has_calls_of_any_kind(counting: Counting, count: int) -> None:
    async def has() -> bool:
        state = await counting._data_plane.converge(counting.table, WATCHED)
        return sum(sum(each.calls.values()) for each in state.workers) == count

    await wait_until_async(has, what=f"{count} calls run or wait")


async def is_idle(place: Place, pid: int) -> bool:
    shown = words.rows(await Master(place.master_socket).ask(pid, words.SHOW_CALLS))
    return not words.calls(shown)


async def test_a_call_that_an_old_worker_ends_with_is_counted(
    counting: Counting, data_plane: HAProxy, place: Place, client: httpx.AsyncClient
) -> None:
    before, old = counting.table, data_plane.newest_pid
    assert old is not None
    slow = asyncio.create_task(client.post(LATEST, json={}, headers={**delayed(1.0), "X-Test-Status": "500"}))
    await has_calls(data_plane, before, 1)
    counting.table = with_another(before, 1)
    await counting.has_workers(2)
    await slow
    await wait_until_async(lambda: is_idle(place, old), what="the old worker is idle, and still there")
    tally = await counting.reaches(1)
    assert (tally.requests, tally.failures, tally.is_whole) == (1, 1, True)
    assert tally.longest_call_ms >= 1000
    await counting.has_workers(1)


async def test_every_call_is_counted_once_over_reloads_under_load(counting: Counting, place: Place) -> None:
    calling = asyncio.create_task(who_answered(place, 400, "X-Test-Delay: 0.005", connections=4))
    before, number = counting.table, 0
    while not calling.done():
        number += 1
        counting.table = with_another(before, number)
        await counting.look()
    await calling
    tally = await counting.reaches(400)
    await counting.has_workers(1)
    assert number > 3
    assert (tally.requests, tally.failures, tally.is_whole) == (400, 0, True)


async def test_the_calls_of_a_killed_haproxy_were_cut_off(
    counting: Counting, haproxy: HAProxyProcess, client: httpx.AsyncClient
) -> None:
    call = asyncio.create_task(client.post(LATEST, json={}, headers=delayed(5)))
    await has_calls_of_any_kind(counting, 1)
    await counting.look()
    haproxy.kill()
    with pytest.raises(httpx.TransportError):
        await call
    await asyncio.to_thread(haproxy.start)
    tally = await counting.reaches(1)
    assert (tally.requests, tally.failures, tally.is_whole) == (1, 1, True)


async def test_who_holds_no_worker_does_not_say_that_its_calls_were_answered(
    counting: Counting, place: Place, client: httpx.AsyncClient
) -> None:
    """A router that was started while an old worker lived."""
    before = counting.table
    slow = asyncio.create_task(client.post(LATEST, json={}, headers=delayed(1.0)))
    await has_calls_of_any_kind(counting, 1)
    counting.table = with_another(before, 1)
    await counting.has_workers(2)
    counting._data_plane.close()
    restarted = Counting(place.data_plane(), counting.table)
    await restarted.look()
    assert restarted.workers == 2
    await slow
    await restarted.has_workers(1)
    known = (restarted.tally.requests, restarted.tally.is_whole)
    assert known in {(1, False), (0, True)}, "never that it was answered; nothing, where the last look came too late"


async def test_a_router_that_ends_lets_the_old_workers_end(
    counting: Counting, data_plane: HAProxy, haproxy: HAProxyProcess, client: httpx.AsyncClient
) -> None:
    before, pid = counting.table, data_plane.newest_pid
    assert pid is not None
    slow = asyncio.create_task(client.post(LATEST, json={}, headers=delayed(0.5)))
    await has_calls(data_plane, before, 1)
    await settle(data_plane, with_another(before, 1))
    data_plane.close()
    assert (await slow).status_code == 200

    async def is_gone() -> bool:
        return not psutil.pid_exists(pid)

    await wait_until_async(is_gone, 5, what="the old worker has ended")
    assert haproxy.is_running


async def test_a_held_worker_still_obeys_its_supervisor(
    counting: Counting, data_plane: HAProxy, haproxy: HAProxyProcess
) -> None:
    pid = data_plane.newest_pid
    assert pid is not None
    os.kill(haproxy.pid, signal.SIGTERM)

    async def is_gone() -> bool:
        return not haproxy.is_running and not psutil.pid_exists(pid)

    await wait_until_async(is_gone, 5, what="HAProxy has ended")


async def test_a_version_that_is_not_watched_is_not_counted(data_plane: HAProxy, stand_in: StandIn) -> None:
    table = open_table(*stand_in.servers)
    await settle_alone(data_plane, table)
    (worker,) = (await data_plane.converge(replace(table, open_models=frozenset()))).workers
    assert worker.counters == {}
