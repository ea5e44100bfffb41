from __future__ import annotations

import pytest

from services.core.errors import Unavailable
from services.core.records import Health, Removed
from services.core.subjects import Bucket
from services.kit import producer as producer_module
from services.kit.bucket import KeyValue
from services.kit.bus import Bus
from services.kit.producer import Counter, Producer
from tests.parts import NatsServer, wait_until
from tests.services.kit.samples import health


@pytest.fixture
def bucket(bus: Bus) -> KeyValue[Health]:
    return bus.bucket(Bucket.HEALTH, Health)


def test_a_counter_grows_over_calls_and_over_restarts() -> None:
    seen = [counter.next() for counter in (Counter(), Counter(), Counter()) for _ in range(1000)]
    assert seen == sorted(set(seen))


def test_a_counter_passes_what_it_was_shown_although_the_clock_is_behind() -> None:
    counter = Counter()
    future = counter.next() + 10**18
    counter.pass_by(future)
    assert counter.next() == future + 1


async def test_each_publication_has_a_larger_revision(bucket: KeyValue[Health]) -> None:
    producer = Producer(bucket)
    first, second = await producer.publish("i", health), await producer.publish("i", health)
    assert second.revision > first.revision
    assert await bucket.get("i") == second


async def test_a_restarted_producer_takes_over_its_keys(bucket: KeyValue[Health]) -> None:
    await Producer(bucket).publish("i", health)
    mine = await Producer(bucket).publish("i", health)
    assert await bucket.get("i") == mine


async def test_a_producer_whose_clock_was_set_back_is_heard_all_the_same(bucket: KeyValue[Health]) -> None:
    await bucket.put("i", health(2**62))
    mine = await Producer(bucket).publish("i", health)
    assert mine.revision == 2**62 + 1
    assert await bucket.get("i") == mine


async def test_what_could_not_be_put_is_put_by_the_next_sweep(
    bus: Bus, bucket: KeyValue[Health], nats_server: NatsServer
) -> None:
    producer = Producer(bucket)
    nats_server.kill()
    await wait_until(lambda: not bus.is_connected)
    with pytest.raises(Unavailable):
        await producer.publish("i", health)
    with pytest.raises(Unavailable):
        await producer.sweep()
    nats_server.start()
    await wait_until(lambda: bus.is_connected)
    assert await producer.sweep() == 1
    assert await bucket.get("i") == producer.published["i"]


async def test_a_removal_is_a_tombstone_and_is_swept_too(bucket: KeyValue[Health]) -> None:
    producer = Producer(bucket)
    await producer.publish("i", health)
    gone = await producer.remove("i")
    assert await bucket.get("i") == gone == Removed(revision=gone.revision)


async def test_a_dropped_key_is_swept_no_longer(bucket: KeyValue[Health], bus: Bus) -> None:
    producer = Producer(bucket)
    await producer.publish("i", health)
    producer.drop("i")
    async with bus.deadline("purge") as jetstream:
        await jetstream.purge_stream("KV_health")
    assert await producer.sweep() == 0


async def test_a_sweep_leaves_newer_entries_of_others_alone(bucket: KeyValue[Health]) -> None:
    producer = Producer(bucket)
    mine = await producer.publish("i", health)
    await bucket.put("i", health(mine.revision + 1))
    assert await producer.sweep() == 0
    assert await bucket.get("i") == health(mine.revision + 1)


async def test_a_tombstone_that_was_told_long_ago_is_not_put_again_once_it_expired(
    bucket: KeyValue[Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer(bucket)
    await producer.publish("i", health)
    await producer.remove("i")
    assert "i" in producer.published
    monkeypatch.setattr(producer_module, "_REMEMBER_S", 0.0)
    await producer.sweep()
    assert "i" not in producer.published


async def test_a_key_that_lives_again_after_its_removal_is_remembered(
    bucket: KeyValue[Health], monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer(bucket)
    await producer.remove("i")
    await producer.publish("i", health)
    monkeypatch.setattr(producer_module, "_REMEMBER_S", 0.0)
    await producer.sweep()
    assert "i" in producer.published
