"""This file is the one writer of some entries: it numbers them, and puts again what the bucket lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar, cast

import structlog

from services.core.errors import Unavailable
from services.core.records import Record, Removed
from services.kit.bucket import TOMBSTONE_S, KeyValue, Mark

log = structlog.get_logger()

T = TypeVar("T", bound=Record)

_REMEMBER_S = TOMBSTONE_S / 2  # a tombstone: less than it lasts, so that an expired one is not put again
_TRIES = 4  # to get past what is stored; more means that somebody else writes this key all the time


class Counter:
    """A producer's counter: grows with every call, over restarts too, and past whatever it was shown."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Nanoseconds since 1970, or one more than before if the clock was set back."""
        self._last = max(self._last + 1, time.time_ns())
        return self._last

    def pass_by(self, revision: int) -> None:
        """From now on be larger than `revision`, also when the clock is behind the one that made it."""
        self._last = max(self._last, revision)


class Producer(Generic[T]):
    """The one writer of its keys. Remembers what it published; `sweep` brings back what the bucket has
    lost.
    """

    def __init__(self, bucket: KeyValue[T]) -> None:
        self._bucket = bucket
        self._counter = Counter()
        self._published: dict[str, T | Removed] = {}
        self._removed_at: dict[str, float] = {}
        self._clean: Mark | None = None  # how the bucket looked when a sweep found everything in place

    @property
    def published(self) -> Mapping[str, T | Removed]:
        """What should stand in the bucket, as far as this process said so."""
        return MappingProxyType(self._published)

    async def publish(self, key: str, make: Callable[[int], T]) -> T:
        """Put `make(counter)` and return it. Raises `Unavailable`; it is remembered then, and a sweep puts
        it.
        """
        self._removed_at.pop(key, None)
        return cast("T", await self._put(key, make))

    async def remove(self, key: str) -> Removed:
        """Put a tombstone and return it. Raises `Unavailable`, as `publish` does."""
        self._removed_at[key] = time.monotonic()
        return cast("Removed", await self._put(key, lambda revision: Removed(revision=revision)))

    def drop(self, key: str) -> None:
        """Remember `key` no longer. What stands in the bucket stays there."""
        self._published.pop(key, None)
        self._removed_at.pop(key, None)

    async def sweep(self) -> int:
        """Put again what the bucket lacks or has in an older form; returns how many. Raises `Unavailable`.

        Cheap while nothing changed, so call it every few seconds.
        """
        for key in [key for key, at in self._removed_at.items() if time.monotonic() - at > _REMEMBER_S]:
            self.drop(key)
        mark = await self._bucket.mark()
        if mark == self._clean:
            return 0
        listing = await self._bucket.listing()
        lost = {k: mine for k, mine in self._published.items() if _is_lost(listing.entries.get(k), mine)}
        for key, value in lost.items():
            await self._bucket.put(key, value)
        self._clean = listing.mark if not lost else None
        if lost:
            log.warning("entries_put_again", bucket=self._bucket.bucket, count=len(lost))
        return len(lost)

    async def _put(self, key: str, make: Callable[[int], T | Removed]) -> T | Removed:
        for _ in range(_TRIES):
            value = make(self._counter.next())
            self._published[key] = value
            self._clean = None
            if await self._bucket.put(key, value):
                return value
            stored = await self._bucket.get(key)
            if stored is not None:
                self._counter.pass_by(stored.revision)
        raise Unavailable(f"somebody else writes {self._bucket.bucket}.{key}")


def _is_lost(stored: Record | None, mine: Record) -> bool:
    return stored is None or stored.revision < mine.revision
