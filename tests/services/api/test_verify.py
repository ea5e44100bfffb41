"""Verification finds what was altered behind the ledger's back, and where; an honest database holds.

Checkpoints were made at revisions 6 and 12 of the model, as the bus knows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest

from services.api.checkpointer import Checkpointer
from services.api.ledger import MongoLedger
from services.api.store.documents import link_document, plain
from services.api.store.store import MongoStore
from services.api.verify import Finding, Verification, verify
from services.core.aggregates import MODEL, fold
from services.core.audit import GENESIS, chained
from services.core.checkpoint import Seal
from services.core.errors import Unavailable
from services.core.settings import Settings
from services.kit.clock import now
from tests.makers import MODEL_ID, built, create, publish, ready
from tests.makers import PERSON as ADA

CHAIN = "checkpoint chain"
ITS = f"model {MODEL_ID}"
SEEN_AT, NEWEST = 6, 12

Documents = Any
Damage = Callable[[Documents], Awaitable[None]]


class Bus:
    """What it was told of checkpoints."""

    def __init__(self) -> None:
        self.told: list[Seal] = []
        self.is_away = False

    async def announce(self, seal: Seal) -> None:
        if self.is_away:
            raise Unavailable("the bus is away")
        self.told.append(seal)

    async def seals(self) -> Mapping[int, frozenset[str]]:
        if self.is_away:
            raise Unavailable("the bus is away")
        return {seal.number: frozenset({seal.hash}) for seal in self.told}


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def checkpointer(store: MongoStore, bus: Bus) -> Checkpointer:
    return Checkpointer(store.checkpoints, bus, clock=now, every_s=1.0)


@pytest.fixture
async def documents(store: MongoStore, ledger: MongoLedger, checkpointer: Checkpointer) -> Documents:
    """The database below a store that has seen a version take over."""
    large = Settings(instances=1, memory_bytes=8 << 30)  # the database has another kind of number for it
    await ledger.execute(MODEL, MODEL_ID, create(settings=large), actor=ADA)
    for number in (1, 2):
        for command in (publish(number), built(number), ready(number)):
            state = await ledger.execute(MODEL, MODEL_ID, command, actor=ADA)
            if state.revision == SEEN_AT:
                await checkpointer.make()
    assert state.revision == NEWEST
    await checkpointer.make()
    return store._database


async def put_back(documents: Documents, revision: int) -> None:
    """The model and its history, as they were at an earlier revision."""
    for name in ("events", "outbox"):
        await documents[name].delete_many({"aggregate_id": MODEL_ID, "revision": {"$gt": revision}})
    await write_anew(documents, upto=revision)


async def write_anew(documents: Documents, *, upto: int = NEWEST, altering: int = 0) -> None:
    """Every event with hashes that fit, the event `altering` by somebody else, and the state that follows."""
    store = MongoStore(documents.client, documents)
    entries = [link.entry async for link in store.links(MODEL_ID, up_to=upto)]
    somebody = msgspec.structs.replace(ADA, name="eve")
    entries = [msgspec.structs.replace(each, actor=somebody) if each.revision == altering else each for each in entries]
    links = chained(entries, head=GENESIS)
    await documents["events"].delete_many({"aggregate_id": MODEL_ID})
    await documents["events"].insert_many(map(link_document, links))
    state = fold(MODEL, entries)
    assert state is not None
    changed = {"state": plain(state), "revision": state.revision, "head": links[-1].hash}
    await documents["models"].update_one({"_id": MODEL_ID}, {"$set": changed})


def altered_event(place: int, /, **values: Any) -> Damage:
    async def damage(documents: Documents) -> None:
        where = {"aggregate_id": MODEL_ID, "revision": place}
        assert (await documents["events"].update_one(where, {"$set": values})).modified_count == 1

    return damage


def removed_event(revision: int) -> Damage:
    async def damage(documents: Documents) -> None:
        await documents["events"].delete_one({"aggregate_id": MODEL_ID, "revision": revision})

    return damage


def altered_state(**values: Any) -> Damage:
    async def damage(documents: Documents) -> None:
        assert (await documents["models"].update_one({"_id": MODEL_ID}, {"$set": values})).modified_count == 1

    return damage


def altered_checkpoint(number: int, **values: Any) -> Damage:
    async def damage(documents: Documents) -> None:
        assert (await documents["checkpoints"].update_one({"_id": number}, {"$set": values})).modified_count == 1

    return damage


async def cut_with_its_state(documents: Documents) -> None:
    await put_back(documents, 10)


async def state_put_back_alone(documents: Documents) -> None:
    events = await documents["events"].find({"aggregate_id": MODEL_ID, "revision": {"$gt": 10}}).to_list(None)
    await put_back(documents, 10)
    await documents["events"].insert_many(events)


async def written_anew_early(documents: Documents) -> None:
    await write_anew(documents, altering=3)


async def written_anew_between(documents: Documents) -> None:
    await write_anew(documents, altering=9)


async def removed_state(documents: Documents) -> None:
    await documents["models"].delete_one({"_id": MODEL_ID})


async def removed_aggregate(documents: Documents) -> None:
    await removed_state(documents)
    await documents["events"].delete_many({"aggregate_id": MODEL_ID})


async def removed_state_and_first_event(documents: Documents) -> None:
    await removed_state(documents)
    await removed_event(1)(documents)


async def removed_first_checkpoint(documents: Documents) -> None:
    await documents["checkpoints"].delete_one({"_id": 1})


async def cut_checkpoints(documents: Documents) -> None:
    await documents["checkpoints"].delete_one({"_id": 2})


async def no_checkpoints(documents: Documents) -> None:
    await documents["checkpoints"].delete_many({})


async def all_put_back(documents: Documents) -> None:
    """An older backup, put in place of the database."""
    await put_back(documents, SEEN_AT)
    await cut_checkpoints(documents)


ALTERED = "an event was altered, or does not follow from the one before it"
NOT_ITS_FOLD = "the state is not the fold of its events"
ANEW = "the history was written anew: it is not what checkpoint {} saw, the last revision that is as seen is {}"

FOUND: dict[str, tuple[Damage, str, int, str]] = {
    "an event names another version": (altered_event(11, **{"event.version_id": "f" * 24}), ITS, 11, ALTERED),
    "an event names another actor": (altered_event(5, **{"actor.name": "adb"}), ITS, 5, ALTERED),
    "an event has more in it": (altered_event(5, **{"event.more": 1}), ITS, 5, ALTERED),
    "an event is of another type": (altered_event(5, **{"event.type": "model.unheard-of"}), ITS, 5, ALTERED),
    "an event lacks its time": (altered_event(5, at="then"), ITS, 5, ALTERED),
    "an event has another hash": (altered_event(5, hash="0" * 64), ITS, 5, ALTERED),
    "an event follows another": (altered_event(5, previous_hash="0" * 64), ITS, 5, ALTERED),
    "an event has another place": (altered_event(5, revision=50), ITS, 5, "an event is missing"),
    "an event is removed": (removed_event(4), ITS, 4, "an event is missing"),
    "the first event is removed": (removed_event(1), ITS, 1, "an event is missing"),
    "the tail is cut": (removed_event(NEWEST), ITS, 11, "the history ends before the state does"),
    "a state is altered": (altered_state(**{"state.is_restricted": False}), ITS, NEWEST, NOT_ITS_FOLD),
    "a state cannot be read": (altered_state(**{"state.is_restricted": "perhaps"}), ITS, 0, "the state cannot be read"),
    "a state has another revision": (altered_state(revision=50), ITS, NEWEST, NOT_ITS_FOLD),
    "a state has another head": (
        *(altered_state(head="0" * 64), ITS, NEWEST),
        "the state does not hold the hash of its newest event",
    ),
    "a state is put back": (state_put_back_alone, ITS, 11, "the history goes on after its state"),
    "a state is removed": (removed_state, ITS, 0, "it has a history and no state"),
    "a state and the first event are removed": (
        *(removed_state_and_first_event, ITS, 0),
        "it has a history and no state",
    ),
    "the tail is cut with its state": (
        *(cut_with_its_state, ITS, 11),
        f"state and history were cut off: checkpoint 2 saw revision {NEWEST}",
    ),
    "history is written anew from its beginning": (written_anew_early, ITS, SEEN_AT, ANEW.format(1, 0)),
    "history is written anew between checkpoints": (written_anew_between, ITS, NEWEST, ANEW.format(2, SEEN_AT)),
    "an aggregate is removed": (
        *(removed_aggregate, ITS, 0),
        f"it is gone, state and history: checkpoint 2 saw it at revision {NEWEST}",
    ),
    "a checkpoint is altered": (
        *(altered_checkpoint(1, **{f"heads.{MODEL_ID}": ["model", SEEN_AT, "0" * 64]}), CHAIN, 1),
        "a checkpoint was altered",
    ),
    "a checkpoint cannot be read": (altered_checkpoint(2, heads=7), CHAIN, 2, "a checkpoint was altered"),
    "a checkpoint follows another": (
        *(altered_checkpoint(2, previous_hash="0" * 64), CHAIN, 2),
        "a checkpoint does not follow from the one before it",
    ),
    "a checkpoint is removed": (removed_first_checkpoint, CHAIN, 1, "a checkpoint is missing"),
    "the checkpoints are cut": (
        *(cut_checkpoints, CHAIN, 2),
        "the chain of checkpoints was cut: the bus knows checkpoint 2",
    ),
    "the checkpoints are removed": (
        *(no_checkpoints, CHAIN, 1),
        "the chain of checkpoints was cut: the bus knows checkpoint 2",
    ),
    "everything is put back": (
        *(all_put_back, CHAIN, 2),
        "the chain of checkpoints was cut: the bus knows checkpoint 2",
    ),
}


def where(finding: Finding) -> tuple[str, int, str]:
    return f"{finding.aggregate} {finding.aggregate_id}", finding.revision, finding.what


async def verified(store: MongoStore, bus: Bus) -> Verification:
    return await verify(store.evidence, bus)


async def test_an_honest_database_holds(store: MongoStore, bus: Bus, documents: Documents) -> None:
    result = await verified(store, bus)
    assert result.findings == []
    assert (result.aggregates, result.events, result.checkpoints) == (1, NEWEST, 2)
    assert (result.ahead, result.witnessed, result.unwitnessed_because) == (0, 2, "")


@pytest.mark.parametrize("damage", FOUND)
async def test_what_was_done_by_hand_is_found_where_it_was_done(
    damage: str, store: MongoStore, bus: Bus, documents: Documents
) -> None:
    do, about, revision, what = FOUND[damage]
    await do(documents)
    found = [where(each) for each in (await verified(store, bus)).findings]
    assert found[0] == (about, revision, what)
    assert len(found) == 1 or damage == "a checkpoint follows another", found


async def test_a_chain_that_goes_on_after_it_was_cut_is_not_the_one_that_the_bus_knows(
    store: MongoStore, ledger: MongoLedger, bus: Bus, documents: Documents
) -> None:
    await all_put_back(documents)
    await ledger.execute(MODEL, MODEL_ID, publish(3), actor=ADA)
    forger = Checkpointer(store.checkpoints, Bus(), clock=now, every_s=1.0)
    await forger.make()
    (finding,) = (await verified(store, bus)).findings
    assert where(finding) == (CHAIN, 2, "the bus knows another checkpoint of this number: the chain was written anew")


async def test_without_the_bus_all_else_is_proved_and_it_is_said(
    store: MongoStore, bus: Bus, documents: Documents
) -> None:
    bus.is_away = True
    result = await verified(store, bus)
    assert (result.findings, result.unwitnessed_because) == ([], "the bus is away")


async def test_what_no_checkpoint_has_yet_is_counted(
    store: MongoStore, ledger: MongoLedger, bus: Bus, documents: Documents, checkpointer: Checkpointer
) -> None:
    await ledger.execute(MODEL, MODEL_ID, publish(3), actor=ADA)
    assert (await verified(store, bus)).ahead == 1
    await checkpointer.make()
    assert (await verified(store, bus)).ahead == 0


async def test_what_was_struck_off_behind_the_chain_gets_into_it_when_a_process_starts(
    store: MongoStore, ledger: MongoLedger, bus: Bus, documents: Documents
) -> None:
    await ledger.execute(MODEL, MODEL_ID, publish(3), actor=ADA)
    await documents["unchecked"].delete_many({})
    await Checkpointer(store.checkpoints, bus, clock=now, every_s=1.0).make()
    result = await verified(store, bus)
    assert (result.findings, result.ahead, result.checkpoints) == ([], 0, 3)


async def test_a_history_from_before_there_were_checkpoints_gets_into_the_first(
    store: MongoStore, bus: Bus, documents: Documents, checkpointer: Checkpointer
) -> None:
    for name in ("checkpoints", "unchecked"):
        await documents[name].delete_many({})
    bus.told.clear()
    await checkpointer.make()
    result = await verified(store, bus)
    assert (result.findings, result.ahead, result.checkpoints) == ([], 0, 1)
