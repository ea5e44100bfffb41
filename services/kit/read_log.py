"""This file reads a log back from the bus."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from datetime import datetime

import msgspec
import nats.errors
import structlog
from nats.js import JetStreamContext, api

from services.core.records import LogLine
from services.core.subjects import Stream
from services.kit.bus import Bus

log = structlog.get_logger()

_READ_S = 10.0
_IDLE_S = 30.0
_BATCH = 200
_DECODER = msgspec.json.Decoder(list[LogLine])


async def read_log(bus: Bus, subject: str, *, since: datetime | None, limit: int) -> list[LogLine]:
    """The last `limit` lines published under `subject` at or after `since`, oldest first; none is an empty
    list. Raises `Unavailable`.
    """
    lines: deque[LogLine] = deque(maxlen=limit)
    async with (
        bus.deadline(f"read {subject}", _READ_S) as jetstream,
        contextlib.aclosing(_messages(jetstream, subject, since)) as messages,
    ):
        async for message in messages:
            lines.extend(line for line in _decoded(message) if since is None or line.at >= since)
    return list(lines)


def _decoded(message: bytes) -> list[LogLine]:
    try:
        return _DECODER.decode(message)
    except msgspec.MsgspecError as error:
        log.warning("log_lines_unreadable", reason=str(error))  # one bad chunk does not hide the others
        return []


async def _messages(jetstream: JetStreamContext, subject: str, since: datetime | None) -> AsyncGenerator[bytes, None]:
    """Asked for batch by batch, so that a long log waits on the server and not in this process."""
    info = await jetstream.add_consumer(Stream.LOGS, _config(subject, since))
    subscription = await jetstream.pull_subscribe_bind(info.name, Stream.LOGS)
    try:
        left = info.num_pending or 0
        while left:
            for message in await subscription.fetch(min(left, _BATCH), timeout=_READ_S):
                left = message.metadata.num_pending
                yield message.data
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()
            await jetstream.delete_consumer(Stream.LOGS, info.name)


def _config(subject: str, since: datetime | None) -> api.ConsumerConfig:
    return api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.ALL if since is None else api.DeliverPolicy.BY_START_TIME,
        opt_start_time=since,
        filter_subject=subject,
        ack_policy=api.AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=_IDLE_S,
    )
