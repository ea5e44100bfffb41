"""This file is reading the history of everything by pages: the newest first, from anywhere, by who, what and when.

SecantusDB reads all that a range of an index matches, whatever the limit. So every question is about a short stretch
of time, and the stretches are cut so that about as many events happened in each: at the instants of a sample.
Events from before there was one are a single stretch.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from services.api.ports import EntryQuery, place_of
from services.api.store.database import Database
from services.api.store.documents import ONE_IN, Document, read_link
from services.api.store.waiting import Waiting
from services.core.audit import Link
from services.core.changes import TELLING
from services.core.events import Entry, what_happened
from services.kit.clock import now

_AGAIN_AFTER = timedelta(seconds=5)
_MOST_STRETCHES = 1 << 20
_GROWTH = 4  # more reads too much behind a silence, less asks too often of one aggregate among many
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TELLING = [kind.__struct_config__.tag for kind in TELLING]


class History:
    """The events as stored."""

    def __init__(self, database: Database, answering: Waiting) -> None:
        self._events = database["events"]
        self._answering = answering
        self._sample: list[datetime] = []  # in order
        self._sampled_at: datetime | None = None
        self._sampling = asyncio.Lock()

    async def page(self, query: EntryQuery, *, limit: int) -> list[Link]:
        """The first `limit` entries that `query` asks for: newest first, those of one instant by their places."""
        await self._take_sample()
        found: list[Link] = []
        end, stretches = _end(query), limit // ONE_IN + 1
        while len(found) < limit:
            begin = self._begin(end, stretches)
            if query.since is not None and (begin is None or begin <= query.since):
                begin = query.since
            links = await self._between(query, begin, end)
            found.extend(links)
            if begin is None or begin == query.since:
                break
            end = begin
            stretches = _next(stretches, len(links), limit - len(found))
        return found[:limit]

    async def telling(self, aggregate_id: str, *, up_to: int) -> list[Entry]:
        """What tells of an aggregate's settings, oldest first."""
        where = {"aggregate_id": aggregate_id, "revision": {"$lte": up_to}, "event.type": {"$in": _TELLING}}
        async with self._answering():
            documents = await self._events.find(where).sort("revision", 1).to_list(None)
        return [read_link(document).entry for document in documents]

    def _begin(self, end: datetime | None, stretches: int) -> datetime | None:
        """The instant that lies so many stretches before `end`; None: there is none that early."""
        place = len(self._sample) if end is None else bisect_left(self._sample, end)
        return self._sample[place - stretches] if place >= stretches else None

    async def _between(self, query: EntryQuery, begin: datetime | None, end: datetime | None) -> list[Link]:
        """All that `query` asks for from `begin` until before `end`, newest first."""
        if begin is not None and end is not None and begin >= end:
            return []
        at = {name: instant for name, instant in (("$gte", begin), ("$lt", end)) if instant is not None}
        documents: list[Document] = []
        for where in _questions(query):
            async with self._answering():
                documents += await self._events.find({**where, **({"at": at} if at else {})}).to_list(None)
        links = [link for link in map(read_link, documents) if _is_asked_for(query, link.entry)]
        return sorted(links, key=lambda link: place_of(link.entry), reverse=True)

    async def _take_sample(self) -> None:
        async with self._sampling:
            asked_at = now()
            if self._sampled_at is not None and asked_at - self._sampled_at < _AGAIN_AFTER:
                return
            newest = self._sample[-1] if self._sample else _EARLIEST
            async with self._answering():
                cursor = self._events.find({"sampled_at": {"$gt": newest}}, {"_id": 0, "sampled_at": 1})
                self._sample += sorted(document["sampled_at"] for document in await cursor.to_list(None))
            self._sampled_at = asked_at


def _questions(query: EntryQuery) -> list[Document]:
    """What the database is asked, each with an index of its own: of two conditions it may use the wrong one."""
    if query.aggregate_id is not None:
        return [{"aggregate_id": query.aggregate_id}, {"event.about_id": query.aggregate_id}]
    if query.types is not None:
        return [{"event.type": kind} for kind in query.types]
    return [{}] if query.actor_id is None else [{"actor.id": query.actor_id}]


def _is_asked_for(query: EntryQuery, entry: Entry) -> bool:
    return (
        (query.before is None or place_of(entry) < query.before)
        and (query.actor_id is None or entry.actor.id == query.actor_id)
        and (query.types is None or what_happened(entry.event) in query.types)
    )


def _end(query: EntryQuery) -> datetime | None:
    """The first instant that is too late."""
    ends: Sequence[datetime | None] = (query.until, None if query.before is None else query.before.at + _MILLISECOND)
    return min((end for end in ends if end is not None), default=None)


def _next(stretches: int, found: int, wanted: int) -> int:
    """How many stretches to ask for next, when `found` were in so many. `_GROWTH` times as many at most."""
    most = min(_GROWTH * stretches, _MOST_STRETCHES)
    return most if found == 0 else min(max(1, stretches * wanted // found + 1), most)
