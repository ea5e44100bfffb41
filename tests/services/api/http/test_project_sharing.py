"""A project and its people: who finds it, who works on it, and what each of them may."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery
from services.api.store.store import MongoStore
from services.core.aggregates import ORGANISATION
from services.core.commands import CreateOrganisation
from services.kit.ids import new_object_id
from tests.makers import PERSON as ADA
from tests.services.api.http.client import CODE, V1, Client
from tests.services.api.http.people import add_person


@pytest.fixture
async def at(api: Client) -> str:
    """A private project with a commit."""
    return f"{V1}/projects/{await api.project_with_code()}"


def roles(project: Any) -> list[tuple[str, str]]:
    return [(each["name"], each["role"]) for each in project["collaborators"]]


async def test_a_project_is_shown_with_its_people_and_its_newest_commit(api: Client, at: str) -> None:
    shown = await api.ok("GET", at)
    newest = (await api.ok("GET", f"{at}/snapshots"))[0]["commitId"]
    assert (shown["name"], shown["ownerName"], shown["visibility"], shown["isArchived"]) == (
        "iris",
        "ada",
        "Private",
        False,
    )
    assert (shown["collaborators"], shown["tags"], shown["snapshots"]) == ([], [], 1)
    assert shown["newestCommitId"] == newest
    empty = await api.project("empty")
    assert (await api.ok("GET", f"{V1}/projects/{empty}"))["newestCommitId"] is None


async def test_describing_leaves_alone_what_is_not_named(api: Client, at: str) -> None:
    await api.ok("PUT", at, {"description": "flowers"})
    changed = await api.ok("PUT", at, {"visibility": "Searchable"})
    assert (changed["description"], changed["visibility"]) == ("flowers", "Searchable")
    answer = await api("PUT", at, {"visibility": "Hidden"})
    assert (answer.status, answer.fault) == (400, "visibility must be one of Public, Searchable, Private")
    assert (await api("PUT", at, {"description": "x" * 10_001})).status == 400


async def test_each_role_may_what_it_says(api: Client, ledger: MongoLedger, at: str) -> None:
    people = {}
    for name, role in (
        ("grace", "Contributor"),
        ("lin", "ResultsConsumer"),
        ("mae", "LauncherUser"),
        ("zoe", "ProjectImporter"),
    ):
        people[name] = await add_person(api, ledger, name)
        assert (await people[name]("GET", at)).status == 404
        project = await api.ok("PUT", f"{at}/collaborators", {"collaborator": name, "role": role})
    assert roles(project) == [
        ("grace", "Contributor"),
        ("lin", "ResultsConsumer"),
        ("mae", "LauncherUser"),
        ("zoe", "ProjectImporter"),
    ]
    assert [each["name"] for each in await api.ok("GET", f"{at}/collaborators")] == list(people)
    requests: tuple[tuple[str, str, Any], ...] = (
        ("GET", "", None),
        ("GET", "/collaborators", None),
        ("PUT", "", {"description": "d"}),
        ("PUT", "", {"visibility": "Public"}),
        ("PUT", "/collaborators", {"collaborator": "lin", "role": "Contributor"}),
        ("POST", "/archive", None),
    )
    answers = {
        name: [(await client(method, at + path, body)).status for method, path, body in requests]
        for name, client in people.items()
    }
    assert answers == {
        "grace": [200, 200, 200, 403, 403, 403],
        "lin": [200, 200, 403, 403, 403, 403],
        "mae": [200, 403, 403, 403, 403, 403],
        "zoe": [200, 403, 403, 403, 403, 403],
    }


async def test_an_organisation_is_invited_and_taken_out_again(api: Client, ledger: MongoLedger, at: str) -> None:
    grace = await add_person(api, ledger)
    [grace_id] = [each["id"] for each in await api.ok("GET", "/v4/users") if each["userName"] == "grace"]
    await ledger.execute(ORGANISATION, new_object_id(), CreateOrganisation(name="lab", owner_id=grace_id), actor=ADA)
    project = await api.ok("PUT", f"{at}/collaborators", {"collaborator": "lab", "role": "Contributor"})
    assert [(each["kind"], each["name"]) for each in project["collaborators"]] == [("organisation", "lab")]
    await grace.ok("PUT", at, {"description": "ours"})
    answer = await grace("POST", f"{at}/leave")
    assert (answer.status, answer.fault) == (422, "grace has no role of their own in project 'iris'")
    assert (await api.ok("DELETE", f"{at}/collaborators/lab"))["collaborators"] == []
    assert (await grace("GET", at)).status == 404


async def test_a_collaborator_leaves_without_asking(api: Client, ledger: MongoLedger, at: str) -> None:
    grace = await add_person(api, ledger)
    await api.ok("PUT", f"{at}/collaborators", {"collaborator": "grace", "role": "LauncherUser"})
    assert (await grace("POST", f"{at}/leave")).status == 204
    assert (await grace("GET", at)).status == 404


async def test_who_cannot_be_invited_is_told_with_the_reason(api: Client, ledger: MongoLedger, at: str) -> None:
    await add_person(api, ledger)
    for who, role, status, said in (
        ("nobody", "Contributor", 400, "nobody here is called 'nobody'"),
        ("grace", "Editor", 400, "role must be one of Contributor, ResultsConsumer, LauncherUser, ProjectImporter"),
        ("ada", "Contributor", 422, "ada owns project 'iris' and needs no role in it"),
    ):
        answer = await api("PUT", f"{at}/collaborators", {"collaborator": who, "role": role})
        assert (answer.status, said in answer.fault) == (status, True), answer.fault


async def test_an_archived_project_takes_no_files_until_it_is_restored(api: Client, at: str) -> None:
    project = at.split("/")[-1]
    for _ in range(2):
        assert (await api.ok("POST", f"{at}/archive"))["isArchived"] is True
    assert await api.ok("GET", "/v4/gateway/projects") == []
    digest = (await api.ok("GET", f"{at}/snapshots/{(await api.ok('GET', at))['newestCommitId']}/files"))["items"][0]
    files = {"files": [{"path": "b.py", "sizeBytes": len(CODE), "sha256": digest["sha256"]}]}
    refused = await api("POST", f"{at}/snapshots", files)
    assert (refused.status, refused.fault) == (422, "project 'iris' is archived: restore it first")
    assert (await api.ok("POST", f"{at}/restore"))["isArchived"] is False
    await api.upload(project, {"b.py": CODE})


async def test_a_project_is_made_with_its_people_and_tags_at_once_and_once(
    api: Client, ledger: MongoLedger, store: MongoStore
) -> None:
    grace = (await (await add_person(api, ledger)).ok("GET", f"{V1}/whoami"))["id"]
    body = {
        "name": "churn",
        "visibility": "Private",
        "collaborators": [{"collaboratorId": grace, "projectRole": "ResultsConsumer"}],
        "tags": {"tagNames": ["b", "a", "b"]},
    }
    once = {"Idempotency-Key": "k"}
    made = [await api.ok("POST", "/v4/projects", body, headers=once) for _ in range(2)]
    assert made[0] == made[1]
    shown = await api.ok("GET", f"{V1}/projects/{made[0]['id']}")
    assert (roles(shown), [tag["name"] for tag in shown["tags"]]) == ([("grace", "ResultsConsumer")], ["b", "a"])
    links = await store.entries(EntryQuery(aggregate_id=made[0]["id"]), limit=10)
    assert len({link.entry.id.rpartition(".")[0] for link in links}) == 1
    wrong = await api("POST", "/v4/projects", {**body, "name": "x", "collaborators": [{"collaboratorId": "f" * 24}]})
    assert wrong.status in (400, 404)
    assert (
        await api("GET", "/v4/gateway/projects/findProjectByOwnerAndName?ownerName=ada&projectName=x")
    ).status == 404
