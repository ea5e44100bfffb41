"""This file reads a log back from the bus, a page at a time: a page costs about what it returns, however long the log.

The order of a log, and the places to read on from, follow the bus: instances write side by side, and what one of them
wrote while the bus was away arrives late. Only so does a reader that goes on from its last line miss none.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.core.records import LogLine
from services.core.subjects import Stream
from services.kit.bus import Bus
from services.kit.read_stream import FIRST_BATCH, READ_S, consumer, messages, stored_ns

log = structlog.get_logger()

PAGE_BYTES = 8 << 20  # of text: a page may be shorter than asked for, and is never empty before the log's end
_SAME_INSTANT_NS = 1_000_000  # lines of one message, or of two at once, are numbered from the first of them
_PROBE_FACTOR = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECODER = msgspec.json.Decoder(list[LogLine])


class PlacedLine(LogLine, frozen=True, kw_only=True):
    """A line and its place in its log: nanoseconds since 1970, more for each line, the same for all."""

    place_ns: int


async def read_log(bus: Bus, subject: str, *, limit: int, after_ns: int = 0) -> list[PlacedLine]:
    """The first `limit` lines of `subject` behind `after_ns`, in the order of their places; none is an empty list.

    Raises `Unavailable`.
    """
    lines: list[PlacedLine] = []
    left_bytes = PAGE_BYTES
    start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.ALL)
    if after_ns:
        since = _EPOCH + timedelta(microseconds=(after_ns - _SAME_INSTANT_NS) // 1000)
        start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=since)
    async with (
        bus.deadline(f"read {subject}", READ_S) as jetstream,
        contextlib.aclosing(_placed(jetstream, subject, start)) as placed,
    ):
        async for line in placed:
            if line.place_ns <= after_ns:
                continue
            lines.append(line)
            left_bytes -= len(line.text)
            if len(lines) >= limit or left_bytes <= 0:
                break
    return lines


async def read_end(bus: Bus, subject: str, *, limit: int, after_ns: int = 0) -> list[PlacedLine]:
    """The last `limit` lines of `subject` behind `after_ns`, as `read_log` gives them."""
    async with bus.deadline(f"read the end of {subject}", READ_S) as jetstream:
        most = min(limit, FIRST_BATCH)
        while True:
            sequence, is_whole = await _near_end(jetstream, subject, most)
            if sequence is None:
                return []
            start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=sequence)
            lines = await _last_lines(jetstream, subject, start, limit=limit, after_ns=after_ns)
            is_enough = len(lines) >= limit or most >= limit or _text_bytes(lines) >= PAGE_BYTES // 2
            if is_whole or is_enough:
                return lines
            most = min(limit, most * _PROBE_FACTOR)


async def _last_lines(
    jetstream: JetStreamContext, subject: str, start: api.ConsumerConfig, *, limit: int, after_ns: int
) -> list[PlacedLine]:
    lines: deque[PlacedLine] = deque()
    size = 0
    async with contextlib.aclosing(_placed(jetstream, subject, start)) as placed:
        async for line in placed:
            if line.place_ns <= after_ns:
                continue
            lines.append(line)
            size += len(line.text)
            while len(lines) > limit or size > PAGE_BYTES:
                size -= len(lines.popleft().text)
    return list(lines)


def _text_bytes(lines: list[PlacedLine]) -> int:
    return sum(len(line.text) for line in lines)


async def _near_end(jetstream: JetStreamContext, subject: str, messages: int) -> tuple[int | None, bool]:
    """A sequence from which on there are at least `messages` of `subject`, and not many more; or the stream's first.

    Also whether that is all there is. None: there are none. Looked for from the stream's end, in ever wider steps, and
    then between the last two: other logs lie in between, as many as there may be.
    """
    state = (await jetstream.stream_info(Stream.LOGS)).state
    first, end, width = max(1, state.first_seq), state.last_seq + 1, messages
    low, low_count = end, 0  # from here on there are too few
    while low > first and low_count < messages:
        high, low = low, max(first, end - width)
        low_count = await _count(jetstream, subject, low)
        width *= _PROBE_FACTOR
    if low_count == 0:
        return None, True
    if low_count < messages:
        return low, True
    while low_count > _PROBE_FACTOR * messages and high - low > 1:
        middle = (low + high) // 2
        count = await _count(jetstream, subject, middle)
        if count >= messages:
            low, low_count = middle, count
        else:
            high = middle
    return low, False


async def _count(jetstream: JetStreamContext, subject: str, sequence: int) -> int:
    start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=sequence)
    info = await jetstream.add_consumer(Stream.LOGS, consumer(subject, start))
    await jetstream.delete_consumer(Stream.LOGS, info.name)
    return info.num_pending or 0


async def _placed(
    jetstream: JetStreamContext, subject: str, start: api.ConsumerConfig
) -> AsyncGenerator[PlacedLine, None]:
    last = 0
    async with contextlib.aclosing(messages(jetstream, Stream.LOGS, subject, start)) as found:
        async for message in found:
            taken_ns = stored_ns(message)
            for line in _decoded(message):
                last = max(last + 1, taken_ns)
                yield PlacedLine(at=line.at, text=line.text, stream=line.stream, place_ns=last)


def _decoded(message: Msg) -> Iterator[LogLine]:
    try:
        yield from _DECODER.decode(message.data)
    except msgspec.MsgspecError as error:
        log.warning("log_lines_unreadable", reason=str(error))  # one bad chunk does not hide the others
