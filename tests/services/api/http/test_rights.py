"""What bodies and queries name is judged like what paths name: projects, environments, people."""

from __future__ import annotations

from typing import Any

import pytest

from services.core.aggregates import ENVIRONMENT, PROJECT
from services.core.commands import ArchiveEnvironment, ArchiveProject, CreateEnvironment, RestoreProject
from services.core.ids import AggregateId
from tests.makers import PERSON as MAKER
from tests.services.api.http.cast import Stage, new_id
from tests.services.api.http.client import V1, Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = {"type": "File", "file": "predict.py", "function": "predict"}


async def publish(stage: Stage, role: str, **body: Any) -> Answer:
    """A version of the private model, which is in the public project."""
    at = f"{V1}/modelApis/{stage.cast.models['private'].id}/versions"
    return await stage.as_(role)("POST", at, {"source": SOURCE, **body})


async def create(stage: Stage, role: str, visibility: str, **body: Any) -> Answer:
    project = body.pop("projectId", None) or stage.cast.projects[visibility].id
    at, named = f"{V1}/modelApis", {"name": "new", "environmentId": ""}
    return await stage.as_(role)("POST", at, {**named, **body, "version": {"projectId": project, "source": SOURCE}})


async def test_a_contributor_makes_models_in_the_project_and_owns_them_and_they_are_private(stage: Stage) -> None:
    answer = await create(stage, "contributor", "Private")
    assert answer.status == 201
    assert answer.body["ownerId"] == stage.cast.people["contributor"]
    assert answer.body["access"]["isPublic"] is False
    at = answer.headers["Location"]
    assert (await stage.as_("contributor")("DELETE", at)).status == 204
    assert (await stage.as_("stranger")("GET", at)).status == 404


@pytest.mark.parametrize("path", [f"{V1}/modelApis", "/v1/models", "/v4/models/buildModelImage"])
async def test_a_model_in_a_project_that_is_hidden_is_refused_in_the_words_for_one_that_is_not_there(
    stage: Stage, path: str
) -> None:
    faults = []
    for project in (stage.cast.projects["Private"].id, "f" * 24):
        body = {"name": "m", "modelName": "m", "projectId": project, "version": {"projectId": project}}
        answer = await stage.as_("stranger")("POST", path, body)
        assert answer.status == 404
        faults.append(answer.fault.replace(project, "…"))
    assert faults == ["there is no project …"] * 2


async def test_a_model_in_a_project_that_is_only_visible_is_refused_with_who_may(stage: Stage) -> None:
    for role in ("stranger", "consumer"):
        answer = await create(stage, role, "Public")
        fault = f"{role} may not create model: that takes a Contributor of the project"
        assert (answer.status, answer.fault) == (403, fault)


async def test_no_model_is_made_in_an_archived_project(stage: Stage) -> None:
    project = stage.cast.projects["Searchable"].id
    await stage.deps.ledger.execute(PROJECT, project, ArchiveProject(), actor=MAKER)
    answer = await create(stage, "contributor", "Searchable")
    assert (answer.status, answer.fault) == (422, "project 'searchable' is archived: restore it first")
    await stage.deps.ledger.execute(PROJECT, project, RestoreProject(), actor=MAKER)


@pytest.mark.parametrize(
    ("role", "visibility", "status"),
    [
        ("colleague", "Private", 201),  # works on both
        ("contributor", "Searchable", 201),
        ("coOwner", "Public", 201),  # the model's own: an Owner publishes whatever the project says
        ("coOwner", "Private", 404),
        ("coOwner", "Searchable", 403),  # sees that there is one, and not its files
        ("modelOwner", "Private", 404),
    ],
)
async def test_files_of_another_project_are_published_by_those_who_work_on_it(
    stage: Stage, role: str, visibility: str, status: int
) -> None:
    other = stage.cast.projects[visibility].id
    answer = await publish(stage, role, projectId=other)
    assert answer.status == status
    if status == 201:
        # What follows is of the other project too, unless it says otherwise: that is asked of whoever publishes it.
        assert (await publish(stage, "coOwner")).status == {"Public": 201, "Private": 404, "Searchable": 403}[
            visibility
        ]
        assert (await publish(stage, "coOwner", projectId=stage.cast.projects["Public"].id)).status == 201
    if status == 404:
        assert answer.fault == f"there is no project {other}"


