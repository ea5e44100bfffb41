"""The newest of a long history is found without reading the rest of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pytest

from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.ids import AggregateId
from services.kit.clock import now
from tests.makers import MODEL_ID, PERSON, built, create, publish

OTHER = AggregateId("7" * 24)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Clock:
    """A month passes between any two changes; the last one is made now."""

    def __init__(self, changes: int = 4) -> None:
        self._months = count(1 - changes)

    def __call__(self) -> datetime:
        return now() + timedelta(days=30 * next(self._months))


@pytest.fixture
async def past(store: MongoStore, clock: Clock) -> MongoStore:
    """Four changes, a month apart: two of one model, one of another, one of the first again."""
    ledger = MongoLedger(store, deployer_id="local", clock=clock)
    await ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
    await ledger.execute(MODEL, MODEL_ID, publish(1), actor=PERSON)
    await ledger.execute(MODEL, OTHER, create(name="other"), actor=PERSON)
    await ledger.execute(MODEL, MODEL_ID, built(1), actor=PERSON)
    return store


async def test_the_newest_entries_of_one_aggregate_come_first_however_old_they_are(past: MongoStore) -> None:
    newest = (await past.load(MODEL, MODEL_ID)).revision
    links = await past.history(aggregate_id=MODEL_ID, limit=2)
    assert [link.entry.revision for link in links] == [newest, newest - 1]
    assert len(await past.history(aggregate_id=MODEL_ID, limit=100)) == newest
    assert await past.history(aggregate_id="0" * 24, limit=5) == []


async def test_the_newest_entries_of_all_come_first_however_old_they_are(past: MongoStore) -> None:
    everything = await past.history(aggregate_id=None, limit=100)
    instants = [link.entry.at for link in everything]
    assert instants == sorted(instants, reverse=True)
    assert instants[0] - instants[-1] > timedelta(days=80)
    some = await past.history(aggregate_id=None, limit=3)
    assert [link.entry.at for link in some] == instants[:3]


async def test_a_history_is_read_whole_whatever_the_size_of_its_pages(past: MongoStore) -> None:
    newest = (await past.load(MODEL, MODEL_ID)).revision
    for page_size in (1, 2, 100):
        links = [link async for link in past.links(MODEL_ID, up_to=newest, page_size=page_size)]
        assert [link.entry.revision for link in links] == list(range(1, newest + 1))
    assert [link.entry.revision async for link in past.links(MODEL_ID, up_to=1)] == [1]
