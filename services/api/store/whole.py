"""This file is the whole of the database, read for a backup while others write, and written into an empty one.

Documents are kept as they are stored, to the byte: hashes are made of what was stored, whatever it means by now.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import bson

from services.api.store.checkpoints import unchecked_document
from services.api.store.database import RESTORING, Database
from services.api.store.documents import COLLECTIONS, Document
from services.api.store.evidence import stored_entry, stored_state
from services.api.store.paging import in_pages
from services.api.store.waiting import Waiting
from services.api.verify import StoredEntry, StoredState
from services.core.errors import Invalid, Refused, Unavailable

CHECKPOINTS, EVENTS, SECRETS, KEY_USES = "checkpoints", "events", "secrets", "key_uses"
KEPT = (CHECKPOINTS, *COLLECTIONS.values(), SECRETS, EVENTS, KEY_USES)
"""The collections that a backup holds."""

LEFT_OUT = ("outbox", "unchecked", "writers", "meta")
"""Those that it does not: what is on its way, which a restored platform works out anew, and what is about the rest."""

_OPTIONS: Any = bson.CodecOptions(tz_aware=True)
_KINDS = {collection: kind for kind, collection in COLLECTIONS.items()}
LONG_S = 60.0  # for one call: nobody waits for an answer here, and what is read may be large
_PAGE = 20  # states may be large
_LINKS = 1000
_AT_ONCE = 100  # more documents at once outgrow the small cache of the embedded database
_TRIES = 200  # to read a state together with its secrets while it changes all the time


class Stored(NamedTuple):
    """A document, and of which collection."""

    collection: str
    document: Document

    @property
    def state(self) -> StoredState:
        return stored_state(_KINDS[self.collection], self.document)

    @property
    def entry(self) -> StoredEntry:
        return stored_entry(self.document)

    @property
    def kind(self) -> str | None:
        """Of the aggregate whose state it is; None for what is no state."""
        return _KINDS.get(self.collection)

    def packed(self) -> bytes:
        packed: bytes = bson.encode({"in": self.collection, "document": self.document})
        return packed


def unpacked(data: bytes) -> Iterator[Stored]:
    """What `packed` made, one behind the other. Raises Invalid."""
    try:
        for found in bson.decode_iter(data, _OPTIONS):
            if found["in"] not in KEPT:
                raise Invalid(f"there is no collection {found['in']!r}")
            yield Stored(found["in"], found["document"])
    except (bson.errors.BSONError, struct.error, KeyError, TypeError) as error:
        raise Invalid(f"these are no documents: {error}") from error


SecretsOf = Callable[[StoredState], Iterable[str]]


class Whole:
    """Everything that is decided. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answering = Waiting()

    async def all_of(self, collection: str) -> AsyncIterator[Stored]:
        """Every document, in the order of their ids."""
        async for documents in self._pages(collection):
            for document in documents:
                yield Stored(collection, document)

    async def aggregates(self, kind: str, secrets_of: SecretsOf) -> AsyncIterator[tuple[Stored, list[Stored]]]:
        """Every state of a kind, each with the secrets that belong to the very revision it is read at."""
        async for documents in self._pages(COLLECTIONS[kind]):
            for found in await self._with_secrets(COLLECTIONS[kind], documents, secrets_of):
                yield found

    async def history(self, aggregate_id: str, *, up_to: int) -> AsyncIterator[Stored]:
        """The events of one aggregate up to a revision, oldest first."""
        for after in range(0, up_to, _LINKS):
            where = {"aggregate_id": aggregate_id, "revision": {"$gt": after, "$lte": min(after + _LINKS, up_to)}}
            async with self._answering(LONG_S):
                documents = await self._database[EVENTS].find(where).sort("revision", 1).to_list(None)
            for document in documents:
                yield Stored(EVENTS, document)

    async def refuse_unless_empty(self) -> None:
        """Returns for a database in which nothing was ever stored, or whose restoring was cut short. Raises Refused."""
        async with self._answering(LONG_S):
            if await self._database["meta"].find_one({"_id": RESTORING}) is not None:
                return
        for name in KEPT:
            async with self._answering(LONG_S):
                if await self._database[name].find_one({}, {"_id": 1}) is not None:
                    raise Refused("this platform is not empty: a backup is restored into one that was never started")

    async def begin(self) -> None:
        """Until `finish` no api starts on this database. What an earlier restoring left is taken away."""
        async with self._answering(LONG_S):
            await self._database["meta"].replace_one({"_id": RESTORING}, {"_id": RESTORING}, upsert=True)
        for name in (*KEPT, *LEFT_OUT[:-1]):
            async with self._answering(LONG_S):
                await self._database[name].delete_many({})

    async def put(self, collection: str, documents: Sequence[Document]) -> None:
        """Stores them; every state counts as changed since the last checkpoint."""
        await self._insert(collection, documents)
        if (kind := _KINDS.get(collection)) is not None:
            notes = [unchecked_document(kind, each["_id"], each["revision"], each["head"]) for each in documents]
            await self._insert("unchecked", notes)

    async def finish(self) -> None:
        async with self._answering(LONG_S):
            await self._database["meta"].delete_one({"_id": RESTORING})

    async def _insert(self, collection: str, documents: Sequence[Document]) -> None:
        for start in range(0, len(documents), _AT_ONCE):
            async with self._answering(LONG_S):
                await self._database[collection].insert_many(documents[start : start + _AT_ONCE])

    def _pages(self, collection: str) -> AsyncIterator[list[Document]]:
        return in_pages(self._database[collection], self._answering, page_size=_PAGE, deadline_s=LONG_S)

    async def _with_secrets(
        self, collection: str, documents: list[Document], secrets_of: SecretsOf
    ) -> list[tuple[Stored, list[Stored]]]:
        """What changed between the reading of a state and of its secrets is read again, until it did not."""
        found: list[tuple[Stored, list[Stored]]] = []
        for _ in range(_TRIES):
            states = [Stored(collection, document) for document in documents]
            wanted = {state.document["_id"]: [*secrets_of(state.state)] for state in states}
            secrets = await self._secrets([name for names in wanted.values() for name in names])
            moved = await self._moved(collection, documents) if any(wanted.values()) else set[str]()
            found += [
                (state, [secrets[each] for each in wanted[state.document["_id"]] if each in secrets])
                for state in states
                if state.document["_id"] not in moved
            ]
            if not moved:
                return found
            async with self._answering(LONG_S):
                documents = await self._database[collection].find({"_id": {"$in": sorted(moved)}}).to_list(None)
        raise Unavailable("something changes faster than it can be read; try again soon")

    async def _secrets(self, names: list[str]) -> dict[str, Stored]:
        if not names:
            return {}
        async with self._answering(LONG_S):
            documents = await self._database[SECRETS].find({"_id": {"$in": names}}).to_list(None)
        return {document["_id"]: Stored(SECRETS, document) for document in documents}

    async def _moved(self, collection: str, documents: list[Document]) -> set[str]:
        """The ids of those that have another revision by now."""
        async with self._answering(LONG_S):
            where = {"_id": {"$in": [each["_id"] for each in documents]}}
            now = await self._database[collection].find(where, {"revision": 1}).to_list(None)
        revisions = {each["_id"]: each["revision"] for each in now}
        return {each["_id"] for each in documents if revisions.get(each["_id"]) != each["revision"]}
