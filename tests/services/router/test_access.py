"""Records of calls: each that was let in has one, with who answered it, and no call waits for its record."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from services.api.calls import BusCalls
from services.core.calls import Call, began_at
from services.core.errors import Unavailable
from services.kit.bus import Bus
from services.kit.clock import now
from services.router.access import Intake
from services.router.haproxy import access
from services.router.haproxy.master import Master
from services.router.records import Records
from tests.parts import NatsServer, wait_until_async
from tests.services.router.parts import LATEST, MODEL, TOKEN, VERSION, HAProxyProcess, Place, StandIn, basic
from tests.services.router.world import RouterProcess, World

LET_IN = basic(TOKEN, TOKEN)
TIMEOUT = timedelta(seconds=60)
ID = "X-Request-Id"


@pytest.fixture
async def serving(router: RouterProcess, world: World) -> World:
    await world.fill()
    await world.reported(route=await world.route(), placement=await world.place())
    return world


async def record(bus: Bus, request_id: str) -> Call:
    """Once it is there."""
    found: list[Call] = []

    async def is_there() -> bool:
        found[:] = await BusCalls(bus).find(MODEL, request_id, within=TIMEOUT)
        return bool(found)

    await wait_until_async(is_there, what="the record of a call is there")
    (call,) = found
    return call


async def test_a_call_is_recorded_with_who_answered_it_and_one_that_was_not_let_in_is_not(
    serving: World, bus: Bus, client: httpx.AsyncClient
) -> None:
    before = now()
    refused = await client.post(LATEST, json={}, headers=basic("x", "x"))
    elsewhere = await client.get("/api/nothing")
    slow = await client.post(LATEST, json={}, headers={**LET_IN, "X-Test-Delay": "0.3"})
    call = await record(bus, slow.headers[ID])
    instance, _, _ = slow.json()["server"].partition(".")
    assert (call.label, call.version_id, call.instance_id, call.status) == ("latest", VERSION, instance, 200)
    assert call.took_s >= 0.3
    assert before - timedelta(seconds=1) < call.began_at < now()
    for other in (refused, elsewhere):
        assert await BusCalls(bus).find(MODEL, other.headers[ID], within=TIMEOUT) == []


async def test_an_id_tells_when_its_call_began(serving: World, client: httpx.AsyncClient) -> None:
    earliest = began_at((await client.post(LATEST, json={}, headers=LET_IN)).headers[ID])
    assert earliest is not None
    assert earliest - timedelta(seconds=1) <= now() < earliest + timedelta(seconds=60)


async def test_a_call_that_was_tried_again_is_recorded_with_who_answered_in_the_end(
    serving: World, bus: Bus, place: Place, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    (place.folder / "one.0.sock").unlink()
    answers = [await client.post(LATEST, json={}, headers=LET_IN) for _ in range(3)]
    assert {each.json()["server"] for each in answers} == {"two.0"}
    for each in answers:
        assert (await record(bus, each.headers[ID])).instance_id == "two"


async def test_a_label_that_leads_to_nobody_is_recorded_so(serving: World, bus: Bus, client: httpx.AsyncClient) -> None:
    await serving.reported(route=await serving.route(labels=False))
    nobody = await client.post(LATEST, json={}, headers=LET_IN)
    call = await record(bus, nobody.headers[ID])
    assert (call.version_id, call.instance_id, call.status) == (None, None, 503)


async def test_calls_go_on_without_the_router_and_what_was_lost_is_counted(
    serving: World, bus: Bus, router: RouterProcess, client: httpx.AsyncClient
) -> None:
    router.signal(signal.SIGSTOP)
    statuses = {(await client.post(LATEST, json={}, headers=LET_IN)).status_code for _ in range(300)}
    assert statuses == {200}
    router.signal(signal.SIGCONT)
    last = await client.post(LATEST, json={}, headers=LET_IN)
    assert (await record(bus, last.headers[ID])).status == 200
    await wait_until_async(lambda: says(router, "HAProxy could not hand them over"), 20)


async def says(router: RouterProcess, what: str) -> bool:
    return what in router.output


async def test_a_router_that_comes_back_takes_records_in_again(
    serving: World, bus: Bus, router: RouterProcess, client: httpx.AsyncClient
) -> None:
    router.kill()
    assert (await client.post(LATEST, json={}, headers=LET_IN)).status_code == 200
    router.start()
    await serving.reported(route=await serving.route())
    kept: list[Call] = []

    async def is_kept() -> bool:
        answer = await client.post(LATEST, json={}, headers=LET_IN)
        with contextlib.suppress(AssertionError):
            kept.append(await record(bus, answer.headers[ID]))
        return bool(kept)

    await wait_until_async(is_kept, what="a call is recorded again")


class Publisher:
    """A bus that is away until it is told to come."""

    def __init__(self) -> None:
        self.is_away = True
        self.published: list[str] = []

    async def publish(self, subject: str, body: object, *, message_id: str | None = None) -> None:
        if self.is_away:
            raise Unavailable("the bus is away")
        self.published.append(subject)


@pytest.fixture
async def alone(place: Place, haproxy: HAProxyProcess) -> AsyncIterator[tuple[Records, Intake, Publisher]]:
    intake, publisher = Intake(access.paths(place.settings)), Publisher()
    records = Records(intake, publisher, Master(place.master_socket))
    intake.open()
    yield records, intake, publisher
    await intake.close()


def line(number: int) -> bytes:
    return f"{number:016X} {MODEL} latest {VERSION} one.0 1767323045000 12 200 --\n".encode()


async def test_a_bus_that_is_away_gets_them_when_it_is_back_and_too_many_are_let_go_oldest_first(
    alone: tuple[Records, Intake, Publisher], logged: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    records, intake, publisher = alone
    for number in range(3):
        intake._keep([line(number)])
        await records._flush()
    publisher.is_away = False
    await records._flush()
    assert publisher.published == [f"access.{MODEL}"] * 3
    publisher.is_away = True
    monkeypatch.setattr("services.router.records.HELD_BYTES", 1)
    intake._keep([line(4), line(5), b"not a call at all"])
    await records._flush()
    dropped = [each for each in logged if each["event"] == "access_records_dropped"]
    assert [each["count"] for each in dropped] == [2]


async def test_what_there_is_no_room_for_is_dropped_and_counted(
    alone: tuple[Records, Intake, Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, intake, _ = alone
    monkeypatch.setattr("services.router.access.LINES", 2)
    intake._keep([line(number) for number in range(5)])
    intake._keep([line(6)])
    assert intake.take() == ([line(0), line(1)], 4)
    assert intake.take() == ([], 0)


def test_the_sockets_of_a_router_are_its_owners_alone(place: Place, nats_server: NatsServer) -> None:
    intake = Intake(access.paths(place.settings))
    intake.open()
    try:
        modes = {path.stat().st_mode & 0o777 for path in place.folder.glob("access-*.sock")}
        assert modes == {0o600}
    finally:
        asyncio.run(intake.close())
