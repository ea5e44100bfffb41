"""This file hands messages to handlers: at least once, kept alive while they work, given up on visibly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.core.delivery import Ack, Bury, Retry, backoff_s, describe, judge, judge_unheard
from services.core.errors import Invalid, TemporaryError, Unavailable
from services.core.records import Buried
from services.core.subjects import CONSUMERS, Consumer, buried
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.process import Stop

log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)

_FETCH_S = 1.0  # a quiet consumer asks this often, so it ends and comes back within this time
_AWAY_S = 1.0  # between tries to reach the consumer
_HOLD_CAP_S = 5.0  # between tries while something the handler needs is away
_ANSWER_S = 2.0
_ANSWER_TRIES = 4
_ANSWER_PAUSE_S = 0.5
_GRAVE_BYTES = 512 << 10  # of a body are kept: as base64 it has to fit into one message
_DEFAULT_ACK_WAIT_S = 30.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Which delivery of a message this is."""

    number: int  # from 1
    max_attempts: int
    subject: str
    sequence: int  # of the message in its stream

    @property
    def is_last(self) -> bool:
        return self.number >= self.max_attempts


Handle = Callable[[T, Attempt], Awaitable[None]]
GiveUp = Callable[[T, str], Awaitable[None]]


async def consume(
    bus: Bus,
    consumer: Consumer,
    type: type[T],
    handle: Handle[T],
    stop: Stop,
    *,
    max_attempts: int,
    concurrency: int = 1,
    backoff_cap_s: float = 300.0,
    hold_s: float = 600.0,
    on_give_up: GiveUp[T] | None = None,
) -> None:
    """Hand every message of `consumer` to `handle` until `stop`, at most `concurrency` at once.

    A message is acknowledged after `handle` returned, so a handler may see it again and must be
    idempotent. Errors are judged by `core.delivery`. For a `TemporaryError` the message is kept and
    tried again here, without counting as an attempt, for up to `hold_s` seconds: an outage buries
    nothing. A message that is given up on is told to `on_give_up`, published under `buried.…` with the
    reason, and taken from the consumer. One that ends its process every time is given up on too: the
    server counts the deliveries.

    Never raises for an absent bus or consumer. At `stop` the work in hand goes on until it is done or
    cancelled.
    """
    work = _Consumption(bus, consumer, type, handle, stop, max_attempts, backoff_cap_s, hold_s, on_give_up)
    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(work.run())


