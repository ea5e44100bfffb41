"""This file holds the fixtures of api's tests: a store and a ledger on a real database, each test in its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest_asyncio

from services.api.ledger import MongoLedger
from services.api.store.database import connect, prepare
from services.api.store.store import MongoStore
from services.kit.clock import now
from tests.parts import Database

_names = count(1)


@pytest_asyncio.fixture
async def store(database: Database) -> AsyncIterator[MongoStore]:
    client = connect(database.url)
    named = client[f"test_{next(_names)}"]
    await prepare(named)
    yield MongoStore(client, named)
    await client.drop_database(named.name)
    client.close()


@pytest_asyncio.fixture
async def ledger(store: MongoStore) -> MongoLedger:
    return MongoLedger(store, deployer_id="local", clock=now)
