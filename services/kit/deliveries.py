"""This file is a worker's conversation with one durable consumer: messages come, are kept alive and answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.core.errors import Unavailable
from services.core.subjects import CONSUMERS, Consumer
from services.kit.bus import Bus
from services.kit.process import Stop

log = structlog.get_logger()

ACK, TERM = Msg.Ack.Ack, Msg.Ack.Term

_FETCH_S = 1.0  # a quiet worker asks this often, so it ends and comes back within this time
_ANSWER_S = 2.0
_ANSWER_TRIES = 4
_ANSWER_PAUSE_S = 0.5
_DEFAULT_ACK_WAIT_S = 30.0


def nak(delay_s: float) -> bytes:
    """The word for "deliver it again after `delay_s` seconds"."""
    return Msg.Ack.Nak + b" " + msgspec.json.encode({"delay": int(delay_s * 1e9)})


class Deliveries:
    """What one worker gets from `consumer`, which api has made."""

    def __init__(self, bus: Bus, consumer: Consumer, stop: Stop) -> None:
        self._bus = bus
        self._consumer = consumer
        self._stream, _ = CONSUMERS[consumer]
        self._stop = stop
        self._ack_wait_s = _DEFAULT_ACK_WAIT_S

    async def messages(self) -> AsyncGenerator[Msg, None]:
        """Messages one by one, until `stop` or until the bus has a new connection.

        Raises `Unavailable` and what the client raises while there is no such consumer.
        """
        async with self._bus.deadline(f"bind to {self._consumer}") as jetstream:
            info = await jetstream.consumer_info(self._stream, self._consumer)
            self._ack_wait_s = info.config.ack_wait or _DEFAULT_ACK_WAIT_S
            subscription = await jetstream.pull_subscribe_bind(self._consumer, self._stream)
        connection = self._bus.connections
        try:
            while self._may_fetch(connection):
                message = await _next(subscription)
                if message is None:
                    continue
                if self._stop.is_set:
                    await message.nak()  # it came while we were told to stop: leave it to the next process
                else:
                    yield message
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    @contextlib.asynccontextmanager
    async def kept_alive(self, message: Msg) -> AsyncIterator[None]:
        """Inside, the server hears that the message is still worked on. Cancelled work goes back at once."""
        alive = asyncio.create_task(self._keep_alive(message))
        try:
            yield
        except asyncio.CancelledError:
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.nak()
            raise
        finally:
            alive.cancel()

    async def answer(self, message: Msg, word: bytes) -> None:
        """Tell the server, and make sure it heard: a word sent into a dying connection is lost without a sound.

        When nobody listens the message comes again, which changes nothing: a server that was killed may
        have forgotten that it had delivered it, and then does not answer.
        """
        for _ in range(_ANSWER_TRIES):
            connection = self._bus.connections
            try:
                async with self._bus.deadline("answer", _ANSWER_S):
                    await self._bus.client.request(message.reply, word, timeout=_ANSWER_S)
                    return
            except Unavailable as error:
                log.warning("answer_unheard", reason=error.reason)
            if self._bus.is_connected and connection == self._bus.connections:
                return
            await asyncio.sleep(_ANSWER_PAUSE_S)

    def _may_fetch(self, connection: int) -> bool:
        return not self._stop.is_set and connection == self._bus.connections

    async def _keep_alive(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(self._ack_wait_s / 3)
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.in_progress()


async def _next(subscription: JetStreamContext.PullSubscription) -> Msg | None:
    try:
        return (await subscription.fetch(1, timeout=_FETCH_S))[0]
    except nats.errors.TimeoutError:
        return None
