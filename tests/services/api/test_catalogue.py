"""The catalogue of models: whoever changed one, the next list has it; and it shows to each caller what they may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from itertools import product

import pytest
from msgspec.structs import replace

from services.api.ledger import MongoLedger
from services.api.ports import ModelQuery
from services.api.store import catalogue
from services.api.store.store import MongoStore
from services.core.access import SEEN_FROM, Kind
from services.core.aggregates import MODEL, PROJECT
from services.core.commands import (
    ChangeSettings,
    CreateProject,
    DescribeModel,
    SetCollaborator,
    SetProjectCollaborator,
    SetVisibility,
)
from services.core.errors import Unavailable
from services.core.events import CollaboratorKind, ModelRole, ProjectRole
from services.core.ids import AggregateId
from services.core.model import Model
from services.core.person import Person
from services.core.settings import Settings
from services.core.standing import Caller
from services.kit.clock import now
from tests.makers import PERSON, create, publish

ADA, GRACE, TEAM = AggregateId(PERSON.id), AggregateId("6" * 24), AggregateId("7" * 24)
EVERYTHING = ModelQuery(limit=1000)


def model_id(number: int) -> AggregateId:
    return AggregateId(f"{number:024x}")


def clock(behind: timedelta) -> datetime:
    return now() - behind


def named(name: str) -> DescribeModel:
    return DescribeModel(name=name, description="", environment_id=AggregateId("9" * 24), instances=1)


async def listed(store: MongoStore, query: ModelQuery = EVERYTHING) -> list[str]:
    models, total = await store.list_models(query)
    assert total >= len(models)
    return [model.name for model in models]


@pytest.fixture
def other(store: MongoStore) -> MongoStore:
    """Another process on the same database."""
    return MongoStore(store._client, store._database)


async def test_what_another_process_changed_is_in_the_next_list(
    store: MongoStore, ledger: MongoLedger, other: MongoStore
) -> None:
    theirs = MongoLedger(other, deployer_id="local", clock=now)
    assert await listed(store) == await listed(other) == []
    await theirs.execute(MODEL, model_id(1), create(name="theirs"), actor=PERSON)
    await ledger.execute(MODEL, model_id(2), create(name="ours"), actor=PERSON)
    assert await listed(store) == await listed(other) == ["ours", "theirs"]
    await theirs.execute(MODEL, model_id(2), named("renamed"), actor=PERSON)
    assert await listed(store) == await listed(other) == ["renamed", "theirs"]


async def test_a_change_that_was_long_under_way_is_found_and_one_of_a_clock_far_behind_when_all_is_read_anew(
    store: MongoStore, other: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await listed(store) == []
    for number, behind in enumerate((timedelta(seconds=15), timedelta(minutes=5))):
        slow = MongoLedger(other, deployer_id="local", clock=partial(clock, behind))
        await slow.execute(MODEL, model_id(number), create(name=f"model-{number}"), actor=PERSON)
    assert await listed(store) == ["model-0"]
    monkeypatch.setattr(catalogue, "READ_ANEW", timedelta(0))
    await listed(store)
    assert store._catalogue._reading is not None
    await store._catalogue._reading
    assert await listed(store) == ["model-0", "model-1"]


async def test_models_that_were_there_before_are_read_and_a_failed_reading_is_tried_again(
    store: MongoStore, ledger: MongoLedger, other: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await ledger.execute(MODEL, model_id(number), create(name=f"model-{number}"), actor=PERSON)

    async def fail() -> AsyncIterator[Model]:
        for model in (await ledger._store.load(MODEL, model_id(0)),):
            yield model
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(other._catalogue, "_all_models", fail)
        with pytest.raises(Unavailable):
            await listed(other)
    assert await listed(other) == ["model-0", "model-1", "model-2"]


async def test_pages_are_in_order_and_tell_how_many_there_are(store: MongoStore, ledger: MongoLedger) -> None:
    for number in (3, 1, 2, 5, 4):
        await ledger.execute(MODEL, model_id(number), create(name=f"Model {number}"), actor=PERSON)
    page = ModelQuery(limit=2, offset=1)
    models, total = await store.list_models(page)
    assert ([model.name for model in models], total) == (["Model 2", "Model 3"], 5)
    assert await listed(store, replace(page, is_descending=True)) == ["Model 4", "Model 3"]
    assert await listed(store, replace(page, order_by="created")) == ["Model 1", "Model 2"]
    assert await listed(store, ModelQuery(name="model [12]$")) == ["Model 1", "Model 2"]
    assert await listed(store, ModelQuery(name="nothing")) == []
    assert await listed(store, ModelQuery(offset=5)) == []


async def test_a_list_holds_the_active_version_and_nothing_large(store: MongoStore, ledger: MongoLedger) -> None:
    settings = Settings(environment_variables=(("A", "sealed"),))
    await ledger.execute(MODEL, model_id(1), create(), actor=PERSON)
    await ledger.execute(MODEL, model_id(1), ChangeSettings(settings=settings), actor=PERSON)
    for number in (1, 2):
        await ledger.execute(MODEL, model_id(1), publish(number, example_input="[1]"), actor=PERSON)
    [model], _ = await store.list_models(EVERYTHING)
    whole = await store.load(MODEL, model_id(1))
    assert whole.active is not None
    assert model.active == replace(whole.active, example_input="")
    assert model.versions == (model.active,)
    assert model.settings == replace(whole.settings, environment_variables=())


async def test_everybody_finds_the_models_that_they_stand_near_enough_to_and_no_others(
    store: MongoStore, ledger: MongoLedger
) -> None:
    roles: tuple[ProjectRole | None, ...] = (None, *ProjectRole)
    for project, role in enumerate(roles):
        made = CreateProject(owner_id=ADA, owner_name="ada", name=f"project-{project}")
        await ledger.execute(PROJECT, model_id(project), made, actor=PERSON)
        if role is not None:
            shared = SetProjectCollaborator(
                collaborator_id=GRACE, kind=CollaboratorKind.PERSON, name="grace", role=role
            )
            await ledger.execute(PROJECT, model_id(project), shared, actor=PERSON)
        ways = ("private", "public", "own", "shared", "of the team")
        for number, way in enumerate(ways):
            await make(ledger, model_id(100 * (project + 1) + number), way, model_id(project))
    people = {"ada": ADA, "grace": GRACE, "nobody": AggregateId("8" * 24)}
    for (name, person_id), organisations in product(people.items(), (frozenset[AggregateId](), frozenset({TEAM}))):
        caller = Caller(person=person(person_id, name), organisations=organisations)
        reach = await store.reach(caller)
        found, total = await store.list_models(replace(EVERYTHING, visible_to=reach))
        everything, _ = await store.list_models(EVERYTHING)
        expected = [model for model in everything if reach.to_model(model) >= SEEN_FROM[Kind.MODEL]]
        assert found == expected
        assert total == len(expected)
        assert name != "grace" or 0 < total < len(everything)


async def make(ledger: MongoLedger, name: AggregateId, way: str, project: AggregateId) -> None:
    owner = GRACE if way == "own" else ADA
    await ledger.execute(MODEL, name, create(name=name, project_id=project, owner_id=owner), actor=PERSON)
    if way == "public":
        await ledger.execute(MODEL, name, SetVisibility(is_public=True), actor=PERSON)
    if way in ("shared", "of the team"):
        kind = CollaboratorKind.PERSON if way == "shared" else CollaboratorKind.ORGANISATION
        who = GRACE if way == "shared" else TEAM
        command = SetCollaborator(collaborator_id=who, kind=kind, name="somebody", role=ModelRole.VIEWER)
        await ledger.execute(MODEL, name, command, actor=PERSON)


def person(person_id: AggregateId, name: str) -> Person:
    return Person(
        id=person_id, revision=1, user_name=name, email="", full_name="", is_administrator=False, created_at=now()
    )
