from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable

import pytest

from services.core.errors import Unavailable
from services.core.records import Epoch, Health, Heartbeat, Removed, Route
from services.core.subjects import EPOCH, Bucket
from services.kit.bucket import KeyValue
from services.kit.bus import Bus
from services.kit.heartbeat import beat
from services.kit.mirror import Mirror
from services.kit.process import Stop
from services.kit.producer import Producer
from services.kit.setup import create_all
from services.kit.wake import Wake
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.kit.samples import at_work, health, route


@pytest.fixture
def routes(bus: Bus) -> KeyValue[Route]:
    return bus.bucket(Bucket.ROUTES, Route)


@pytest.fixture
def mirror(routes: KeyValue[Route]) -> Mirror[Route]:
    return Mirror(routes, list_every_s=0.5)


async def recreate(bus: Bus, bucket: str = "KV_routes") -> None:
    async with bus.deadline("delete") as jetstream:
        await jetstream.delete_stream(bucket)
    await create_all(bus)


async def persist(put: Callable[[], Awaitable[object]]) -> None:
    async def done() -> bool:
        try:
            await put()
        except Unavailable:
            return False
        return True

    await wait_until_async(done, 15)


async def test_a_mirror_shows_what_was_there_before_and_what_comes_after(
    routes: KeyValue[Route], mirror: Mirror[Route]
) -> None:
    await routes.put("old", route(1))
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        assert dict(mirror.entries) == {"old": route(1)}
        await routes.put("new", route(1))
        await routes.put("old", route(2, "v2"))
        await wait_until(lambda: mirror.entries == {"old": route(2, "v2"), "new": route(1)})


async def test_a_change_arrives_long_before_the_next_listing(routes: KeyValue[Route]) -> None:
    mirror = Mirror(routes, list_every_s=30)
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        begun = time.monotonic()
        for n in range(1, 21):
            await routes.put("m", route(n))
            await wait_until(lambda: mirror.entries.get("m") == route(n))  # noqa: B023
        assert time.monotonic() - begun < 5


async def test_a_tombstone_takes_an_entry_away_and_a_newer_entry_brings_it_back(
    routes: KeyValue[Route], mirror: Mirror[Route]
) -> None:
    await routes.put("m", route(1))
    async with at_work(mirror.run):
        await wait_until(lambda: "m" in mirror.entries)
        await routes.put("m", Removed(revision=2))
        await wait_until(lambda: "m" not in mirror.entries)
        assert mirror.removed == {"m": Removed(revision=2)}
        await routes.put("m", route(3))
        await wait_until(lambda: mirror.entries == {"m": route(3)})
        assert not mirror.removed


async def test_changes_wake_once_and_are_not_lost_between_two_waits(
    routes: KeyValue[Route], mirror: Mirror[Route]
) -> None:
    async with at_work(mirror.run):
        assert await mirror.changed(5)  # the first listing, though empty, is news
        for n in range(1, 6):
            await routes.put("m", route(n))
        await wait_until(lambda: mirror.entries.get("m") == route(5))
        assert await mirror.changed(5)
        assert not await mirror.changed(0.05)


async def test_one_bell_serves_several_mirrors(bus: Bus, routes: KeyValue[Route]) -> None:
    wake = Wake()
    verdicts = bus.bucket(Bucket.HEALTH, Health)
    mirrors = Mirror(routes, wake=wake), Mirror(verdicts, wake=wake)
    async with at_work(mirrors[0].run, mirrors[1].run):
        await wait_until(lambda: all(mirror.has_listed for mirror in mirrors))
        await wake.wait(0)
        await verdicts.put("i", health(1))
        assert await wake.wait(5)


async def test_a_kill_of_the_server_takes_nothing_away_and_updates_resume_promptly(
    bus: Bus, routes: KeyValue[Route], mirror: Mirror[Route], nats_server: NatsServer
) -> None:
    await routes.put("m", route(1))
    async with at_work(mirror.run):
        await wait_until(lambda: "m" in mirror.entries)
        for n in range(2, 5):
            nats_server.kill()
            await wait_until(lambda: not bus.is_connected)
            assert mirror.entries["m"] == route(n - 1)
            nats_server.start()
            begun = time.monotonic()
            await persist(lambda: routes.put("m", route(n)))  # noqa: B023
            await wait_until(lambda: mirror.entries["m"] == route(n))  # noqa: B023
            assert time.monotonic() - begun < 4