class _Consumption(Generic[T]):
    def __init__(
        self,
        bus: Bus,
        consumer: Consumer,
        type: type[T],
        handle: Handle[T],
        stop: Stop,
        max_attempts: int,
        backoff_cap_s: float,
        hold_s: float,
        on_give_up: GiveUp[T] | None,
    ) -> None:
        self._bus = bus
        self._consumer = consumer
        self._stream, _ = CONSUMERS[consumer]
        self._decoder = msgspec.json.Decoder(type)
        self._handle = handle
        self._stop = stop
        self._max_attempts = max_attempts
        self._backoff_cap_s = backoff_cap_s
        self._hold_s = hold_s
        self._on_give_up = on_give_up
        self._ack_wait_s = _DEFAULT_ACK_WAIT_S
        # Sequences of messages: after an outage the server may deliver again what we still hold.
        self._in_hand: set[int] = set()

    async def run(self) -> None:
        is_heard = True
        while not self._stop.is_set:
            try:
                async with contextlib.aclosing(self._messages()) as messages:
                    async for message in messages:
                        is_heard = True
                        await self._take(message)
            except (Unavailable, OSError, nats.errors.Error) as error:
                if is_heard:
                    log.warning("consumer_away", consumer=self._consumer, reason=describe(error))
                is_heard = False
                await self._stop.wait_for(_AWAY_S)

    async def _messages(self) -> AsyncGenerator[Msg, None]:
        """Messages one by one, until `stop` or a new connection."""
        async with self._bus.deadline(f"bind to {self._consumer}") as jetstream:
            info = await jetstream.consumer_info(self._stream, self._consumer)
            self._ack_wait_s = info.config.ack_wait or _DEFAULT_ACK_WAIT_S
            subscription = await jetstream.pull_subscribe_bind(self._consumer, self._stream)
        connection = self._bus.connections
        try:
            while self._may_fetch(connection):
                message = await self._next(subscription)
                if message is None:
                    continue
                if self._stop.is_set:
                    await message.nak()  # it came while we were told to stop: leave it to the next process
                else:
                    yield message
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    def _may_fetch(self, connection: int) -> bool:
        return not self._stop.is_set and connection == self._bus.connections

    async def _next(self, subscription: JetStreamContext.PullSubscription) -> Msg | None:
        try:
            return (await subscription.fetch(1, timeout=_FETCH_S))[0]
        except nats.errors.TimeoutError:
            return None

    async def _take(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        if sequence in self._in_hand:
            return  # whoever holds it keeps it alive and will acknowledge it
        attempt = Attempt(
            number=message.metadata.num_delivered,
            max_attempts=self._max_attempts,
            subject=message.subject,
            sequence=sequence,
        )
        self._in_hand.add(sequence)
        alive = asyncio.create_task(self._keep_alive(message))
        try:
            with structlog.contextvars.bound_contextvars(subject=message.subject, attempt=attempt.number):
                await self._settle(message, attempt)
        except asyncio.CancelledError:
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.nak()
            raise
        finally:
            alive.cancel()
            self._in_hand.discard(sequence)

    async def _settle(self, message: Msg, attempt: Attempt) -> None:
        """Handle, judge, and answer the server."""
        value: T | None = None
        error: Exception | None = None
        verdict: Ack | Retry | Bury | None = judge_unheard(attempt.number, attempt.max_attempts)
        try:
            value = self._decode(message.data)
            if verdict is None:
                await self._hold(value, attempt)
        except Exception as caught:
            error = caught
        if verdict is None:
            verdict = judge(error, attempt.number, attempt.max_attempts, cap_s=self._backoff_cap_s)
        match verdict:
            case Ack():
                await self._answer(message, Msg.Ack.Ack)
            case Retry(delay_s):
                log.warning("message_retried", delay_s=delay_s, exc_info=error)
                await self._answer(message, _nak(delay_s))
            case Bury(reason):
                log.error("message_buried", reason=reason, exc_info=error)
                await self._bury(message, value, reason, attempt)

    def _decode(self, data: bytes) -> T:
        try:
            return self._decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise Invalid(f"the message cannot be read: {error}") from error

    async def _hold(self, value: T, attempt: Attempt) -> None:
        """Call the handler, again and again while it fails for a passing reason, for at most `hold_s`
        seconds.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._hold_s
        tries = 0
        while True:
            try:
                return await self._handle(value, attempt)
            except TemporaryError as error:
                tries += 1
                delay_s = max(backoff_s(tries, base_s=0.5, cap_s=_HOLD_CAP_S), error.retry_after_s)
                if loop.time() + delay_s > end:
                    raise
                log.warning("message_held", delay_s=delay_s, reason=describe(error))
                if await self._stop.wait_for(delay_s):
                    raise

    async def _keep_alive(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(self._ack_wait_s / 3)
            with contextlib.suppress(nats.errors.Error, OSError):
                await message.in_progress()

    async def _answer(self, message: Msg, word: bytes) -> None:
        """Tell the server, and make sure it heard: a word sent into a dying connection is lost without a sound.

        When nobody listens the message comes again, which changes nothing: a server that was killed may have
        forgotten that it had delivered it, and then does not answer.
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

    async def _bury(self, message: Msg, value: T | None, reason: str, attempt: Attempt) -> None:
        if value is not None and self._on_give_up is not None:
            try:
                await self._on_give_up(value, reason)
            except TemporaryError as error:
                log.warning("burial_postponed", reason=describe(error))
                return await self._answer(message, _nak(error.retry_after_s))
            except Exception:
                log.exception("burial_untold")  # nothing can come of saying it again
        grave = Buried(
            subject=message.subject,
            reason=reason,
            attempts=attempt.number,
            body=message.data[:_GRAVE_BYTES],
            at=now(),
        )
        message_id = f"{self._stream}-{attempt.sequence}"
        await self._bus.publish(buried(self._bus.user, self._consumer), grave, message_id=message_id)
        await self._answer(message, Msg.Ack.Term)
        return None


def _nak(delay_s: float) -> bytes:
    return Msg.Ack.Nak + b" " + msgspec.json.encode({"delay": int(delay_s * 1e9)})
