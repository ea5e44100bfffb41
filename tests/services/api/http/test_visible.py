"""Listings and searches hold what the caller may see, and count nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from services.api.ports import ModelQuery
from services.api.store.store import MongoStore
from services.core.access import SEEN_FROM, Kind
from services.core.aggregates import ENVIRONMENT, MODEL
from services.core.commands import (
    ArchiveEnvironment,
    ArchiveModel,
    CreateEnvironment,
    SetCollaborator,
    SetVisibility,
)
from services.core.events import CollaboratorKind, ModelRole
from services.core.model import Model
from services.core.standing import Caller
from tests.makers import PERSON as MAKER
from tests.makers import create
from tests.services.api.http.cast import Stage, new_id
from tests.services.api.http.client import V1
from tests.services.api.http.expected import FROM_CONSUMER, FROM_EDITOR, FROM_LAUNCHER, FROM_VIEWER, WHO_SEES

module = pytest.mark.asyncio(loop_scope="module")
roles = pytest.mark.parametrize(
    "role", ["stranger", "launcher", "consumer", "viewer", "member", "modelOwner", "administrator"]
)


def names(models: list[dict[str, Any]]) -> set[str]:
    return {model["name"] for model in models}


def seen_by(role: str, kind: str) -> set[str]:
    return {visibility for visibility, who in WHO_SEES[kind].items() if role in who}


@module
@roles
async def test_models_are_listed_and_found_by_those_who_may_see_them(stage: Stage, role: str) -> None:
    client = stage.as_(role)
    seen = {f"{visibility} model" for visibility in seen_by(role, "model")}
    for params in ({}, {"name": "MODEL"}, {"orderBy": "created DESC", "limit": "5"}):
        page = await client.ok("GET", f"{V1}/modelApis", params=params)
        assert names(page["items"]) == seen
        assert page["metadata"]["pagination"]["totalCount"] == len(seen)
    assert names(await client.ok("GET", "/v4/modelManager/getModels")) == seen
    for visibility, project in stage.cast.projects.items():
        in_it = {model.name for model in stage.cast.models.values() if model.project_id == project.id}
        listed = await client("GET", f"/v1/projects/{project.owner_name}/{project.name}/models")
        if visibility in seen_by(role, "project"):
            assert names(listed.body["data"]) == in_it & seen
            page = await client.ok("GET", f"{V1}/modelApis", params={"projectId": project.id})
            assert names(page["items"]) == in_it & seen
        else:
            assert listed.status == 404


@module
@roles
async def test_projects_and_environments_are_listed_for_those_who_may_find_them(stage: Stage, role: str) -> None:
    client = stage.as_(role)
    found = {visibility.lower() for visibility in seen_by(role, "project")}
    for path in ("/v4/projects", "/v4/gateway/projects"):
        assert names(await client.ok("GET", path)) == found
    usable = {each["visibility"] for each in (await client.ok("GET", "/v1/environments"))["data"]}
    assert usable == seen_by(role, "environment")
    at = f"/v4/projects/{stage.cast.projects['Public'].id}/useableEnvironments"
    assert {each["visibility"] for each in (await client.ok("GET", at))["environments"]} == usable


@module
@pytest.mark.parametrize("role", sorted(FROM_VIEWER | {"stranger"}))
async def test_tokens_and_folders_of_the_host_are_told_to_those_who_may_see_settings(stage: Stage, role: str) -> None:
    model = stage.cast.models["public"]
    volume = {"name": "v", "mountPath": "/mnt/v", "hostPath": "/srv/v", "readOnly": True}
    owner = stage.as_("modelOwner")
    await owner.ok("POST", f"{V1}/modelApis/{model.id}/accessTokens", {"name": f"of-{role}"})
    await owner.ok("PUT", f"{V1}/modelApis/{model.id}/settings", {"volumes": [volume]})
    client = stage.as_(role)
    page = await client.ok("GET", f"{V1}/modelApis", params={"name": "public"})
    for shown in (await client.ok("GET", f"{V1}/modelApis/{model.id}"), page["items"][0]):
        assert bool(shown["access"]["accessTokens"]) is bool(shown["volumes"]) is (role in FROM_EDITOR)


@module
async def test_an_archived_environment_is_offered_to_nobody(stage: Stage) -> None:
    made = CreateEnvironment(owner_id=MAKER.id, name="old", revision_id=new_id(), visibility="Global")  # type: ignore[arg-type]
    ledger, old = stage.deps.ledger, new_id()
    await ledger.execute(ENVIRONMENT, old, made, actor=MAKER)
    await ledger.execute(ENVIRONMENT, old, ArchiveEnvironment(), actor=MAKER)
    listed = (await stage.as_("administrator").ok("GET", "/v1/environments"))["data"]
    assert "old" not in names(listed)


MANY = 60


async def scattered(stage: Stage, seed: int) -> list[Model]:
    """Models of everybody, shared with anybody, some of them archived, in no order."""
    chance, ledger, cast = random.Random(seed), stage.deps.ledger, stage.cast  # noqa: S311  # repeatable
    people = list(cast.people.values())
    models = []
    for number in range(MANY):
        model_id = new_id()
        command = create(
            name=f"scattered {chance.randrange(20):02} {number}",
            owner_id=chance.choice(people),
            project_id=chance.choice(list(cast.projects.values())).id,
        )
        models.append(await ledger.execute(MODEL, model_id, command, actor=MAKER))
        changes: list[Any] = [
            SetCollaborator(
                collaborator_id=chance.choice([each for each in people if each != command.owner_id]),
                kind=CollaboratorKind.PERSON,
                name="x",
                role=chance.choice(list(ModelRole)),
            )
        ]
        changes += [SetVisibility(is_public=True)] * chance.choice([0, 0, 0, 1])
        changes += [ArchiveModel()] * chance.choice([0, 0, 1])
        for change in changes:
            models[-1] = await ledger.execute(MODEL, model_id, change, actor=MAKER)
    return models


@module
async def test_a_page_is_cut_from_what_the_table_lets_the_caller_see_in_the_order_that_was_asked_for(
    stage: Stage,
) -> None:
    await scattered(stage, seed=5)
    store = stage.deps.store
    assert isinstance(store, MongoStore)
    everything = [model async for model in store.all_models()]
    queries = [
        ModelQuery(limit=1000),
        ModelQuery(limit=7, offset=3, is_descending=True),
        ModelQuery(limit=5, name="scattered 1"),
        ModelQuery(limit=9, order_by="created", is_archived=True),
        ModelQuery(limit=9, project_id=stage.cast.projects["Public"].id),
        ModelQuery(limit=9, project_id=stage.cast.projects["Private"].id, order_by="created", is_descending=True),
    ]
    for role in ("stranger", "consumer", "contributor", "projectOwner", "editor", "member", "modelOwner"):
        organisations = await store.organisations_of(stage.cast.people[role])
        person = await store.find_person_by_name(role)
        assert person is not None
        who = Caller(person=person, organisations=frozenset(each.id for each in organisations))
        reach = await store.reach(who)
        visible = {model.id for model in everything if reach.to_model(model) >= SEEN_FROM[Kind.MODEL]}
        for query in queries:
            whole, _ = await store.list_models(replace(query, limit=1000, offset=0))
            expected = [model for model in whole if model.id in visible]
            page, total = await store.list_models(replace(query, visible_to=reach))
            assert page == expected[query.offset : query.offset + query.limit]
            assert total == len(expected)


@module
async def test_who_works_on_a_project_is_known_without_reading_its_snapshots(stage: Stage) -> None:
    store, project = stage.deps.store, stage.cast.projects["Private"]
    assert await store.sharing(project.id) == replace(project, snapshots=())
    person = await store.find_person_by_name("consumer")
    assert person is not None
    reach = await store.reach(Caller(person=person))
    assert set(reach.modelled_in) == {each.id for each in stage.cast.projects.values()}
    assert "consumer" in FROM_CONSUMER
    launcher = await store.find_person_by_name("launcher")
    assert launcher is not None
    assert (await store.reach(Caller(person=launcher))).modelled_in == []
    assert "launcher" in FROM_LAUNCHER - FROM_CONSUMER