async def environment(stage: Stage, owner: str, *, is_archived: bool = False) -> AggregateId:
    made, owner_id = new_id(), stage.cast.people[owner]
    command = CreateEnvironment(owner_id=owner_id, name=f"of {owner} {made}", revision_id=new_id())
    await stage.deps.ledger.execute(ENVIRONMENT, made, command, actor=MAKER)
    if is_archived:
        await stage.deps.ledger.execute(ENVIRONMENT, made, ArchiveEnvironment(), actor=MAKER)
    return made


async def test_an_environment_is_named_by_those_who_may_use_it(stage: Stage) -> None:
    """At publishing and where a model is made or described; the one that the model has is everybody's who may that."""
    private = stage.cast.environments["Private"]
    assert stage.cast.models["private"].environment_id == private
    assert (await publish(stage, "colleague")).body["environmentId"] == private
    assert (await publish(stage, "colleague", environmentId=private)).status == 201
    foreign = await environment(stage, "stranger")
    at = f"{V1}/modelApis/{stage.cast.models['private'].id}"
    described = {"name": "private model", "description": "", "environmentId": foreign, "replicas": 1}
    for answer in (
        await publish(stage, "colleague", environmentId=foreign),
        await create(stage, "contributor", "Private", environmentId=foreign),
        await stage.as_("editor")("PUT", at, described),
    ):
        assert (answer.status, answer.fault) == (404, f"there is no environment {foreign}")
    assert (await stage.as_("editor")("PUT", at, {**described, "environmentId": private})).status == 200
    assert (await create(stage, "contributor", "Private", environmentId=private)).status == 404
    usable = await environment(stage, "contributor")
    assert (await create(stage, "contributor", "Private", environmentId=usable, name="mine")).status == 201


async def test_an_archived_environment_is_named_by_nobody(stage: Stage) -> None:
    old = await environment(stage, "contributor", is_archived=True)
    at = f"{V1}/modelApis/{stage.cast.models['private'].id}"
    described = {"name": "private model", "description": "", "environmentId": old, "replicas": 1}
    for answer in (
        await publish(stage, "contributor", environmentId=old),
        await create(stage, "contributor", "Private", environmentId=old),
        await stage.as_("contributor")("PUT", at, described),
    ):
        assert answer.status == 422
        assert answer.fault.endswith("is archived: name another in environmentId")


async def test_a_project_is_made_for_another_by_administrators_only(stage: Stage) -> None:
    body = {"name": "theirs", "ownerId": stage.cast.people["somebody"]}
    assert (await stage.as_("stranger")("POST", "/v4/projects", body)).status == 403
    made = await stage.as_("administrator")("POST", "/v4/projects", body)
    assert (made.status, made.body["ownerName"]) == (201, "somebody")
    own = {"name": "mine", "ownerId": stage.cast.people["stranger"]}
    assert (await stage.as_("stranger")("POST", "/v4/projects", own)).status == 201


async def test_an_environment_for_everybody_is_made_by_administrators_only(stage: Stage) -> None:
    at, body = "/api/environments/beta/environments", {"name": "for all", "visibility": "Global"}
    refused = await stage.as_("stranger")("POST", at, body)
    assert (refused.status, refused.fault) == (403, "stranger may not change platform: that takes an administrator")
    assert (await stage.as_("administrator")("POST", at, body)).status == 201
    assert (await stage.as_("stranger")("POST", at, {"name": "for me"})).status == 201


async def test_a_hidden_project_is_found_by_name_as_little_as_one_that_is_not_there(stage: Stage) -> None:
    at, hidden = "/v4/gateway/projects/findProjectByOwnerAndName", stage.cast.projects["Private"]
    for name in (hidden.name, "nowhere"):
        answer = await stage.as_("stranger")("GET", at, params={"ownerName": "projectOwner", "projectName": name})
        assert (answer.status, answer.fault) == (404, f"there is no project 'projectOwner/{name}'")
        there = await stage.as_("stranger")("GET", f"/v1/projects/projectOwner/{name}/commits")
        assert (there.status, there.fault) == (404, f"there is no project 'projectOwner/{name}'")
