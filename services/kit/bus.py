"""This file is the connection to NATS: it stays, comes back, puts a deadline on everything and says what
was denied.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import msgspec
import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from services.core.errors import TooLarge, Unavailable
from services.core.records import LogLine, Record
from services.core.subjects import Bucket, Stream
from services.kit.bucket import KeyValue
from services.kit.config import BusConfig
from services.kit.send_log import LogSender
from services.kit.wake import Wake

log = structlog.get_logger()

REQUEST_S = 5.0  # for one request to the bus and its answer
_RECONNECT_S = 0.25
_PING_S = 2.0  # with two outstanding: a silent server is noticed after about six seconds
_TELL_DROPPED_S = 5.0
_STUCK_S = 30.0  # after which a client that did not come back by itself is replaced by a new one

T = TypeVar("T", bound=Record)


class Bus:
    """One connection to NATS. Made by `connect`; lives through every restart of the server."""

    def __init__(self, config: BusConfig) -> None:
        self._config = config
        self._client = Client()
        self._jetstream = self._client.jetstream()
        self._deadlines: set[asyncio.Timeout] = set()
        self._listeners: list[Wake] = []
        self._is_closing = False
        self._is_closed = asyncio.Event()  # for good, by the library
        self._was_told = False  # that the bus is away: once an outage is enough
        self._renewal: asyncio.Task[None] | None = None
        self._log_sender = LogSender()
        self._dropped = 0  # messages that came faster than they were taken, since it was told last
        self._dropped_told_at = -_TELL_DROPPED_S
        self.connections = 0  # grows with every connection made; who sees it change starts afresh

    @classmethod
    async def connect(cls, config: BusConfig) -> Bus:
        """A connected bus; waits for the server for as long as it takes, also for one that refuses the
        password.
        """
        bus = cls(config)
        await bus.open()
        return bus

    @property
    def user(self) -> str:
        return self._config.nats_user

    @property
    def client(self) -> Client:
        """The present client. Ask every time: it is replaced when the server closed it for good."""
        return self._client

    @property
    def is_connected(self) -> bool:
        return bool(self._client.is_connected)

    def listen(self, wake: Wake) -> None:
        """Ring `wake` whenever a connection was made or lost."""
        self._listeners.append(wake)

    def forget(self, wake: Wake) -> None:
        """Ring `wake` no longer."""
        self._listeners.remove(wake)

    def check(self) -> str | None:
        """For `/healthz`."""
        return None if self.is_connected else "the bus does not answer"

    @contextlib.asynccontextmanager
    async def deadline(self, doing: str, within_s: float = REQUEST_S) -> AsyncIterator[JetStreamContext]:
        """Talk to JetStream inside: raises `Unavailable` after `within_s` seconds, or at once when the
        server goes.
        """
        if not self.is_connected:
            raise Unavailable(f"the bus is away: could not {doing}")
        try:
            async with asyncio.timeout(within_s) as timeout:
                self._deadlines.add(timeout)
                try:
                    yield self._jetstream
                finally:
                    self._deadlines.discard(timeout)
        except nats.errors.MaxPayloadError as error:
            raise TooLarge(f"a message is larger than the bus takes: could not {doing}") from error
        except (TimeoutError, OSError, nats.errors.Error) as error:
            raise Unavailable(f"could not {doing}: {_why(error)}") from error

    async def publish(
        self,
        subject: str,
        body: msgspec.Struct | msgspec.Raw | Sequence[msgspec.Struct],
        *,
        message_id: str | None = None,
    ) -> None:
        """Publish as JSON and return once a stream has it. Raises `Unavailable`: it may be stored all the
        same.

        `message_id` lets the server drop a second copy that comes soon; handlers are idempotent, so it
        is a help.
        """
        headers: dict[str, Any] | None = None if message_id is None else {"Nats-Msg-Id": message_id}
        async with self.deadline(f"publish {subject}") as jetstream:
            await jetstream.publish(subject, msgspec.json.encode(body), headers=headers)

    async def has_message(self, stream: Stream, subject: str) -> bool:
        """Whether `stream` holds a message of `subject`: an order nobody has finished. Raises
        `Unavailable`.
        """
        async with self.deadline(f"look for {subject}") as jetstream:
            try:
                await jetstream.get_msg(stream, subject=subject)
            except nats.js.errors.NotFoundError:
                return False
            return True

    async def publish_logs(self, subject: str, lines: Sequence[LogLine]) -> None:
        """Send log lines, as `LogSender.send` promises: never raises, and what is dropped is told."""
        await self._log_sender.send(self._client, subject, lines)

    def bucket(self, bucket: Bucket, type: type[T]) -> KeyValue[T]:
        return KeyValue(self, bucket, type)

    async def close(self) -> None:
        """Send what waits, then close. Returns within a few seconds also when the server is away."""
        self._is_closing = True
        if self._renewal is not None:
            self._renewal.cancel()
        with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
            if self.is_connected:
                await self._client.flush(timeout=2)
        await _close(self._client)

    async def open(self) -> None:
        """Connect, as `connect` does, a bus that was made before."""
        self._client = await nats.connect(
            self._config.nats_url,
            user=self._config.nats_user,
            password=self._config.nats_password.reveal(),
            inbox_prefix=f"_INBOX_{self._config.nats_user}".encode(),
            name=self._config.nats_user,
            connect_timeout=2,
            reconnect_time_wait=_RECONNECT_S,
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            ping_interval=_PING_S,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_lost,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
        )
        self._is_closed.clear()
        self._jetstream = self._client.jetstream(timeout=REQUEST_S)
        await self._on_connected()

    async def _on_connected(self) -> None:
        self.connections += 1
        self._was_told = False
        log.info("bus_connected", connections=self.connections)
        self._ring()

    async def _on_lost(self) -> None:
        if not self._is_closing and not self._was_told:
            self._was_told = True
            log.warning("bus_lost")
        # Answers to what was asked on the old connection never come: end the waiting now.
        for timeout in self._deadlines:
            if not timeout.expired():  # that one is ending already, and would raise into the library's own task
                timeout.reschedule(asyncio.get_running_loop().time())
        self._ring()
        self._renew_when_stuck()

    async def _on_closed(self) -> None:
        # The library gives up for good on some words of the server, such as a refused password.
        self._is_closed.set()
        self._renew_when_stuck()

    def _renew_when_stuck(self) -> None:
        """See to it that a client which does not come back by itself is replaced."""
        is_under_way = self._renewal is not None and not self._renewal.done()
        if not self._is_closing and not is_under_way:
            self._renewal = asyncio.get_running_loop().create_task(self._renew(self._client))

    async def _renew(self, lost: Client) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STUCK_S):
                await self._is_closed.wait()
        if not lost.is_connected:
            log.warning("bus_renewed")
            await _close(lost)
            await self.open()

    async def _on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            log.error("bus_permission_denied", reason=str(error))
        elif isinstance(error, nats.errors.SlowConsumerError):
            self._note_dropped(error.subject)
        elif not self._was_told:
            self._was_told = True
            log.warning("bus_error", reason=_why(error))

    def _note_dropped(self, subject: str) -> None:
        """Told for each message: one line in a while is enough."""
        self._dropped += 1
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._dropped_told_at + _TELL_DROPPED_S:
            log.warning("bus_messages_dropped", subject=subject, count=self._dropped)
            self._dropped, self._dropped_told_at = 0, now_s

    def _ring(self) -> None:
        for wake in self._listeners:
            wake.ring()


async def _close(client: Client) -> None:
    with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
        await asyncio.wait_for(client.close(), 2.0)


def _why(error: BaseException) -> str:
    return "the bus did not answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
