"""This file is one bucket of typed entries: compare-and-set, reading, and listing it whole.

Only what a service's NATS user may do is done here: a reader asks for `STREAM.INFO`, `STREAM.MSG.GET`
and short-lived consumers of the bucket's stream; a writer also publishes under the bucket's subject.
`kit.setup` creates buckets.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from services.core.errors import Invalid, Unavailable
from services.core.ids import is_bus_token
from services.core.records import Epoch, Record, Removed
from services.core.subjects import EPOCH, Bucket

if TYPE_CHECKING:
    from services.kit.bus import Bus

log = structlog.get_logger()

T = TypeVar("T", bound=Record)

TOMBSTONE_S = 86_400.0  # after which the server takes a tombstone away: nobody has to be allowed to purge
_TRIES = 8  # of a compare-and-set before saying that the bucket is too busy
_WRONG_SEQUENCE = frozenset({10071, 10164})  # JetStream: "wrong last sequence", with and without the number
_NO_MESSAGE = 10037  # JetStream: "no message found", where 10059 is "stream not found"
_IDLE_S = 20.0  # after which the server forgets a listing consumer whose process died
_NOTHING = 0  # the sequence of a key that has no entry


class Mark(NamedTuple):
    """What a bucket's stream looks like from outside: while it is the same, so are the entries."""

    created: datetime | None  # a bucket that was deleted and made again has another
    last_sequence: int
    messages: int


class Listing(NamedTuple, Generic[T]):
    """All entries of a bucket at one moment, the epoch included."""

    mark: Mark
    entries: dict[str, T | Removed | Epoch]


def supersedes(new: Record, old: Record) -> bool:
    """True if `new` should take the place of `old` under the same key.

    A larger revision wins. At the same revision the same decision may be spelled anew, with a field
    more; but a tombstone stays.
    """
    if new.revision != old.revision:
        return new.revision > old.revision
    return new != old and not isinstance(old, Removed)


