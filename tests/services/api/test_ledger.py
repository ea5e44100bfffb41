"""The ledger on a real database: a change is stored whole, once, with its history and its effects."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery, ModelQuery
from services.api.store.database import SCHEMA_VERSION, connect, prepare
from services.api.store.store import MongoStore
from services.core.aggregates import ENVIRONMENT, MODEL, PERSON, fold
from services.core.audit import first_broken
from services.core.commands import (
    AddApiKey,
    AddPerson,
    ArchiveModel,
    ChangeSettings,
    CreateAccessToken,
    CreateEnvironment,
    RevokeAccessToken,
)
from services.core.errors import Invalid, NotFound, PermanentError, Refused, Unavailable
from services.core.ids import AggregateId, CommandId
from services.core.model import Model
from services.core.settings import Settings
from services.core.subjects import Bucket
from services.kit.ids import new_object_id
from tests.makers import MODEL_ID, built, create, publish, ready, version_id
from tests.makers import PERSON as ADA
from tests.parts import Database, wait_until_async


async def publish_and_serve(ledger: MongoLedger, number: int = 1) -> None:
    for command in (publish(number), built(number), ready(number)):
        await ledger.execute(MODEL, MODEL_ID, command, actor=ADA)


async def test_the_state_is_the_fold_of_the_history_and_its_chain_holds(store: MongoStore, ledger: MongoLedger) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    await publish_and_serve(ledger, 1)
    await publish_and_serve(ledger, 2)
    links = list(reversed(await store.entries(EntryQuery(aggregate_id=MODEL_ID), limit=100)))
    assert first_broken(links) is None
    assert fold(MODEL, [link.entry for link in links]) == await store.load(MODEL, MODEL_ID)


async def test_every_event_waits_in_the_outbox_before_the_effects_of_its_change(
    store: MongoStore, ledger: MongoLedger
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    await ledger.execute(MODEL, MODEL_ID, publish(1), actor=ADA)
    keys = [row.key for row in await store.unpublished(limit=10)]
    assert keys == [
        f"event.model.{MODEL_ID}.model-created",
        MODEL_ID,
        f"event.model.{MODEL_ID}.version-published",
        f"event.model.{MODEL_ID}.version-deployment-ordered",
        f"command.build.{version_id(1)}",
        version_id(1),
    ]


async def test_the_same_command_id_a_second_time_changes_nothing(store: MongoStore, ledger: MongoLedger) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    token = CreateAccessToken(token_id="t", name="app", token_hash="1" * 64)
    once = await ledger.execute(MODEL, MODEL_ID, token, actor=ADA, command_id=CommandId("c"))
    other = CreateAccessToken(token_id="u", name="other", token_hash="2" * 64)
    again = await ledger.execute(MODEL, MODEL_ID, other, actor=ADA, command_id=CommandId("c"))
    assert again == once


async def test_a_command_that_was_carried_out_is_no_error_the_second_time_though_it_would_be_refused_by_now(
    store: MongoStore, ledger: MongoLedger
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    token = CreateAccessToken(token_id="t", name="app", token_hash="1" * 64)
    await ledger.execute(MODEL, MODEL_ID, token, actor=ADA)
    revoke = RevokeAccessToken(token_id="t")
    once = await ledger.execute(MODEL, MODEL_ID, revoke, actor=ADA, command_id=CommandId("c"))
    again = await ledger.execute(MODEL, MODEL_ID, revoke, actor=ADA, command_id=CommandId("c"))
    assert again == once
    with pytest.raises(NotFound):
        await ledger.execute(MODEL, MODEL_ID, revoke, actor=ADA, command_id=CommandId("d"))


async def test_a_command_made_from_the_state_is_made_from_the_one_it_changes(ledger: MongoLedger) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    made = 0

    def one_more(model: Model) -> ChangeSettings:
        nonlocal made
        made += 1
        return ChangeSettings(settings=replace(model.settings, instances=model.settings.instances + 1))

    await asyncio.gather(*(ledger.execute(MODEL, MODEL_ID, one_more, actor=ADA) for _ in range(6)))
    model = await ledger.execute(MODEL, MODEL_ID, one_more, actor=ADA)
    assert model.settings.instances == 8
    assert made > 7, "those who came second made theirs again"
    with pytest.raises(NotFound, match="there is no such model"):
        await ledger.execute(MODEL, "f" * 24, one_more, actor=ADA)


async def test_changes_at_the_same_time_all_arrive_one_after_the_other(store: MongoStore, ledger: MongoLedger) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    tokens = [CreateAccessToken(token_id=f"t{n}", name=f"app {n}", token_hash=f"{n:064x}") for n in range(12)]
    await asyncio.gather(*(ledger.execute(MODEL, MODEL_ID, token, actor=ADA) for token in tokens))
    model = await store.load(MODEL, MODEL_ID)
    assert {token.id for token in model.tokens} == {token.token_id for token in tokens}
    assert model.revision == 13
    links = list(reversed(await store.entries(EntryQuery(aggregate_id=MODEL_ID), limit=100)))
    assert first_broken(links) is None


async def test_a_refused_command_leaves_no_trace(store: MongoStore, ledger: MongoLedger) -> None:
    with pytest.raises(Invalid):
        await ledger.execute(MODEL, MODEL_ID, create(settings=Settings(instances=0)), actor=ADA)
    with pytest.raises(NotFound):
        await store.load(MODEL, MODEL_ID)
    assert list(await store.unpublished(limit=10)) == []


async def test_a_secret_is_stored_with_its_change_and_stands_in_no_event(
    store: MongoStore, ledger: MongoLedger
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    token = CreateAccessToken(token_id="t", name="app", token_hash="1" * 64)
    await ledger.execute(MODEL, MODEL_ID, token, actor=ADA, secrets={"t": b"sealed"})
    assert await store.secret("t") == b"sealed"
    history = msgspec.json.encode(await store.entries(EntryQuery(), limit=100))
    assert b"sealed" not in history
    await ledger.execute(MODEL, MODEL_ID, ArchiveModel(), actor=ADA, secrets={"t": None})
    with pytest.raises(NotFound):
        await store.secret("t")


async def test_a_name_that_is_taken_is_refused_in_one_sentence(ledger: MongoLedger) -> None:
    for attempt in (1, 2):
        command = CreateEnvironment(owner_id=AggregateId(ADA.id), name="science", revision_id=new_object_id())
        if attempt == 1:
            await ledger.execute(ENVIRONMENT, new_object_id(), command, actor=ADA)
            continue
        with pytest.raises(Refused, match="there is already an environment with this name"):
            await ledger.execute(ENVIRONMENT, new_object_id(), command, actor=ADA)


async def test_a_person_is_found_by_the_hash_of_their_key(store: MongoStore, ledger: MongoLedger) -> None:
    person_id = new_object_id()
    await ledger.execute(PERSON, person_id, AddPerson(user_name="ada"), actor=ADA)
    await ledger.execute(PERSON, person_id, AddApiKey(key_id="k", name="laptop", key_hash="4" * 64), actor=ADA)
    found = await store.find_person(key_hash="4" * 64)
    assert found is not None
    assert found.user_name == "ada"
    assert await store.find_person(key_hash="5" * 64) is None


async def test_archived_models_are_not_listed_and_names_are_searched_without_regard_to_case(
    store: MongoStore, ledger: MongoLedger
) -> None:
    for number, name in enumerate(("Iris", "churn", "iris-next"), start=1):
        await ledger.execute(MODEL, f"{number:024x}", create(name=name), actor=ADA)
    await ledger.execute(MODEL, f"{3:024x}", ArchiveModel(), actor=ADA)
    models, total = await store.list_models(ModelQuery(name="^IRIS"))
    assert [model.name for model in models] == ["Iris"]
    assert total == 1


async def test_a_database_that_dies_in_the_middle_keeps_what_was_acknowledged_and_tears_nothing(
    database: Database, store: MongoStore, ledger: MongoLedger
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    acknowledged: list[str] = []

    async def create_tokens() -> None:
        for number in range(200):
            token = CreateAccessToken(token_id=f"t{number}", name=f"app {number}", token_hash=f"{number:064x}")
            await ledger.execute(MODEL, MODEL_ID, token, actor=ADA)
            acknowledged.append(token.token_id)
            if number == 20:
                database.kill()

    with pytest.raises(Unavailable):
        await create_tokens()
    database.start()
    await wait_until_async(lambda: _answers(store), what="the database answers again")
    model = await store.load(MODEL, MODEL_ID)
    assert set(acknowledged) <= {token.id for token in model.tokens}
    links = list(reversed(await store.entries(EntryQuery(aggregate_id=MODEL_ID), limit=300)))
    assert first_broken(links) is None
    assert fold(MODEL, [link.entry for link in links]) == model


async def _answers(store: MongoStore) -> bool:
    try:
        await store.ping()
    except Unavailable:
        return False
    return True


async def test_a_schema_from_the_future_is_refused(database: Database, store: MongoStore) -> None:
    client = connect(database.url)
    named = client["from_the_future"]
    await named["meta"].insert_one({"_id": "schema", "version": SCHEMA_VERSION + 1})
    with pytest.raises(PermanentError, match="start a newer Modelway"):
        await prepare(named)
    client.close()


async def test_the_projection_of_a_stored_change_names_its_buckets(store: MongoStore, ledger: MongoLedger) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    await publish_and_serve(ledger)
    buckets = [row.bucket for row in await store.unpublished(limit=50) if row.bucket is not None]
    assert buckets == [Bucket.ROUTES, Bucket.BUILDS, Bucket.BUILDS, Bucket.DESIRED, Bucket.ROUTES]
