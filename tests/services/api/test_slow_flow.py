"""Relay and recorder behind a database that hangs and then is slow: they lag, lose nothing, and keep the order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest_asyncio
import structlog

from services.api.ledger import MongoLedger
from services.api.store.database import connect
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.events import Entry
from services.core.ids import AggregateId
from services.core.records import BuildPhase
from services.core.subjects import Stream
from services.kit.bus import Bus
from tests.bad_days import Link
from tests.makers import MODEL_ID, PERSON, create, publish, version_id
from tests.parts import Database, wait_until, wait_until_async
from tests.services.api.test_flow import Flow, at_work

MODELS = [AggregateId(f"{number:024x}") for number in range(1, 6)]


@pytest_asyncio.fixture
async def link(database: Database) -> AsyncIterator[Link]:
    async with Link(database.port).opened() as opened:
        yield opened


@pytest_asyncio.fixture
async def slow(store: MongoStore, link: Link, bus: Bus) -> AsyncIterator[Flow]:
    """The same database as `store`, behind the link."""
    client = connect(f"mongodb://127.0.0.1:{link.port}/?directConnection=true")
    yield Flow(MongoStore(client, client[store._database.name]), bus)
    link.flow()
    await asyncio.to_thread(client.close)


async def published(bus: Bus) -> list[Entry]:
    async with bus.deadline("read the events") as jetstream:
        state = (await jetstream.stream_info(Stream.EVENTS)).state
        messages = [await jetstream.get_msg(Stream.EVENTS, seq) for seq in range(1, state.last_seq + 1)]
    return [msgspec.json.decode(message.data or b"", type=Entry) for message in messages]


async def test_what_was_stored_and_reported_meanwhile_is_published_and_recorded_in_order(
    slow: Flow, link: Link, ledger: MongoLedger, logged: list[structlog.typing.EventDict]
) -> None:
    async with at_work(*slow.works()):
        await ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
        await ledger.execute(MODEL, MODEL_ID, publish(1), actor=PERSON)
        link.hang()
        await slow.report(BuildPhase.BUILDING)
        await slow.report(BuildPhase.COMPLETE)
        for model_id in MODELS:
            await ledger.execute(MODEL, model_id, create(name=f"m-{model_id[-1]}"), actor=PERSON)
        for number in range(2, 6):
            for model_id in MODELS:
                await ledger.execute(MODEL, model_id, publish(number), actor=PERSON)
        both = {"relay_waits", "message_held"}
        await wait_until(lambda: both <= {line["event"] for line in logged}, 15, what="both wait for the database")
        link.flow(delay_s=0.2)

        async def is_caught_up() -> bool:
            model = await ledger._store.load(MODEL, MODEL_ID)
            return model.version(version_id(1)).build is BuildPhase.COMPLETE and not await ledger._store.unpublished(
                limit=1
            )

        await wait_until_async(is_caught_up, 40, what="relay and recorder have caught up")
    events = await published(slow.bus)
    for model_id in (MODEL_ID, *MODELS):
        revisions = [entry.revision for entry in events if entry.aggregate_id == model_id]
        assert list(dict.fromkeys(revisions)) == list(range(1, max(revisions) + 1))
