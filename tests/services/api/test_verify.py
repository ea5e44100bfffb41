"""Verification finds what was altered behind the ledger's back, and where; an honest database holds."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.api.verify import verify
from services.core.aggregates import MODEL
from tests.makers import MODEL_ID, built, create, publish, ready
from tests.makers import PERSON as ADA


@pytest.fixture
async def documents(store: MongoStore, ledger: MongoLedger) -> Any:
    """The database below a store that has seen a version take over."""
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    for number in (1, 2):
        for command in (publish(number), built(number), ready(number)):
            await ledger.execute(MODEL, MODEL_ID, command, actor=ADA)
    return store._database


async def test_an_honest_database_holds(store: MongoStore, documents: Any) -> None:
    result = await verify(store)
    assert result.findings == []
    assert (result.aggregates, result.events) == (1, 12)


async def test_one_altered_value_is_found_where_it_is(store: MongoStore, documents: Any) -> None:
    where = {"event.type": "label.moved", "aggregate_id": MODEL_ID}
    await documents["events"].update_one(where, {"$set": {"event.version_id": "f" * 24}})
    altered = await documents["events"].find_one({"event.version_id": "f" * 24})
    (finding,) = (await verify(store)).findings
    assert finding.revision == altered["revision"]
    assert "altered" in finding.what


async def test_a_removed_event_is_found_where_it_was(store: MongoStore, documents: Any) -> None:
    await documents["events"].delete_one({"aggregate_id": MODEL_ID, "revision": 4})
    (finding,) = (await verify(store)).findings
    assert (finding.revision, finding.what) == (4, "an event is missing")


async def test_a_cut_tail_is_found(store: MongoStore, documents: Any) -> None:
    await documents["events"].delete_one({"aggregate_id": MODEL_ID, "revision": 12})
    (finding,) = (await verify(store)).findings
    assert finding.what == "the history ends before the state does"


async def test_an_altered_state_is_found(store: MongoStore, documents: Any) -> None:
    await documents["models"].update_one({"_id": MODEL_ID}, {"$set": {"state.is_restricted": False}})
    (finding,) = (await verify(store)).findings
    assert finding.what == "the state is not the fold of its events"


async def test_a_removed_state_is_found(store: MongoStore, documents: Any) -> None:
    await documents["models"].delete_one({"_id": MODEL_ID})
    (finding,) = (await verify(store)).findings
    assert finding.what == "it has a history and no state"
