"""This file reads what is stored as it is stored: what cannot be read is evidence too, and no error.

Hashes are made of the documents themselves, not of what the platform takes them for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from services.api.store.database import Database
from services.api.store.documents import COLLECTIONS, Document, read, read_link
from services.api.store.paging import in_pages
from services.api.store.waiting import Waiting
from services.api.verify import StoredCheckpoint, StoredEntry, StoredState
from services.core.aggregates import AGGREGATES
from services.core.audit import content_hash
from services.core.checkpoint import Head, checkpoint_hash
from services.core.ids import AggregateId

_LONG_S = 60.0
_SAMPLED = 32  # events of the sample in one stretch of time
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


class MongoEvidence:
    """See `verify.Evidence`."""

    def __init__(self, database: Database, answering: Waiting) -> None:
        self._database = database
        self._answering = answering

    async def checkpoints(self) -> AsyncIterator[StoredCheckpoint]:
        async for document in self._all("checkpoints"):
            yield _checkpoint(document)

    async def states(self, aggregate: str) -> AsyncIterator[StoredState]:
        async for document in self._all(COLLECTIONS[aggregate]):
            yield stored_state(aggregate, document)

    async def state(self, aggregate: str, aggregate_id: str) -> StoredState | None:
        if aggregate not in COLLECTIONS:
            return None
        async with self._answering():
            document = await self._database[COLLECTIONS[aggregate]].find_one({"_id": aggregate_id})
        return None if document is None else stored_state(aggregate, document)

    async def entries(self, aggregate_id: str, *, up_to: int, page_size: int = 1000) -> AsyncIterator[StoredEntry]:
        for after in range(0, up_to, page_size):
            where = {"aggregate_id": aggregate_id, "revision": {"$gt": after, "$lte": min(after + page_size, up_to)}}
            async with self._answering():
                documents = await self._database["events"].find(where).sort("revision", 1).to_list(None)
            for document in documents:
                yield stored_entry(document)

    async def histories(self) -> AsyncIterator[str]:
        """By stretches of time: the database is silent for too long when it is asked for all events at once."""
        seen: set[str] = set()
        async for at in self._stretches():
            async with self._answering(_LONG_S):
                documents = await self._database["events"].find({"at": at}, {"aggregate_id": 1}).to_list(None)
            for aggregate_id in {str(each["aggregate_id"]) for each in documents} - seen:
                seen.add(aggregate_id)
                yield aggregate_id

    async def _stretches(self) -> AsyncIterator[Document]:
        """Conditions on an instant; every instant meets one. About as many events meet each: see history.py."""
        async with self._answering(_LONG_S):
            cursor = self._database["events"].find({"sampled_at": {"$gt": EARLIEST}}, {"_id": 0, "sampled_at": 1})
            sample = sorted(document["sampled_at"] for document in await cursor.to_list(None))
        cuts = sample[::_SAMPLED]
        for begin, end in zip((EARLIEST, *cuts), (*cuts, LATEST), strict=True):
            yield {"$gte": begin, "$lt": end}

    async def kind_of(self, aggregate_id: str) -> str:
        async with self._answering():
            document = await self._database["events"].find_one({"aggregate_id": aggregate_id}, {"aggregate": 1})
        return str((document or {}).get("aggregate", ""))

    async def _all(self, collection: str) -> AsyncIterator[Document]:
        async for documents in in_pages(self._database[collection], self._answering):
            for document in documents:
                yield document


def stored_state(aggregate: str, document: Document) -> StoredState:
    try:
        state = read(document["state"], AGGREGATES[aggregate].state)
        revision = document["revision"] if document["revision"] == state.revision else 0
    except _UNREADABLE:
        state, revision = None, 0
    return StoredState(id=document["_id"], revision=revision, head=document.get("head", ""), state=state)


def stored_entry(document: Document) -> StoredEntry:
    content = {name: value for name, value in document.items() if name not in ("_id", "previous_hash", "hash")}
    previous_hash = str(document.get("previous_hash"))
    try:
        sampled_at = content.pop("sampled_at", document["at"])
        link = read_link(document) if sampled_at == document["at"] else None
        computed = content_hash({**content, "id": document["_id"]}, previous_hash=previous_hash)
    except _UNREADABLE:
        link, computed = None, ""
    return StoredEntry(
        revision=document["revision"],
        previous_hash=previous_hash,
        hash=str(document.get("hash")),
        computed_hash=computed,
        entry=None if link is None else link.entry,
    )


def _checkpoint(document: Document) -> StoredCheckpoint:
    previous_hash = str(document.get("previous_hash"))
    content = {name: value for name, value in document.items() if name not in ("_id", "previous_hash", "hash")}
    heads: dict[AggregateId, Head] | None
    try:
        computed = checkpoint_hash({**content, "number": document["_id"]}, previous_hash=previous_hash)
        heads = {aggregate_id: Head(*head) for aggregate_id, head in document["heads"].items()}
    except _UNREADABLE:
        computed, heads = "", None
    return StoredCheckpoint(
        number=document["_id"],
        previous_hash=previous_hash,
        hash=str(document.get("hash")),
        computed_hash=computed,
        heads=heads,
    )
