"""This file is a live local copy of a bucket: watched for speed, listed again and again for truth."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from services.core.errors import Unavailable
from services.core.records import Epoch, Record, Removed
from services.core.subjects import DECIDED, EPOCH
from services.kit.bucket import KeyValue, Mark, supersedes
from services.kit.process import Stop
from services.kit.wake import Wake

log = structlog.get_logger()

PENDING_BYTES = 16 << 20  # of a watch; what comes faster than it is taken is dropped, and found by the next listing

T = TypeVar("T", bound=Record)
Receive = Callable[[str, bytes, int], None]  # subject, data, sequence


class Mirror(Generic[T]):
    """What a bucket holds, as far as this process knows.

    Nothing is ever taken back: an entry older than the one applied is refused, and a key that merely
    vanished is kept, for absence means "unknown". Only a tombstone removes. With `forget_absent=True`
    (heartbeats, which expire) a key that a complete listing lacks is forgotten.

    `changed` has one waiter. Several mirrors may share one `wake`, so that a controller waits for any of
    them.
    """

    def __init__(
        self,
        bucket: KeyValue[T],
        *,
        list_every_s: float = 2.0,
        forget_absent: bool = False,
        wake: Wake | None = None,
    ) -> None:
        self._bucket = bucket
        self._bus = bucket.bus
        self._list_every_s = list_every_s
        self._forget_absent = forget_absent
        self._wake = wake or Wake()
        self._entries: dict[str, T] = {}
        self._removed: dict[str, Removed] = {}
        self._epoch: Epoch | None = None  # the newest ever seen
        self._has_epoch = False  # the bucket holds that epoch, or a newer one, now
        self._listed: Mark | None = None
        self._watch = _Watch(bucket, self._receive)
        self._watched_sequence = 0
        self.has_listed = False
        self.changes = 0  # grows with every change of `entries`: what was made from them is good until then

    @property
    def entries(self) -> Mapping[str, T]:
        """Live, without tombstones."""
        return MappingProxyType(self._entries)

    @property
    def removed(self) -> Mapping[str, Removed]:
        """The tombstones seen, live."""
        return MappingProxyType(self._removed)

    @property
    def is_whole(self) -> bool:
        """True while the bucket is known to hold all there is: listed, and for a decided bucket with its
        epoch.

        Until then, and again while an emptied or rolled back bucket is being filled, controllers only add.
        """
        return self.has_listed and (self._has_epoch or self._bucket.bucket not in DECIDED)

    async def changed(self, timeout_s: float) -> bool:
        """Wait for a change since the last true answer, or for `timeout_s` seconds. Many changes count as
        one.
        """
        return await self._wake.wait(timeout_s)

    async def run(self, stop: Stop) -> None:
        """Keep up until `stop`. Never raises for an absent bus or bucket: keeps what it has, and comes
        back.
        """
        nudge = Wake()
        self._bus.listen(nudge)
        was_known = True
        try:
            while not stop.is_set:
                try:
                    await self._refresh()
                    was_known = True
                except Unavailable as error:
                    if was_known:
                        log.warning("mirror_stale", bucket=self._bucket.bucket, reason=error.reason)
                    was_known = False
                await self._pause(stop, nudge)
        finally:
            self._bus.forget(nudge)
            await self._watch.close()

    async def _pause(self, stop: Stop, nudge: Wake) -> None:
        # A lost connection nudges too; then there is nothing to do until it is back, or the time is over.
        if await nudge.wait_or(stop, self._list_every_s) and not self._bus.is_connected:
            await nudge.wait_or(stop, self._list_every_s)

    async def _refresh(self) -> None:
        mark = await self._bucket.mark()
        if not self._is_watched(mark):
            self._watched_sequence = 0
            await self._watch.open()
            mark = await self._bucket.mark()
            # What is there by now is the listing's to find; everything after this the watch has to bring.
            self._watched_sequence = max(self._watched_sequence, mark.last_sequence)
            self._listed = None
        if mark != self._listed:
            await self._list()

    def _is_watched(self, mark: Mark) -> bool:
        """False when the watch has not brought what the last listing found, or belongs to a bucket that is
        gone: it may fall silent without an error.
        """
        if not self._watch.is_open or self._listed is None:
            return False
        return mark.created == self._listed.created and self._watched_sequence >= self._listed.last_sequence

    async def _list(self) -> None:
        listing = await self._bucket.listing()
        self._listed = listing.mark
        first = not self.has_listed
        self.has_listed = True
        epoch = listing.entries.get(EPOCH)
        was_whole, self._has_epoch = self.is_whole, False
        has_changed = self._apply_epoch(epoch) if isinstance(epoch, Epoch) else False
        for key, value in listing.entries.items():
            has_changed |= self._apply(key, value)
        if self._forget_absent:
            has_changed |= self._forget(set(listing.entries))
        if has_changed or first or was_whole != self.is_whole:
            self._wake.ring()

    def _receive(self, subject: str, data: bytes, sequence: int) -> None:
        self._watched_sequence = max(self._watched_sequence, sequence)
        key = self._bucket.key_of(subject)
        value = self._bucket.decode(key, data) if data else None
        if value is None:
            return
        has_changed = self._apply_epoch(value) if isinstance(value, Epoch) else self._apply(key, value)
        if has_changed:
            self._wake.ring()

    def _apply_epoch(self, epoch: Epoch) -> bool:
        if self._epoch is not None and epoch.revision < self._epoch.revision:
            return False  # of a bucket that was rolled back
        was_whole = self.is_whole
        self._epoch, self._has_epoch = epoch, True
        return self.is_whole != was_whole

    def _apply(self, key: str, value: T | Removed | Epoch) -> bool:
        if isinstance(value, Epoch):
            return False
        applied = self._entries.get(key) or self._removed.get(key)
        if applied is not None and not supersedes(value, applied):
            return False
        if isinstance(value, Removed):
            self._entries.pop(key, None)
            self._removed[key] = value
        else:
            self._removed.pop(key, None)
            self._entries[key] = value
        self.changes += 1
        return True

    def _forget(self, present: set[str]) -> bool:
        gone = self._entries.keys() - present
        for key in gone:
            del self._entries[key]
            self.changes += 1
        for key in self._removed.keys() - present:
            del self._removed[key]
        return bool(gone)


class _Watch(Generic[T]):
    """A subscription to what is put from now on. It may die unnoticed; whoever uses it also lists."""

    def __init__(self, bucket: KeyValue[T], receive: Receive) -> None:
        self._bucket = bucket
        self._bus = bucket.bus
        self._receive = receive
        self._subscription: Subscription | None = None
        self._consumer: str | None = None
        self._connection = 0

    @property
    def is_open(self) -> bool:
        """False also after a new connection: the server may have forgotten us."""
        return self._subscription is not None and self._connection == self._bus.connections

    async def open(self) -> None:
        """Begin anew. Raises `Unavailable`."""
        await self.close()
        async with self._bus.deadline(f"watch {self._bucket.bucket}") as jetstream:
            self._connection = self._bus.connections
            client = self._bus.client
            inbox = client.new_inbox()
            self._subscription = await client.subscribe(inbox, cb=self._on_message, pending_bytes_limit=PENDING_BYTES)
            config = self._bucket.watching(inbox, api.DeliverPolicy.NEW)
            self._consumer = (await jetstream.add_consumer(self._bucket.stream, config)).name

    async def close(self) -> None:
        """Leave nothing on the server, as far as it can be reached."""
        subscription, self._subscription = self._subscription, None
        consumer, self._consumer = self._consumer, None
        with contextlib.suppress(nats.errors.Error, OSError):
            if subscription is not None:
                await subscription.unsubscribe()
        if consumer is not None:
            with contextlib.suppress(Unavailable, nats.errors.Error):
                async with self._bus.deadline("end a watch", 1.0) as jetstream:
                    await jetstream.delete_consumer(self._bucket.stream, consumer)

    async def _on_message(self, message: Msg) -> None:
        if message.reply:  # flow control and heartbeats have none of ours
            self._receive(message.subject, message.data, message.metadata.sequence.stream)