async def test_after_the_servers_restart_the_watch_itself_works_again(
    bus: Bus, routes: KeyValue[Route], nats_server: NatsServer
) -> None:
    mirror = Mirror(routes, list_every_s=30)
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        nats_server.restart()
        await persist(lambda: routes.put("m", route(1)))
        await wait_until(lambda: mirror.entries.get("m") == route(1))
        await routes.put("m", route(2))
        await wait_until(lambda: mirror.entries.get("m") == route(2), 5)


async def test_a_bucket_deleted_and_made_again_takes_nothing_away_and_is_heard_again(
    bus: Bus, routes: KeyValue[Route], mirror: Mirror[Route]
) -> None:
    await routes.put("kept", route(5))
    await routes.put("changed", route(5))
    async with at_work(mirror.run):
        await wait_until(lambda: len(mirror.entries) == 2)
        await recreate(bus)
        begun = time.monotonic()
        await routes.put("changed", route(6))
        await routes.put("kept", route(4))  # the emptied bucket takes it; the reader knows better
        await wait_until(lambda: mirror.entries["changed"] == route(6))
        assert time.monotonic() - begun < 3
        assert mirror.entries["kept"] == route(5)
        await routes.put("kept", route(6))
        await wait_until(lambda: mirror.entries["kept"] == route(6))


async def test_a_deleted_bucket_is_no_news(bus: Bus, routes: KeyValue[Route], mirror: Mirror[Route]) -> None:
    await routes.put("m", route(1))
    async with at_work(mirror.run):
        await wait_until(lambda: "m" in mirror.entries)
        async with bus.deadline("delete") as jetstream:
            await jetstream.delete_stream("KV_routes")
        await mirror.changed(0)
        assert not await mirror.changed(1.5)
        assert dict(mirror.entries) == {"m": route(1)}


async def test_a_bucket_rolled_back_to_an_older_copy_takes_nothing_back(
    bus: Bus, routes: KeyValue[Route], mirror: Mirror[Route], nats_server: NatsServer
) -> None:
    await routes.put("a", route(1))
    await routes.put("b", route(1))
    nats_server.stop()
    copy = nats_server.folder / "copy"
    shutil.copytree(nats_server.storage, copy)
    nats_server.start()
    await wait_until(lambda: bus.is_connected)
    await persist(lambda: routes.put("a", route(9)))
    await persist(lambda: routes.put("b", Removed(revision=9)))
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.entries.get("a") == route(9) and "b" in mirror.removed)
        nats_server.kill()
        shutil.rmtree(nats_server.storage)
        copy.rename(nats_server.storage)
        connections = bus.connections
        nats_server.start()
        await wait_until(lambda: bus.connections > connections)
        await wait_until_async(lambda: same(routes.get("a"), route(1)), what="rolled back")
        assert not await mirror.changed(1.5) or mirror.entries["a"] == route(9)
        assert dict(mirror.entries) == {"a": route(9)}
        await routes.put("a", route(10))
        await wait_until(lambda: mirror.entries["a"] == route(10))


async def same(reading: Awaitable[object], expected: object) -> bool:
    try:
        return await reading == expected
    except Unavailable:
        return False


async def test_a_watch_that_fell_silent_is_noticed_by_listing_and_begun_anew(
    bus: Bus, routes: KeyValue[Route], mirror: Mirror[Route]
) -> None:
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        await delete_consumers(bus)
        await routes.put("m", route(1))
        await wait_until(lambda: mirror.entries.get("m") == route(1), 3, what="the listing finds it")
        await wait_until_async(lambda: has_consumer(bus), 5, what="watched again")
        begun = time.monotonic()
        await routes.put("m", route(2))
        await wait_until(lambda: mirror.entries["m"] == route(2))
        assert time.monotonic() - begun < 0.4


async def delete_consumers(bus: Bus) -> None:
    async with bus.deadline("delete") as jetstream:
        for consumer in await jetstream.consumers_info("KV_routes"):
            await jetstream.delete_consumer("KV_routes", consumer.name)


async def has_consumer(bus: Bus) -> bool:
    async with bus.deadline("look") as jetstream:
        return len(await jetstream.consumers_info("KV_routes")) == 1


async def test_a_mirror_that_ended_leaves_no_consumer_behind(bus: Bus, mirror: Mirror[Route]) -> None:
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        assert await has_consumer(bus)
    assert not await has_consumer(bus)


async def test_a_quiet_bucket_is_not_listed_again(bus: Bus, routes: KeyValue[Route]) -> None:
    counting = Counting(bus, Bucket.ROUTES, Route)
    mirror = Mirror(counting, list_every_s=0.05)
    await routes.put("m", route(1))
    async with at_work(mirror.run):
        await wait_until(lambda: counting.looks > 10)
        assert counting.listings == 1


