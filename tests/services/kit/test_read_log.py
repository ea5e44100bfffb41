"""A log on the bus is read page by page: every line once, in order, and no page costs more than it returns."""

from __future__ import annotations

import asyncio
import time

import msgspec
import nats.js.client
import pytest
from nats.js import JetStreamContext

from services.core.ids import AggregateId, VersionId
from services.core.records import LogLine
from services.core.subjects import LogKind, Stream
from services.core.subjects import log as log_subject
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.read_log import PAGE_BYTES, PlacedLine, read_end, read_log

MODEL = AggregateId("a" * 24)
BUILD = log_subject(LogKind.BUILD, MODEL, VersionId("5" * 24))
OTHER = log_subject(LogKind.BUILD, MODEL, VersionId("6" * 24))
INSTANCES = log_subject(LogKind.INSTANCE, MODEL, VersionId("5" * 24))


def lines(*texts: str) -> list[LogLine]:
    return [LogLine(at=now(), text=text) for text in texts]


async def write(bus: Bus, subject: str, count: int, *, a_message: int = 1, text: str = "") -> None:
    """Lines "0", "1" … in messages of `a_message` lines."""
    jetstream = bus.client.jetstream(publish_async_max_pending=1000)
    for start in range(0, count, a_message):
        some = lines(*(f"{number}{text}" for number in range(start, min(count, start + a_message))))
        await jetstream.publish_async(subject, msgspec.json.encode(some), wait_stall=30)
    await jetstream.publish_async_completed()


class Fetched:
    """How many messages were read since this was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages = 0
        fetch = JetStreamContext.PullSubscription.fetch

        async def counted(subscription: JetStreamContext.PullSubscription, batch: int, timeout: float) -> object:  # noqa: ASYNC109
            found = await fetch(subscription, batch, timeout=timeout)
            self.messages += len(found)
            return found

        monkeypatch.setattr(nats.js.client.JetStreamContext.PullSubscription, "fetch", counted)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Fetched:
    return Fetched(monkeypatch)


def texts(found: list[PlacedLine]) -> list[str]:
    return [line.text for line in found]


async def read_in_pages(bus: Bus, subject: str, page: int) -> list[str]:
    got: list[str] = []
    after_ns = 0
    while found := await read_log(bus, subject, limit=page, after_ns=after_ns):
        assert len(found) <= page
        got += texts(found)
        after_ns = found[-1].place_ns
    return got


async def test_a_log_nobody_wrote_is_empty(bus: Bus) -> None:
    assert await read_log(bus, BUILD, limit=10) == []
    assert await read_end(bus, BUILD, limit=10) == []
    await write(bus, OTHER, 5)
    assert await read_log(bus, BUILD, limit=10, after_ns=time.time_ns()) == []
    assert await read_end(bus, BUILD, limit=10) == []


@pytest.mark.parametrize(("a_message", "page"), [(1, 7), (3, 100), (1000, 300)])
async def test_a_reader_that_goes_on_from_its_last_line_gets_every_line_once(
    bus: Bus, a_message: int, page: int
) -> None:
    await write(bus, BUILD, 2000, a_message=a_message)
    assert await read_in_pages(bus, BUILD, page) == [str(number) for number in range(2000)]


async def test_a_line_that_arrives_late_is_not_missed_by_a_reader_who_is_further(bus: Bus) -> None:
    """As when the bus was away for one of two instances: what counts is when the bus took it."""
    old = [LogLine(at=now(), text="written first")]
    await bus.publish(f"{INSTANCES}.one", lines("written second"))
    first = await read_log(bus, f"{INSTANCES}.>", limit=10)
    await bus.publish(f"{INSTANCES}.two", old)
    assert texts(first) == ["written second"]
    assert texts(await read_log(bus, f"{INSTANCES}.>", limit=10, after_ns=first[-1].place_ns)) == ["written first"]


async def test_a_page_of_a_long_log_costs_what_it_returns(bus: Bus, fetched: Fetched) -> None:
    await write(bus, BUILD, 2900)
    place = (await read_log(bus, BUILD, limit=1000))[-1].place_ns
    fetched.messages = 0
    assert texts(await read_log(bus, BUILD, limit=100, after_ns=place)) == [str(n) for n in range(1000, 1100)]
    assert fetched.messages < 300


@pytest.mark.parametrize("behind", [0, 2500])
async def test_the_end_of_a_long_log_costs_what_it_returns_however_much_lies_behind_it(
    bus: Bus, fetched: Fetched, behind: int
) -> None:
    await write(bus, BUILD, 5800, a_message=2)
    await write(bus, OTHER, behind)
    fetched.messages = 0
    assert texts(await read_end(bus, BUILD, limit=100)) == [str(n) for n in range(5700, 5800)]
    assert fetched.messages < 1000
    assert texts(await read_end(bus, BUILD, limit=9500)) == [str(n) for n in range(5800)]


async def test_a_page_of_long_lines_is_bounded_and_reading_on_brings_the_rest(bus: Bus) -> None:
    await write(bus, BUILD, 3000, a_message=4, text="x" * 16_000)
    first = await read_log(bus, BUILD, limit=10_000)
    assert len(first) < 3000
    assert sum(len(line.text) for line in first) < PAGE_BYTES + 20_000
    last = await read_end(bus, BUILD, limit=10_000)
    assert sum(len(line.text) for line in last) <= PAGE_BYTES
    assert last[-1].text.startswith("2999x")
    assert len(await read_in_pages(bus, BUILD, 10_000)) == 3000


async def test_reading_leaves_no_consumer_behind(bus: Bus) -> None:
    await write(bus, BUILD, 500)
    await asyncio.gather(read_log(bus, BUILD, limit=1), read_end(bus, BUILD, limit=1), read_log(bus, OTHER, limit=1))
    async with bus.deadline("look at the stream") as jetstream:
        assert (await jetstream.stream_info(Stream.LOGS)).state.consumer_count == 0
