"""What a killed process had under way locks nobody out: the next one, or any other that knows of its death, ends it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from services.api.ledger import MongoLedger
from services.api.ports import ServiceSeen
from services.api.store.database import connect
from services.api.store.orphans import Orphans
from services.api.store.store import MongoStore
from services.api.store.waiting import Waiting
from services.api.undertaker import Undertaker
from services.core.aggregates import PERSON
from services.core.commands import AddPerson, DescribePerson
from services.core.errors import RevisionConflict
from services.core.ids import AggregateId
from services.kit.clock import now
from tests.makers import PERSON as ADA
from tests.parts import Database

WHO = AggregateId("5" * 24)


class Beats:
    """Who is heard of."""

    def __init__(self, *alive: str, is_connected: bool = True) -> None:
        self._alive = alive
        self._is_connected = is_connected

    def services(self) -> Sequence[ServiceSeen]:
        at = now()
        known = ("api-1", "api-2")
        return [
            ServiceSeen(service="api", service_id=each, last_seen_at=at, started_at=at, is_alive=each in self._alive)
            for each in known
        ]

    @property
    def is_bus_connected(self) -> bool:
        return self._is_connected


@pytest_asyncio.fixture
async def locked(database: Database, store: MongoStore, ledger: MongoLedger) -> AsyncIterator[Any]:
    """A session of api-2, which has changed somebody in a transaction that nobody is left to end."""
    await ledger.execute(PERSON, WHO, AddPerson(user_name="ada"), actor=ADA)
    client = connect(database.url)
    theirs = client[store._database.name]
    session = await client.start_session()
    await Orphans(client, theirs, Waiting(), process="api-2").note(session)
    session.start_transaction()
    await theirs["people"].update_one({"_id": WHO}, {"$set": {"revision": 99}}, session=session)
    yield session
    with contextlib.suppress(Exception):
        await session.abort_transaction()
    client.close()


@pytest.fixture
def ours(store: MongoStore) -> MongoStore:
    return MongoStore(store._client, store._database, process="api-1")


async def change(store: MongoStore, name: str) -> None:
    """One try, as the ledger makes many."""
    ledger = MongoLedger(store, deployer_id="local", clock=now)
    command = DescribePerson(email="", full_name=name)
    await ledger._try(PERSON, WHO, command, ADA, f"command-{name}", {})  # type: ignore[arg-type]


async def test_what_a_dead_process_locked_is_free_once_another_one_sees_to_it(ours: MongoStore, locked: Any) -> None:
    with pytest.raises(RevisionConflict):
        await change(ours, "too early")
    await Undertaker(ours.orphans, Beats("api-1"), process="api-1").look()
    await change(ours, "free")
    assert (await ours.load(PERSON, WHO)).full_name == "free"
    assert await ours.orphans.processes() == set()


async def test_it_is_free_as_well_when_the_process_itself_is_back(
    store: MongoStore, ours: MongoStore, locked: Any
) -> None:
    back = MongoStore(store._client, store._database, process="api-2")
    await back.orphans.end({"api-2"})
    await change(ours, "free")


@pytest.mark.parametrize(
    "beats",
    [Beats("api-1", "api-2"), Beats("api-2"), Beats(), Beats("api-1", is_connected=False)],
    ids=["both live", "we are not heard", "nobody is heard", "the bus is away"],
)
async def test_who_may_live_is_left_alone(ours: MongoStore, locked: Any, beats: Beats) -> None:
    await Undertaker(ours.orphans, beats, process="api-1").look()
    with pytest.raises(RevisionConflict):
        await change(ours, "locked")


async def test_our_own_sessions_are_never_ended(ours: MongoStore, ledger: MongoLedger) -> None:
    await ledger.execute(PERSON, WHO, AddPerson(user_name="ada"), actor=ADA)
    await change(ours, "one")
    await ours.orphans.end({"api-1"})
    await change(ours, "two")
    assert await ours.orphans.processes() == set()
    assert await ours._database["writers"].count_documents({}) == 1
