"""The newest of a long history is found without reading the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

import pytest

from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery, Place, place_of
from services.api.store.documents import link_document
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.audit import GENESIS, chained
from services.core.events import AccessTokenShown, Actor, ActorKind, Entry, what_happened
from services.core.ids import AggregateId, EventId
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
    links = await past.entries(EntryQuery(aggregate_id=MODEL_ID), limit=2)
    assert [link.entry.revision for link in links] == [newest, newest - 1]
    assert len(await past.entries(EntryQuery(aggregate_id=MODEL_ID), limit=100)) == newest
    assert await past.entries(EntryQuery(aggregate_id="0" * 24), limit=5) == []


async def test_the_newest_entries_of_all_come_first_however_old_they_are(past: MongoStore) -> None:
    everything = await past.entries(EntryQuery(), limit=100)
    instants = [link.entry.at for link in everything]
    assert instants == sorted(instants, reverse=True)
    assert instants[0] - instants[-1] > timedelta(days=80)
    some = await past.entries(EntryQuery(), limit=3)
    assert [link.entry.at for link in some] == instants[:3]


async def test_a_history_is_read_whole_whatever_the_size_of_its_pages(past: MongoStore) -> None:
    newest = (await past.load(MODEL, MODEL_ID)).revision
    for page_size in (1, 2, 100):
        links = [link async for link in past.links(MODEL_ID, up_to=newest, page_size=page_size)]
        assert [link.entry.revision for link in links] == list(range(1, newest + 1))
    assert [link.entry.revision async for link in past.links(MODEL_ID, up_to=1)] == [1]


async def test_pages_of_any_size_give_each_entry_once_and_end(past: MongoStore) -> None:
    everything = await past.entries(EntryQuery(), limit=100)
    places = [place_of(link.entry) for link in everything]
    assert places == sorted(places, reverse=True)
    newest = [(await past.load(MODEL, aggregate_id)).revision for aggregate_id in (MODEL_ID, OTHER)]
    assert len(places) == sum(newest)
    for limit in (1, 2, 3):
        found: list[Place] = []
        query = EntryQuery()
        while links := await past.entries(query, limit=limit):
            assert len(links) <= limit
            found += [place_of(link.entry) for link in links]
            query = EntryQuery(before=found[-1])
        assert found == places


async def test_a_history_of_many_stretches_is_read_by_any_filter(store: MongoStore) -> None:
    await fill(store, 300)
    everything = await store.entries(EntryQuery(), limit=1000)
    assert [link.entry.revision for link in everything] == list(range(300, 0, -1))
    middle = everything[150].entry.at
    filters: list[tuple[EntryQuery, Callable[[Entry], bool]]] = [
        (EntryQuery(types=("token.shown",)), lambda entry: what_happened(entry.event) == "token.shown"),
        (EntryQuery(types=("token.shown", "model.created")), lambda entry: True),
        (EntryQuery(actor_id="router"), lambda entry: entry.actor.id == "router"),
        (EntryQuery(aggregate_id=MODEL_ID, actor_id="router"), lambda entry: entry.actor.id == "router"),
        (EntryQuery(since=middle), lambda entry: entry.at >= middle),
        (EntryQuery(until=middle, actor_id=PERSON.id), lambda entry: entry.at < middle and entry.actor == PERSON),
        (EntryQuery(aggregate_id=OTHER), lambda entry: False),
    ]
    for query, is_asked_for in filters:
        wanted = [link for link in everything if is_asked_for(link.entry)]
        assert await store.entries(query, limit=1000) == wanted
        assert await store.entries(query, limit=7) == wanted[:7]


async def fill(store: MongoStore, count: int) -> None:
    """One model whose token was shown so often, an hour apart; each third time, as if, to a router."""
    router = Actor(kind=ActorKind.SERVICE, id="router", name="router")
    begin = now().replace(microsecond=0) - timedelta(hours=count)
    shown = [
        Entry(
            id=EventId(f"event-{number}"),
            at=begin + timedelta(hours=number),
            actor=PERSON if number % 3 else router,
            aggregate="model",
            aggregate_id=MODEL_ID,
            revision=number,
            event=AccessTokenShown(token_id="t"),
        )
        for number in range(1, count + 1)
    ]
    await store._database["events"].insert_many(map(link_document, chained(shown, head=GENESIS)))
