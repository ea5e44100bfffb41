"""This file is the connection to the database: deadlines, the translation of its errors, schema and indexes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from services.api.store.documents import COLLECTIONS, Document
from services.core.errors import PermanentError, RevisionConflict, Unavailable

SCHEMA_VERSION = 1
WRITE_CONFLICT = 112
CALL_DEADLINE_S = 5.0
RESTORING = "restore"  # in `meta` while a backup is being written into the database

Database = AsyncIOMotorDatabase[Document]
Client = AsyncIOMotorClient[Document]

# Each query that a person or a loop waits for has its index here.
INDEXES: dict[str, list[tuple[list[tuple[str, int]], bool]]] = {
    "models": [
        ([("state.is_archived", 1), ("state.name", 1)], False),
        ([("state.project_id", 1)], False),
        ([("state.versions.deployment", 1)], False),
        ([("state.settings.scaling.max_instances", 1)], False),
        ([("state.changed_at", 1)], False),
    ],
    "projects": [
        ([("state.owner_name", 1), ("state.name", 1)], True),
        ([("state.owner_id", 1)], False),
        ([("state.collaborators.id", 1)], False),
        ([("state.tags.id", 1)], False),
    ],
    "environments": [([("state.name", 1)], True)],
    "people": [
        ([("state.user_name", 1)], True),
        ([("state.email", 1)], False),
        ([("state.api_keys.key_hash", 1)], False),
        ([("state.sessions.session_hash", 1)], False),
        ([("state.identity.subject", 1)], False),
    ],
    "organisations": [([("state.name", 1)], True), ([("state.members.person_id", 1)], False)],
    "events": [
        ([("aggregate_id", 1), ("revision", 1)], True),
        ([("at", 1)], False),
        ([("aggregate_id", 1), ("at", 1)], False),
        ([("actor.id", 1), ("at", 1)], False),
        ([("event.type", 1), ("at", 1)], False),
        ([("event.about_id", 1), ("at", 1)], False),
    ],
    "outbox": [([("aggregate_id", 1), ("revision", 1), ("place", 1)], True)],
}

_BY_ID = ("secrets", "unchecked", "checkpoints", "meta", "key_uses", "writers")


def connect(url: str, *, deadline_s: float = CALL_DEADLINE_S) -> Client:
    """A client that gives up on any call within `deadline_s` and never on the server."""
    milliseconds = int(deadline_s * 1000)
    return AsyncIOMotorClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=2000,
        connectTimeoutMS=2000,
        socketTimeoutMS=milliseconds,
        waitQueueTimeoutMS=milliseconds,
        maxPoolSize=20,
        retryWrites=False,  # the ledger itself tries again, and knows what was recorded
    )


@asynccontextmanager
async def answering(deadline_s: float = CALL_DEADLINE_S) -> AsyncIterator[None]:
    """Translates whatever the database does wrong inside the block, late answers included, to core errors."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except DuplicateKeyError:
        raise
    except OperationFailure as error:
        if error.code == WRITE_CONFLICT or error.has_error_label("TransientTransactionError"):
            raise RevisionConflict("another change came first", retry_after_s=0.02) from error
        raise Unavailable("the database refused an operation; try again soon") from error
    except (PyMongoError, TimeoutError) as error:
        raise Unavailable("the database does not answer; try again soon") from error


async def prepare(database: Database, *, may_be_unfinished: bool = False) -> None:
    """Creates collections and indexes. Raises PermanentError for a schema from the future, and for a database into
    which a backup was restored by half, if that may not be; Unavailable as ever.
    """
    async with answering(60.0):
        if not may_be_unfinished and await database["meta"].find_one({"_id": RESTORING}) is not None:
            raise PermanentError("a backup was not restored to its end here: restore it again, which begins anew")
        meta = await database["meta"].find_one({"_id": "schema"})
        if meta is not None and meta["version"] > SCHEMA_VERSION:
            raise PermanentError(
                f"the database has schema {meta['version']}, this program knows up to {SCHEMA_VERSION}: "
                "start a newer Modelway"
            )
        # Collections first: a transaction may not create one.
        existing = await database.list_collection_names()
        for name in {*INDEXES, *COLLECTIONS.values(), *_BY_ID} - set(existing):
            await database.create_collection(name)
        for name, indexes in INDEXES.items():
            for keys, is_unique in indexes:
                await database[name].create_index(keys, unique=is_unique)
        await database["events"].create_index([("sampled_at", 1)], sparse=True)  # of few: see history.py
        if meta is None or meta["version"] != SCHEMA_VERSION:
            await database["meta"].update_one({"_id": "schema"}, {"$set": {"version": SCHEMA_VERSION}}, upsert=True)