class KeyValue(Generic[T]):
    """One bucket. Entries decode to `T`, `Removed` or `Epoch`; one that does not is logged and left out.

    A tombstone expires after `tombstone_s`: then nothing is known of its key any more.
    """

    def __init__(self, bus: Bus, bucket: Bucket, type: type[T], *, tombstone_s: float = TOMBSTONE_S) -> None:
        self._bus = bus
        self._tombstone_s = tombstone_s
        self.bucket = bucket
        self._decoder: msgspec.json.Decoder[T | Removed | Epoch] = msgspec.json.Decoder(type | Removed | Epoch)
        self._stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."
        self._written: dict[str, tuple[Record, int]] = {}  # what this process put last, and its sequence

    @property
    def bus(self) -> Bus:
        return self._bus

    async def put(self, key: str, value: T | Removed | Epoch) -> bool:
        """Compare-and-set: true once stored. False, and nothing written, if the bucket has something newer
        or the very same. Raises `Unavailable`: it may be stored all the same; putting it again settles
        that.
        """
        _check_key(key)
        async with self._bus.deadline(f"put {self.bucket}.{key}") as jetstream:
            for _ in range(_TRIES):
                old, sequence = await self._known(jetstream, key)
                if old is not None and not supersedes(value, old):
                    # The memory of this process may be ahead of a bucket that lost its own: look before
                    # saying no.
                    old, sequence = await self._stored(jetstream, key)
                    if old is not None and not supersedes(value, old):
                        return False
                if stored_at := await self._write(jetstream, key, value, sequence):
                    if not isinstance(value, Removed):
                        self._written[key] = (value, stored_at)
                    return True
        raise Unavailable(f"too many writers at {self.bucket}.{key}")

    async def get(self, key: str) -> T | Removed | None:
        """The entry, the tombstone, or None for "unknown". Raises `Unavailable`."""
        _check_key(key)
        async with self._bus.deadline(f"get {self.bucket}.{key}") as jetstream:
            value, _ = await self._stored(jetstream, key)
            return cast("T | Removed | None", value)

    async def list(self) -> dict[str, T | Removed]:
        """All entries and tombstones, without the epoch. Raises `Unavailable`, also when there is no such
        bucket.
        """
        entries = (await self.listing()).entries
        return {key: cast("T | Removed", value) for key, value in entries.items() if key != EPOCH}

    async def mark(self) -> Mark:
        """Cheap to ask: one request. Raises `Unavailable`, also when there is no such bucket."""
        async with self._bus.deadline(f"look at {self.bucket}") as jetstream:
            return await self._mark(jetstream)

    async def listing(self) -> Listing[T]:
        """Everything in the bucket. Raises `Unavailable`, also when there is no such bucket."""
        async with self._bus.deadline(f"list {self.bucket}") as jetstream:
            mark = await self._mark(jetstream)
            entries: dict[str, T | Removed | Epoch] = {}
            if mark.messages:
                for subject, data in await self._read_all(jetstream, mark):
                    self._collect(entries, subject, data)
            return Listing(mark, entries)

    def key_of(self, subject: str) -> str:
        return subject.removeprefix(self._prefix)

    def decode(self, key: str, data: bytes) -> T | Removed | Epoch | None:
        """The entry, or None for what cannot be read."""
        try:
            return self._decoder.decode(data)
        except msgspec.MsgspecError as error:
            log.error("entry_unreadable", bucket=self.bucket, key=key, reason=str(error))  # noqa: TRY400
            return None

    def watching(self, inbox: str, policy: api.DeliverPolicy) -> api.ConsumerConfig:
        """How to ask for entries to be sent to `inbox`: without acknowledgement, forgotten soon when nobody
        is there.
        """
        return api.ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=policy,
            filter_subject=f"{self._prefix}>",
            ack_policy=api.AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_IDLE_S,
        )

    @property
    def stream(self) -> str:
        return self._stream

    async def _known(self, jetstream: JetStreamContext, key: str) -> tuple[Record | None, int]:
        """What this process wrote last, taken out; else what is stored."""
        written = self._written.pop(key, None)
        return written if written is not None else await self._stored(jetstream, key)

    async def _stored(self, jetstream: JetStreamContext, key: str) -> tuple[Record | None, int]:
        try:
            message = await jetstream.get_msg(self._stream, subject=self._prefix + key)
        except nats.js.errors.NotFoundError as error:
            if error.err_code == _NO_MESSAGE:
                return None, _NOTHING
            raise
        return self.decode(key, message.data) if message.data else None, message.seq or _NOTHING

    async def _write(self, jetstream: JetStreamContext, key: str, value: Record, sequence: int) -> int | None:
        """The new sequence, or None when another writer was first."""
        headers = {api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(sequence)}
        if isinstance(value, Removed):
            headers[api.Header.MSG_TTL.value] = f"{self._tombstone_s:.0f}s"
        try:
            stored = await jetstream.publish(self._prefix + key, msgspec.json.encode(value), headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code in _WRONG_SEQUENCE:
                return None
            raise
        return stored.seq

    async def _mark(self, jetstream: JetStreamContext) -> Mark:
        info = await jetstream.stream_info(self._stream)
        return Mark(info.created, info.state.last_seq, info.state.messages)

    async def _read_all(self, jetstream: JetStreamContext, mark: Mark) -> builtins.list[tuple[str, bytes]]:
        found: builtins.list[tuple[str, bytes]] = []
        is_read = asyncio.Event()
        newest = 0

        async def read(message: Msg) -> None:
            nonlocal newest
            found.append((message.subject, message.data))
            meta = message.metadata
            newest = meta.sequence.consumer
            if meta.num_pending == 0 or meta.sequence.stream >= mark.last_sequence:
                is_read.set()

        client = self._bus.client
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=read)
        consumer = None
        try:
            config = self.watching(inbox, api.DeliverPolicy.LAST_PER_SUBJECT)
            info = await jetstream.add_consumer(self._stream, config)
            consumer = info.name
            delivered = info.delivered.consumer_seq if info.delivered else 0
            if (info.num_pending or 0) + delivered:
                await is_read.wait()
            if len(found) < newest:  # the library drops what we are too slow for
                raise Unavailable(f"too slow to list {self.bucket}: {newest - len(found)} entries were dropped")
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
                if consumer is not None:
                    await jetstream.delete_consumer(self._stream, consumer)
        return found

    def _collect(self, entries: dict[str, T | Removed | Epoch], subject: str, data: bytes) -> None:
        key = self.key_of(subject)
        value = self.decode(key, data) if data else None
        if value is not None:
            entries[key] = value


def _check_key(key: str) -> None:
    if not all(is_bus_token(part) for part in key.split(".")):
        raise Invalid(f"not a key of a bucket: {key!r}")