class Counting(KeyValue[Route]):
    looks = 0
    listings = 0

    async def mark(self):  # type: ignore[no-untyped-def]
        self.looks += 1
        return await super().mark()

    async def listing(self):  # type: ignore[no-untyped-def]
        self.listings += 1
        return await super().listing()


async def test_a_decided_bucket_is_whole_only_with_its_epoch(bus: Bus, routes: KeyValue[Route]) -> None:
    mirror = Mirror(routes, list_every_s=0.2)
    await routes.put("m", route(1))
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        assert not mirror.is_whole
        await routes.put(EPOCH, Epoch(revision=7))
        await wait_until(lambda: mirror.is_whole)
        assert EPOCH not in mirror.entries


async def test_an_emptied_bucket_is_not_whole_until_it_has_a_new_epoch_and_an_old_one_does_not_count(
    bus: Bus, routes: KeyValue[Route], mirror: Mirror[Route]
) -> None:
    await routes.put(EPOCH, Epoch(revision=7))
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.is_whole)
        await recreate(bus)
        await wait_until(lambda: not mirror.is_whole)
        await routes.put(EPOCH, Epoch(revision=6))
        await routes.put("m", route(1))
        await wait_until(lambda: "m" in mirror.entries)
        assert not mirror.is_whole
        await routes.put(EPOCH, Epoch(revision=7))
        await wait_until(lambda: mirror.is_whole)


async def test_an_observed_bucket_is_whole_once_it_was_listed(bus: Bus) -> None:
    mirror = Mirror(bus.bucket(Bucket.HEALTH, Health))
    assert not mirror.is_whole
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.is_whole)


async def test_a_mirror_may_begin_before_there_is_a_bucket(nats_server: NatsServer) -> None:
    bus = await Bus.connect(nats_server.config())
    routes = bus.bucket(Bucket.ROUTES, Route)
    mirror = Mirror(routes, list_every_s=0.2)
    async with at_work(mirror.run):
        assert not await mirror.changed(0.5)
        assert not mirror.has_listed
        await create_all(bus)
        await routes.put("m", route(1))
        await wait_until(lambda: "m" in mirror.entries)
    await bus.close()


async def test_the_producers_sweep_puts_again_what_an_emptied_bucket_lost(bus: Bus) -> None:
    bucket = bus.bucket(Bucket.HEALTH, Health)
    producer = Producer(bucket)
    mine = await producer.publish("i", health)
    assert await producer.sweep() == 0
    await recreate(bus, "KV_health")
    assert await bucket.get("i") is None
    assert await producer.sweep() == 1
    assert await bucket.get("i") == mine
    assert await producer.sweep() == 0


async def test_a_heartbeat_is_seen_and_forgotten_some_time_after_the_service_fell_silent(bus: Bus) -> None:
    hearts = Mirror(bus.bucket(Bucket.HEARTBEATS, Heartbeat), list_every_s=0.5, forget_absent=True)
    async with bus.deadline("let heartbeats expire sooner") as jetstream:
        config = (await jetstream.stream_info("KV_heartbeats")).config
        await jetstream.update_stream(config.evolve(max_age=3.0, duplicate_window=3.0))

    async def live(stop: Stop) -> None:
        await beat(bus, "router", "router-1", stop)

    async with at_work(hearts.run):
        async with at_work(live):
            await wait_until(lambda: "router.router-1" in hearts.entries)
            first = hearts.entries["router.router-1"]
            await wait_until(lambda: hearts.entries["router.router-1"].at > first.at)
            assert hearts.entries["router.router-1"].started_at == first.started_at
        await wait_until(lambda: not hearts.entries, 15)


async def test_while_the_bus_is_away_no_heartbeat_is_forgotten(bus: Bus, nats_server: NatsServer) -> None:
    hearts = Mirror(bus.bucket(Bucket.HEARTBEATS, Heartbeat), list_every_s=0.2, forget_absent=True)

    async def live(stop: Stop) -> None:
        await beat(bus, "router", "router-1", stop)

    async with at_work(hearts.run, live):
        await wait_until(lambda: bool(hearts.entries))
        nats_server.kill()
        await wait_until(lambda: not bus.is_connected)
        await hearts.changed(0)
        assert not await hearts.changed(1.0)
        assert hearts.entries
        nats_server.start()
        before = hearts.entries["router.router-1"]
        await wait_until(lambda: hearts.entries["router.router-1"].revision > before.revision, 8)
