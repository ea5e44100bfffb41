"""This file hands messages to handlers: at least once, kept alive while they work, given up on visibly."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg

from services.core.delivery import Ack, Bury, Retry, Verdict, backoff_s, describe, judge, judge_unheard
from services.core.errors import Invalid, TemporaryError, Unavailable
from services.core.records import Buried
from services.core.subjects import CONSUMERS, Consumer, buried
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.deliveries import ACK, TERM, Deliveries, nak
from services.kit.process import Stop

log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)

_AWAY_S = 1.0  # between tries to reach the consumer
_HOLD_BASE_S, _HOLD_CAP_S = 0.5, 5.0  # between tries while something the handler needs is away
_GRAVE_BYTES = 512 << 10  # of a body are kept: as base64 it has to fit into one message


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
    work = _Work(
        bus=bus,
        consumer=consumer,
        decoder=msgspec.json.Decoder(type),
        handle=handle,
        stop=stop,
        max_attempts=max_attempts,
        backoff_cap_s=backoff_cap_s,
        hold_s=hold_s,
        on_give_up=on_give_up,
    )
    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(work.run(Deliveries(bus, consumer, stop)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Work(Generic[T]):
    bus: Bus
    consumer: Consumer
    decoder: msgspec.json.Decoder[T]
    handle: Handle[T]
    stop: Stop
    max_attempts: int
    backoff_cap_s: float
    hold_s: float
    on_give_up: GiveUp[T] | None
    # Sequences of messages: after an outage the server may deliver again what we still hold.
    in_hand: set[int] = dataclasses.field(default_factory=set)

    async def run(self, deliveries: Deliveries) -> None:
        is_heard = True
        while not self.stop.is_set:
            try:
                async with contextlib.aclosing(deliveries.messages()) as messages:
                    async for message in messages:
                        is_heard = True
                        await self._take(deliveries, message)
            except (Unavailable, OSError, nats.errors.Error) as error:
                if is_heard:
                    log.warning("consumer_away", consumer=self.consumer, reason=describe(error))
                is_heard = False
                await self.stop.wait_for(_AWAY_S)

    async def _take(self, deliveries: Deliveries, message: Msg) -> None:
        attempt = Attempt(
            number=message.metadata.num_delivered,
            max_attempts=self.max_attempts,
            subject=message.subject,
            sequence=message.metadata.sequence.stream,
        )
        if attempt.sequence in self.in_hand:
            return  # whoever holds it keeps it alive and will acknowledge it
        self.in_hand.add(attempt.sequence)
        try:
            with structlog.contextvars.bound_contextvars(subject=message.subject, attempt=attempt.number):
                async with deliveries.kept_alive(message):
                    await deliveries.answer(message, await self._settle(message.data, attempt))
        finally:
            self.in_hand.discard(attempt.sequence)

    async def _settle(self, data: bytes, attempt: Attempt) -> bytes:
        """Handle and judge; returns the word for the server."""
        value: T | None = None
        error: Exception | None = None
        verdict: Verdict | None = judge_unheard(attempt.number, attempt.max_attempts)
        try:
            value = self._decode(data)
            if verdict is None:
                await self._hold(value, attempt)
        except Exception as caught:
            error = caught
        if isinstance(error, TemporaryError) and self.stop.is_set:
            return nak(0)  # an outage that we do not wait for any longer: no reason to bury
        if verdict is None:
            verdict = judge(error, attempt.number, attempt.max_attempts, cap_s=self.backoff_cap_s)
        match verdict:
            case Ack():
                return ACK
            case Retry(delay_s):
                log.warning("message_retried", delay_s=delay_s, exc_info=error)
                return nak(delay_s)
            case Bury(reason):
                log.error("message_buried", reason=reason, exc_info=error)
                return await self._bury(data, value, reason, attempt)

    def _decode(self, data: bytes) -> T:
        try:
            return self.decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise Invalid(f"the message cannot be read: {error}") from error

    async def _hold(self, value: T, attempt: Attempt) -> None:
        """Call the handler, again and again while it fails for a passing reason, for `hold_s` at most."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.hold_s
        tries = 0
        while True:
            try:
                return await self.handle(value, attempt)
            except TemporaryError as error:
                tries += 1
                delay_s = max(backoff_s(tries, base_s=_HOLD_BASE_S, cap_s=_HOLD_CAP_S), error.retry_after_s)
                if loop.time() + delay_s > end:
                    raise
                log.warning("message_held", delay_s=delay_s, reason=describe(error))
                if await self.stop.wait_for(delay_s):
                    raise

    async def _bury(self, data: bytes, value: T | None, reason: str, attempt: Attempt) -> bytes:
        if value is not None and self.on_give_up is not None:
            try:
                await self.on_give_up(value, reason)
            except TemporaryError as error:
                log.warning("burial_postponed", reason=describe(error))
                return nak(error.retry_after_s)
            except Exception:
                log.exception("burial_untold")  # saying it again would not help
        grave = Buried(
            subject=attempt.subject,
            reason=reason,
            attempts=attempt.number,
            body=data[:_GRAVE_BYTES],
            at=now(),
        )
        stream, _ = CONSUMERS[self.consumer]
        subject = buried(self.bus.user, self.consumer)
        await self.bus.publish(subject, grave, message_id=f"{stream}-{attempt.sequence}")
        return TERM
