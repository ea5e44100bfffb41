"""What api makes on the bus: on a platform that was set up by an older api, it is changed in place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.js import api

from services.core.ids import AggregateId, VersionId
from services.core.records import BuildPhase, BuildReport
from services.core.subjects import CONSUMERS, Consumer, Stream, build_fact
from services.kit.bus import Bus
from services.kit.consume import Attempt, consume
from services.kit.permissions import nats_users
from services.kit.process import Stop
from services.kit.setup import create_all
from tests.parts import NatsServer, running, wait_until
from tests.services.kit.samples import at_work

DAY_S = 86_400.0
VERSION = VersionId("b" * 24)
REPORT = BuildReport(model_id=AggregateId("a" * 24), version_id=VERSION, attempt=1, phase=BuildPhase.BUILDING)


@pytest.fixture
async def as_api(tmp_path: Path) -> AsyncIterator[Bus]:
    """Connected with what api may do, to an empty server."""
    server = NatsServer(tmp_path / "guarded", users=nats_users({"api": "secret", "builder": "secret"}))
    with running(server):
        bus = await Bus.connect(server.config("api", "secret"))
        yield bus
        await bus.close()


async def filter_of(bus: Bus, consumer: Consumer) -> str | None:
    async with bus.deadline("look") as jetstream:
        info = await jetstream.consumer_info(CONSUMERS[consumer][0], consumer)
        subject: str | None = info.config.filter_subject
        return subject


async def log_age_s(bus: Bus, stream: Stream = Stream.LOGS) -> float | None:
    async with bus.deadline("look") as jetstream:
        return (await jetstream.stream_info(stream)).config.max_age


async def test_a_consumer_that_an_older_api_made_takes_the_new_filter_and_forgets_nothing(bus: Bus) -> None:
    async with bus.deadline("go back") as jetstream:
        older = api.ConsumerConfig(
            name=Consumer.RECORDER,
            durable_name=Consumer.RECORDER,
            filter_subject="fact.>",
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=15.0,
            max_deliver=-1,
            max_ack_pending=1000,
        )
        await jetstream.delete_consumer(Stream.FACTS, Consumer.RECORDER)
        await jetstream.add_consumer(Stream.FACTS, older)
    await bus.publish(build_fact(VERSION), REPORT)
    assert await filter_of(bus, Consumer.RECORDER) == "fact.>"
    await create_all(bus)
    assert await filter_of(bus, Consumer.RECORDER) == "fact.builder.>"
    heard: list[BuildReport] = []

    async def hear(report: BuildReport, attempt: Attempt) -> None:
        heard.append(report)

    async def listen(stop: Stop) -> None:
        await consume(bus, Consumer.RECORDER, BuildReport, hear, stop, max_attempts=3)

    async with at_work(listen):
        await wait_until(lambda: heard == [REPORT])


async def test_api_may_make_and_read_every_consumer_that_is_its_own(as_api: Bus) -> None:
    for _ in range(2):
        await create_all(as_api)
    for consumer in (Consumer.RECORDER, Consumer.RECEIPTS):
        assert await filter_of(as_api, consumer) == CONSUMERS[consumer][1]


async def test_logs_are_kept_as_long_as_configured_and_as_before_while_that_is_not_known(as_api: Bus) -> None:
    await create_all(as_api)
    assert await log_age_s(as_api) == 14 * DAY_S
    await create_all(as_api, log_days=2)
    assert await log_age_s(as_api) == 2 * DAY_S
    await create_all(as_api)
    assert await log_age_s(as_api) == 2 * DAY_S
    await create_all(as_api, log_days=30)
    assert await log_age_s(as_api) == 30 * DAY_S


async def test_records_of_calls_are_kept_as_long_as_configured(as_api: Bus) -> None:
    await create_all(as_api)
    assert await log_age_s(as_api, Stream.ACCESS) == 7 * DAY_S
    await create_all(as_api, call_days=3)
    await create_all(as_api)
    assert await log_age_s(as_api, Stream.ACCESS) == 3 * DAY_S
    assert await log_age_s(as_api) == 14 * DAY_S
