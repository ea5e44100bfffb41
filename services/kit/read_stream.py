"""This file reads messages of a stream back from any place on, a batch at a time: what is long waits on the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.core.subjects import Stream

READ_S = 10.0  # for a page, or a batch
FIRST_BATCH = 4
_BATCHES = (FIRST_BATCH, 16, 64)  # messages at once, each of up to some 64 kB: often the first few are enough
_IDLE_S = 30.0
_WORDS_WITHOUT_DOMAIN = 9  # of the subject that a message of a stream may be answered on


async def messages(
    jetstream: JetStreamContext, stream: Stream, subject: str, start: api.ConsumerConfig, *, at_once: int | None = None
) -> AsyncGenerator[Msg, None]:
    """Messages of `subject` from `start` on, in order, up to the newest. Belongs in an `aclosing`.

    They are fetched `at_once`, or ever more of them, up to 64.
    """
    info = await jetstream.add_consumer(stream, consumer(subject, start))
    subscription = await jetstream.pull_subscribe_bind(info.name, stream)
    try:
        left = info.num_pending or 0
        batches = iter(_BATCHES if at_once is None else ())
        while left:
            batch = next(batches, at_once or _BATCHES[-1])
            for message in await subscription.fetch(min(left, batch), timeout=READ_S):
                left = message.metadata.num_pending
                yield message
    finally:
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()
            await jetstream.delete_consumer(stream, info.name)


def consumer(subject: str, start: api.ConsumerConfig) -> api.ConsumerConfig:
    """A reader's: nothing is acknowledged, and the server forgets it soon when nobody is there."""
    return start.evolve(
        filter_subject=subject,
        ack_policy=api.AckPolicy.NONE,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=_IDLE_S,
    )


def stored_ns(message: Msg) -> int:
    """When the bus took it, nanoseconds since 1970: the library's own reading of this rounds it."""
    words = message.reply.split(".")
    return int(words[7] if len(words) == _WORDS_WITHOUT_DOMAIN else words[Msg.Ack.Timestamp])
