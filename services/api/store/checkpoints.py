"""This file stores the chain of checkpoints, and which histories have changed since the newest.

What changed is noted by the very transaction that changes it, and struck off by the one that stores the checkpoint: no
clock decides what a checkpoint holds, and a process may die anywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from services.api.store.database import Client, Database
from services.api.store.documents import COLLECTIONS, Document
from services.api.store.waiting import Waiting
from services.core.checkpoint import Checkpoint, Head, Seal
from services.core.errors import RevisionConflict
from services.core.ids import AggregateId

_STRUCK_OFF_AT_ONCE = 50  # SecantusDB takes four times as long for twice as many from here on
_DEADLINE_S = 30.0
_PAGE = 200


class Unchecked(msgspec.Struct, frozen=True, kw_only=True):
    """A change that no checkpoint has yet."""

    id: str
    aggregate_id: AggregateId
    head: Head


class MongoCheckpoints:
    """See `checkpointer.Checkpoints`."""

    def __init__(self, client: Client, database: Database, answering: Waiting) -> None:
        self._client = client
        self._database = database
        self._answering = answering

    async def newest(self) -> Seal | None:
        async with self._answering():
            cursor = self._database["checkpoints"].find({}, {"at": 1, "hash": 1}).sort("_id", -1).limit(1)
            found = await cursor.to_list(1)
        return Seal(number=found[0]["_id"], at=found[0]["at"], hash=found[0]["hash"]) if found else None

    async def unchecked(self, *, limit: int) -> list[Unchecked]:
        async with self._answering():
            documents = await self._database["unchecked"].find({}).limit(limit).to_list(limit)
        return [
            Unchecked(
                id=each["_id"],
                aggregate_id=each["aggregate_id"],
                head=Head(each["aggregate"], each["revision"], each["head"]),
            )
            for each in documents
        ]

    async def add(self, checkpoint: Checkpoint, seen: Sequence[Unchecked]) -> bool:
        """Stores it and strikes off what it has seen. False, and nothing stored: another process was first."""
        try:
            async with self._answering(_DEADLINE_S):
                await self._transact(checkpoint, [each.id for each in seen])
        except (DuplicateKeyError, RevisionConflict):
            return False
        return True

    async def _transact(self, checkpoint: Checkpoint, ids: Sequence[str]) -> None:
        async with await self._client.start_session() as session, session.start_transaction():
            await self._database["checkpoints"].insert_one(checkpoint_document(checkpoint), session=session)
            for start in range(0, len(ids), _STRUCK_OFF_AT_ONCE):
                where = {"_id": {"$in": list(ids[start : start + _STRUCK_OFF_AT_ONCE])}}
                await self._database["unchecked"].delete_many(where, session=session)

    async def note_what_is_ahead(self) -> None:
        seen: dict[str, int] = {}
        async for document in self._pages("checkpoints", 0, {"heads": 1}):
            for aggregate_id, (_, revision, _) in document["heads"].items():
                seen[aggregate_id] = max(seen.get(aggregate_id, 0), revision)
        for aggregate, collection in COLLECTIONS.items():
            async for each in self._pages(collection, "", {"revision": 1, "head": 1}):
                if seen.get(each["_id"], 0) < each["revision"]:
                    note = unchecked_document(aggregate, each["_id"], each["revision"], each["head"])
                    async with self._answering():
                        await self._database["unchecked"].replace_one({"_id": note["_id"]}, note, upsert=True)

    async def _pages(self, collection: str, after: Any, fields: Document) -> AsyncIterator[Document]:
        while True:
            async with self._answering():
                cursor = self._database[collection].find({"_id": {"$gt": after}}, fields).sort("_id", 1).limit(_PAGE)
                documents = await cursor.to_list(_PAGE)
            for document in documents:
                yield document
            if len(documents) < _PAGE:
                return
            after = documents[-1]["_id"]


def unchecked_document(aggregate: str, aggregate_id: str, revision: int, head: str) -> Document:
    return {
        "_id": f"{aggregate_id}.{revision}",
        "aggregate": aggregate,
        "aggregate_id": aggregate_id,
        "revision": revision,
        "head": head,
    }


def checkpoint_document(checkpoint: Checkpoint) -> Document:
    return {
        "_id": checkpoint.number,
        "at": checkpoint.at,
        "heads": {aggregate_id: list(head) for aggregate_id, head in checkpoint.heads.items()},
        "previous_hash": checkpoint.previous_hash,
        "hash": checkpoint.hash,
    }
