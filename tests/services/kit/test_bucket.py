from __future__ import annotations

import asyncio

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import Invalid, Unavailable
from services.core.records import Epoch, Record, Removed, Route
from services.core.subjects import EPOCH, Bucket
from services.kit.bucket import KeyValue, supersedes
from services.kit.bus import Bus
from services.kit.setup import create_all
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.kit.samples import route

Logged = list[structlog.typing.EventDict]


@pytest.fixture
def routes(bus: Bus) -> KeyValue[Route]:
    return bus.bucket(Bucket.ROUTES, Route)


async def test_an_entry_is_read_as_it_was_put(routes: KeyValue[Route]) -> None:
    assert await routes.put("m", route(1))
    assert await routes.get("m") == route(1)
    assert await routes.list() == {"m": route(1)}


async def test_a_key_nobody_wrote_is_unknown(routes: KeyValue[Route]) -> None:
    assert await routes.get("m") is None
    assert await routes.list() == {}


async def test_an_older_revision_is_refused_and_nothing_written(bus: Bus, routes: KeyValue[Route]) -> None:
    await routes.put("m", route(5))
    for writer in (routes, bus.bucket(Bucket.ROUTES, Route)):
        assert not await writer.put("m", route(4))
    assert await routes.get("m") == route(5)


async def test_the_very_same_entry_is_not_written_again(routes: KeyValue[Route]) -> None:
    await routes.put("m", route(5))
    before = await routes.mark()
    assert not await routes.put("m", route(5))
    assert await routes.mark() == before


async def test_the_same_revision_may_be_spelled_anew(routes: KeyValue[Route]) -> None:
    await routes.put("m", route(5, "v1"))
    assert await routes.put("m", route(5, "v2"))
    assert await routes.get("m") == route(5, "v2")


async def test_a_tombstone_stands_until_something_newer(routes: KeyValue[Route]) -> None:
    await routes.put("m", route(1))
    assert await routes.put("m", Removed(revision=2))
    assert await routes.get("m") == Removed(revision=2)
    assert not await routes.put("m", route(2))
    assert await routes.put("m", route(3))
    assert await routes.get("m") == route(3)


async def test_the_epoch_is_an_entry_that_the_list_leaves_out(routes: KeyValue[Route]) -> None:
    await routes.put("m", route(1))
    await routes.put(EPOCH, Epoch(revision=1))
    assert await routes.list() == {"m": route(1)}
    assert (await routes.listing()).entries[EPOCH] == Epoch(revision=1)


async def test_of_two_racing_writers_the_larger_revision_ends_up_stored(bus: Bus) -> None:
    writers = [bus.bucket(Bucket.ROUTES, Route) for _ in range(2)]
    for top in range(0, 200, 20):
        revisions = range(top + 1, top + 21)
        await asyncio.gather(*(writers[n % 2].put("m", route(n)) for n in revisions))
        assert await writers[0].get("m") == route(top + 20)


async def test_an_unreadable_entry_is_left_out_logged_and_can_be_overwritten(
    bus: Bus, routes: KeyValue[Route], logged: Logged
) -> None:
    async with bus.deadline("spoil") as jetstream:
        await jetstream.publish("$KV.routes.bad", b'{"kind":"unheard-of"}')
    await routes.put("m", route(1))
    assert await routes.list() == {"m": route(1)}
    assert [line["key"] for line in logged if line["event"] == "entry_unreadable"] == ["bad"]
    assert await routes.put("bad", route(1))
    assert await routes.get("bad") == route(1)


async def test_an_entry_from_a_newer_producer_is_read_without_the_fields_we_do_not_know(
    bus: Bus, routes: KeyValue[Route]
) -> None:
    newer = (
        b'{"kind":"route","revision":1,"model_id":"m","labels":{"latest":"v1"},"is_restricted":true,'
        b'"token_hashes":[],"request_timeout_s":60.0,"colour":"blue"}'
    )
    async with bus.deadline("put") as jetstream:
        await jetstream.publish("$KV.routes.m", newer)
    assert await routes.get("m") == route(1)


async def test_thousands_of_entries_are_listed_whole(bus: Bus, routes: KeyValue[Route]) -> None:
    keys = [f"local.{n}" for n in range(3000)]
    for start in range(0, len(keys), 200):
        await asyncio.gather(*(routes.put(key, route(1)) for key in keys[start : start + 200]))
    assert set(await routes.list()) == set(keys)


async def test_listing_leaves_no_consumer_behind(bus: Bus, routes: KeyValue[Route]) -> None:
    await routes.put("m", route(1))
    for _ in range(5):
        await routes.list()
    async with bus.deadline("look") as jetstream:
        assert (await jetstream.stream_info("KV_routes")).state.consumer_count == 0


async def test_an_absent_bucket_is_unavailable_never_empty(bus: Bus, routes: KeyValue[Route]) -> None:
    await routes.put("m", route(1))
    async with bus.deadline("delete") as jetstream:
        await jetstream.delete_stream("KV_routes")
    with pytest.raises(Unavailable):
        await routes.list()
    with pytest.raises(Unavailable):
        await routes.get("m")
    with pytest.raises(Unavailable):
        await routes.put("m", route(2))


async def test_a_writer_does_not_believe_its_memory_of_a_bucket_that_was_emptied(
    bus: Bus, routes: KeyValue[Route]
) -> None:
    await routes.put("m", route(7))
    async with bus.deadline("delete") as jetstream:
        await jetstream.delete_stream("KV_routes")
    await create_all(bus)
    assert await routes.put("m", route(7))
    assert await routes.get("m") == route(7)


async def test_while_the_server_is_away_everything_is_unavailable(
    bus: Bus, routes: KeyValue[Route], nats_server: NatsServer
) -> None:
    nats_server.kill()
    await wait_until(lambda: not bus.is_connected)
    for doing in (routes.list(), routes.get("m"), routes.put("m", route(1))):
        with pytest.raises(Unavailable):
            await doing


async def test_entries_survive_a_kill_of_the_server(bus: Bus, routes: KeyValue[Route], nats_server: NatsServer) -> None:
    await routes.put("m", route(1))
    nats_server.kill()
    await wait_until(lambda: not bus.is_connected)
    nats_server.start()
    await wait_until(lambda: bus.is_connected)
    assert await routes.get("m") == route(1)
    assert await routes.put("m", route(2))


async def test_what_is_no_key_is_refused_before_the_bus_sees_it(routes: KeyValue[Route]) -> None:
    for key in ("", ".", "a..b", "a b", "*", "a.>"):
        with pytest.raises(Invalid):
            await routes.put(key, route(1))


records = st.one_of(
    st.builds(route, st.integers(1, 3), st.sampled_from(["v1", "v2"])),
    st.builds(Removed, revision=st.integers(1, 3)),
)


@given(records, records)
def test_never_does_each_of_two_entries_supersede_the_other_across_revisions(one: Record, other: Record) -> None:
    assert not supersedes(one, one)
    if one.revision != other.revision:
        assert supersedes(one, other) is not supersedes(other, one)


async def test_a_tombstone_expires_by_itself_and_leaves_nothing_known(bus: Bus) -> None:
    routes = KeyValue(bus, Bucket.ROUTES, Route, tombstone_s=1.0)
    await routes.put("m", route(1))
    await routes.put("other", route(1))
    await routes.put("m", Removed(revision=2))
    assert await routes.get("m") == Removed(revision=2)

    async def has_expired() -> bool:
        return await routes.get("m") is None

    await wait_until_async(has_expired, what="the tombstone expires")
    assert await routes.list() == {"other": route(1)}
    assert await routes.put("m", route(3))
