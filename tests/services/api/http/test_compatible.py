"""Collaborators, tags, files by key, archives and environments, for programs that know the older routes."""

from __future__ import annotations

from typing import Any

from services.api.ledger import MongoLedger
from tests.services.api.http.client import CODE, V1, Client
from tests.services.api.http.conftest import ADMINISTRATOR
from tests.services.api.http.people import add_person

ENVIRONMENTS = "/api/environments/v1/environments"
BETA = "/api/environments/beta/environments"
GATEWAY = "/v4/gateway/projects"


async def user_id(api: Client, name: str) -> str:
    return str(next(user["id"] for user in await api.ok("GET", "/v4/users") if user["userName"] == name))


async def listed(client: Client, **params: str) -> set[str]:
    return {each["name"] for each in await client.ok("GET", GATEWAY, params=params)}


async def test_the_owner_alone_says_who_works_on_a_project(api: Client, ledger: MongoLedger) -> None:
    grace, alan = await add_person(api, ledger), await add_person(api, ledger, "alan")
    project = await grace.project("churn")
    at, named_at = f"/v4/projects/{project}/collaborators", "/grace/churn/collaborators"
    alans = {"collaboratorId": await user_id(api, "alan"), "projectRole": "Contributor"}
    assert (await alan("POST", at, alans)).status == (await alan("GET", named_at)).status == 404
    invited = await grace("POST", at, alans)
    assert (invited.status, invited.body) == (200, {**alans, "name": "alan"})
    assert await alan.ok("GET", named_at) == ["alan"]
    refused = await alan("POST", at, {"collaboratorId": await user_id(api, ADMINISTRATOR)})
    assert (refused.status, "takes the owner of the project" in refused.fault) == (403, True)
    assert (await alan("DELETE", f"{at}/{alans['collaboratorId']}")).status == 403
    assert (await grace("DELETE", f"{at}/{alans['collaboratorId']}")).status == 204
    assert (await grace("DELETE", f"{at}/{alans['collaboratorId']}")).status == 404
    assert await grace.ok("GET", named_at) == []


async def test_an_organisation_is_invited_as_a_person_is(api: Client, ledger: MongoLedger) -> None:
    grace = await add_person(api, ledger)
    lab = (await api.ok("POST", f"{V1}/organisations", {"name": "lab"}))["id"]
    await api.ok("PUT", f"{V1}/organisations/{lab}/members/{await user_id(api, 'grace')}", {"isOwner": False})
    project = await api.project("churn")
    assert (await grace("GET", f"/v4/projects/{project}")).status == 404
    body = {"collaboratorId": lab, "projectRole": "ResultsConsumer"}
    assert (await api.ok("POST", f"/v4/projects/{project}/collaborators", body))["name"] == "lab"
    assert (await grace("GET", f"/v4/projects/{project}")).status == 200
    assert await listed(grace, relationship="Collaborating") == {"churn"}


async def test_an_invitation_that_cannot_be_is_refused(api: Client, ledger: MongoLedger) -> None:
    await add_person(api, ledger)
    at = f"/v4/projects/{await api.project()}/collaborators"
    for body, status, said in (
        ({}, 400, "collaboratorId"),
        ({"collaboratorId": "f" * 24}, 400, "collaboratorId must be"),
        ({"collaboratorId": ADMINISTRATOR}, 422, "needs no role in it"),
        ({"collaboratorId": "grace", "projectRole": "King"}, 400, "projectRole must be one of Contributor"),
    ):
        answer = await api("POST", at, body)
        assert (answer.status, said in answer.fault) == (status, True), answer.raw


async def test_contributors_tag_a_project_and_who_may_not_find_it_finds_no_tag(
    api: Client, ledger: MongoLedger
) -> None:
    grace, alan = await add_person(api, ledger), await add_person(api, ledger, "alan")
    project = await api.project("churn")
    at = f"/v4/projects/{project}/tags"
    for name, role in (("grace", "Contributor"), ("alan", "ResultsConsumer")):
        body = {"collaboratorId": name, "projectRole": role}
        await api.ok("POST", f"/v4/projects/{project}/collaborators", body)
    [tag] = await grace.ok("POST", at, {"tagNames": ["a"]})
    assert (await alan("POST", at, {"tagNames": ["b"]})).status == 403
    details = await alan.ok("GET", f"/projectTags/{tag['id']}")
    assert (details["_id"], details["name"], details["projectId"]) == (tag["id"], "a", project)
    assert details["lastAdded"] > 0
    stranger = await add_person(api, ledger, "eve")
    hidden, unknown = await stranger("GET", f"/projectTags/{tag['id']}"), await api("GET", f"/projectTags/{'f' * 24}")
    assert (hidden.status, unknown.status) == (404, 404)
    assert hidden.fault.replace(tag["id"], "") == unknown.fault.replace("f" * 24, "")
    assert (await alan("DELETE", f"{at}/{tag['id']}")).status == 403
    assert (await grace("DELETE", f"{at}/{tag['id']}")).status == 204
    assert (await api.ok("GET", f"/v4/projects/{project}"))["tags"] == []
    for names in (["\n"], [""], ["x" * 101], ["a"] * 101):
        assert (await grace("POST", at, {"tagNames": names})).status == 400, names


async def test_a_key_opens_a_file_of_its_own_project_only(api: Client, ledger: MongoLedger) -> None:
    grace = await add_person(api, ledger)
    await api.project_with_code("hidden")
    await grace.project_with_code("churn")
    commit = (await api.ok("GET", f"/v1/projects/{ADMINISTRATOR}/hidden/commits"))[0]
    [file] = (await api.ok("GET", f"/v1/projects/{ADMINISTRATOR}/hidden/files/{commit}/"))["data"]
    assert (await api("GET", f"/v1/projects/{ADMINISTRATOR}/hidden/blobs/{file['key']}")).raw == CODE
    for path in (
        f"/v1/projects/{ADMINISTRATOR}/hidden/blobs/{file['key']}",  # not theirs
        f"/v1/projects/grace/churn/blobs/{file['key']}",  # of a commit that is not theirs, with content that is
        f"/v1/projects/grace/churn/blobs/{file['sha256'][:40]}",
        f"/v1/projects/grace/churn/blobs/{file['sha256']}",
    ):
        assert (await grace("GET", path)).status == 404, path
    assert (await api("GET", f"/v1/projects/{ADMINISTRATOR}/hidden/blobs/{commit}{'0' * 16}")).status == 404


async def test_projects_are_listed_for_those_who_may_find_them_by_how_they_stand_to_them(
    api: Client, ledger: MongoLedger
) -> None:
    grace = await add_person(api, ledger)
    for name, visibility in (("p", "Public"), ("q", "Public"), ("s", "Searchable"), ("x", "Private"), ("y", "Private")):
        invited = [{"collaboratorId": await user_id(api, "grace")}] if name in ("q", "y") else []
        body = {"name": name, "visibility": visibility, "collaborators": invited}
        await api.ok("POST", "/v4/projects", body)
    await grace.project("own")
    assert await listed(grace) == {"own", "p", "q", "s", "y"}
    assert await listed(grace, relationship="Owned") == {"own"}
    assert await listed(grace, relationship="Collaborating") == {"q", "y"}
    assert await listed(grace, relationship="Suggested") == await listed(grace, relationship="Suggesting") == {"p", "s"}
    popular = await grace.ok("GET", GATEWAY, params={"relationship": "Popular"})
    assert [each["name"] for each in popular] == ["q", "p"]
    every = {"own", "p", "q", "s", "x", "y"}
    assert await listed(api) == {each["name"] for each in await api.ok("GET", "/v4/projects")} == every
    assert {each["name"] for each in await grace.ok("GET", "/v4/projects")} == every - {"x"}
    mine = {"name": "own", "ownerId": (await grace.ok("GET", "/v4/users/self"))["id"]}
    assert [each["name"] for each in await api.ok("GET", "/v4/projects", params=mine)] == ["own"]
    assert await api.ok("GET", "/v4/projects", params={**mine, "name": "p"}) == []
    wrong = await grace("GET", GATEWAY, params={"relationship": "Friends"})
    assert (wrong.status, wrong.fault[:31]) == (400, "relationship must be one of Own")
    hidden = {"ownerName": ADMINISTRATOR, "projectName": "x"}
    unknown = {"ownerName": ADMINISTRATOR, "projectName": "z"}
    answers = [await grace("GET", f"{GATEWAY}/findProjectByOwnerAndName", params=each) for each in (hidden, unknown)]
    assert [each.status for each in answers] == [404, 404]
    assert answers[0].fault.replace("/x", "") == answers[1].fault.replace("/z", "")


async def test_an_archived_project_is_listed_where_completed_ones_are_asked_for(
    api: Client, ledger: MongoLedger
) -> None:
    grace = await add_person(api, ledger)
    project = (await grace.ok("POST", "/v4/projects", {"name": "old", "visibility": "Public"}))["id"]
    alan = await add_person(api, ledger, "alan")
    assert (await alan("DELETE", f"/v4/projects/{project}")).status == 403
    for _ in range(2):
        assert (await grace("DELETE", f"/v4/projects/{project}")).status == 204
    assert await listed(grace) == {each["name"] for each in await grace.ok("GET", "/v4/projects")} == set()
    assert await listed(grace, showCompleted="true") == {"old"}
    assert (await grace.ok("GET", f"/v4/projects/{project}"))["isArchived"] is True
    assert (await grace("PUT", "/v1/projects/grace/old/a.py", data=b"x")).status == 422
    assert (await grace("POST", "/v4/projects", {"name": "old"})).status == 422


async def test_a_project_for_another_person_is_for_administrators_to_make(api: Client, ledger: MongoLedger) -> None:
    grace = await add_person(api, ledger)
    form = {"projectName": "gift", "ownerOverrideUsername": "grace"}
    assert (await api.ok("POST", "/project", data=form))["ownerName"] == "grace"
    theirs = {"projectName": "gift", "ownerOverrideUsername": ADMINISTRATOR}
    assert (await grace("POST", "/project", data=theirs)).status == 403
    owner = await user_id(api, ADMINISTRATOR)
    assert (await grace("POST", "/v4/projects", {"name": "gift", "ownerId": owner})).status == 403
    for form, status in (
        ({}, 400),
        ({"projectName": "a/b"}, 400),
        ({"projectName": "gift"}, 422),
        ({"projectName": "x", "ownerOverrideUsername": "nobody"}, 404),
    ):
        assert (await grace("POST", "/project", data=form)).status == status, form


async def test_who_may_read_a_projects_files_may_copy_it(api: Client, ledger: MongoLedger) -> None:
    grace = await add_person(api, ledger)
    project = await api.project_with_code("churn")
    at = f"/v4/projects/{project}/fork"
    assert (await grace("POST", at, {"name": "mine"})).status == 404
    body = {"collaboratorId": "grace", "projectRole": "ResultsConsumer"}
    await api.ok("POST", f"/v4/projects/{project}/collaborators", body)
    copied = await grace("POST", at, {"name": "mine"})
    assert (copied.status, copied.body["ownerName"], copied.body["visibility"]) == (200, "grace", "Private")
    [commit] = await grace.ok("GET", "/v1/projects/grace/mine/commits")
    [file] = (await grace.ok("GET", f"/v1/projects/grace/mine/files/{commit}/"))["data"]
    assert (await grace("GET", f"/v1/projects/grace/mine/blobs/{file['key']}")).raw == CODE
    assert (await grace("POST", at, {"name": "mine"})).status == 422
    empty = await grace.project("empty")
    assert (await grace("POST", f"/v4/projects/{empty}/fork", {"name": "copy"})).status == 200


async def test_an_environment_is_its_owners_unless_it_is_everybodys(api: Client, ledger: MongoLedger) -> None:
    grace, alan = await add_person(api, ledger), await add_person(api, ledger, "alan")
    made = await grace.ok("POST", BETA, {"name": "mine", "dockerfileInstructions": "RUN pip install six==1.17.0"})
    assert made["latestRevision"]["dockerfileInstructions"] == "RUN pip install six==1.17.0"

    async def seen(client: Client) -> set[str]:
        return {each["name"] for each in (await client.ok("GET", "/v1/environments"))["data"]}

    assert (await seen(grace), await seen(alan)) == ({"default", "mine"}, {"default"})
    project = await alan.project_with_code("churn")
    useable = await alan.ok("GET", f"/v4/projects/{project}/useableEnvironments")
    assert [each["name"] for each in useable["environments"]] == ["default"]
    for method, path in (
        ("GET", f"{ENVIRONMENTS}/{made['id']}"),
        ("DELETE", f"{ENVIRONMENTS}/{made['id']}"),
        ("POST", f"{BETA}/{made['id']}/revisions"),
    ):
        assert (await alan(method, path, {"requirements": "x"} if method == "POST" else None)).status == 404, path
    everybodys = {"name": "all", "visibility": "Global"}
    assert (await grace("POST", BETA, everybodys)).status == 403
    assert (await api("POST", BETA, everybodys)).status == 201
    assert await seen(alan) == {"default", "all"}
    assert (await alan("DELETE", f"{ENVIRONMENTS}/{made['id']}")).status == 404


async def test_no_new_version_names_an_archived_environment(api: Client) -> None:
    made = await api.ok("POST", BETA, {"name": "old"})
    model = await api.model(environmentId=made["id"])
    for _ in range(2):
        assert (await api("DELETE", f"{ENVIRONMENTS}/{made['id']}")).status == 204
    assert (await api.ok("GET", f"{ENVIRONMENTS}/{made['id']}"))["isArchived"] is True
    again = await api("POST", f"{V1}/modelApis/{model['id']}/versions", {})
    assert (again.status, again.fault) == (422, "environment 'old' is archived: name another in environmentId")
    default = await api.ok("GET", "/v4/environments/defaultEnvironment")
    other = await api("POST", f"{V1}/modelApis/{model['id']}/versions", {"environmentId": default["id"]})
    assert other.status == 201
    refused = await api("DELETE", f"{ENVIRONMENTS}/{default['id']}")
    assert (refused.status, "cannot be archived" in refused.fault) == (422, True)


NOT_KEPT: list[tuple[dict[str, Any], str]] = [
    ({"dockerfileInstructions": "FROM scratch"}, "dockerfileInstructions line 1: 'FROM scratch' is no RUN"),
    ({"dockerfileInstructions": "RUN pip install six", "requirements": "six"}, "dockerfileInstructions must be le"),
    ({"image": "python:3.11"}, "image must be left out: environments are lists of packages here, and no images"),
    ({"environmentVariables": [{"name": "A", "value": "1"}]}, "environmentVariables must be empty: a Model API"),
    ({"preRunScript": "ls"}, "preRunScript must be empty: no script runs in an environment"),
    ({"postRunScript": "ls"}, "postRunScript must be empty"),
    ({"preSetupScript": "ls"}, "preSetupScript must be empty"),
    ({"postSetupScript": "ls"}, "postSetupScript must be empty"),
    ({"supportedClusters": ["Spark"]}, "supportedClusters must be empty: there are no clusters"),
    ({"useVpn": True}, "useVpn must be false: there is no VPN"),
    ({"isRestricted": True}, "isRestricted must be false"),
    ({"orgOwnerId": "f" * 24}, "orgOwnerId must be left out: an environment is a person's"),
]


async def test_what_an_environment_could_not_keep_is_refused(api: Client) -> None:
    for body, said in NOT_KEPT:
        answer = await api("POST", BETA, {"name": "x", **body})
        assert (answer.status, answer.fault[: len(said)]) == (400, said)


async def test_a_revision_says_its_packages_in_either_notation(api: Client) -> None:
    made = await api.ok("POST", BETA, {"name": "x", "requirements": "six"})
    at = f"{BETA}/{made['id']}/revisions"
    same = await api("POST", at, {"dockerfileInstructions": "RUN pip3 install -U six"})
    assert (same.status, same.body["latestRevision"]["number"]) == (200, 1)
    emptied = await api("POST", at, {"dockerfileInstructions": ""})
    assert (emptied.status, emptied.body["latestRevision"]["requirements"]) == (201, "")
    hashed = await api.ok("POST", at, {"requirements": f"six==1.17.0 --hash=sha256:{'0' * 64}"})
    assert hashed["latestRevision"]["dockerfileInstructions"] is None
    neither = await api("POST", at, {})
    assert (neither.status, neither.fault) == (400, "requirements or dockerfileInstructions must be given")


async def test_a_model_that_is_only_built_waits_to_be_started(api: Client, ledger: MongoLedger) -> None:
    project = await api.project_with_code()
    body = {
        "projectId": project,
        "inferenceFunctionFile": "predict.py",
        "inferenceFunctionToCall": "predict",
        "environmentId": None,
        "modelName": "built",
        "logHttpRequestResponse": True,
        "description": "only built",
    }
    answer = await api("POST", "/v4/models/buildModelImage", body)
    made = answer.body
    assert (answer.status, made["status"]) == (200, "preparing")
    shown = await api.ok("GET", f"{V1}/modelApis/{made['modelId']}/versions/{made['modelVersionId']}")
    assert (shown["logHttpRequestResponse"], shown["description"]) == (True, "only built")
    for change, said in (
        ({"inferenceFunctionFile": "predict.txt"}, "inferenceFunctionFile must end in"),
        ({"inferenceFunctionToCall": "a.b"}, "inferenceFunctionToCall must be the plain name"),
        ({"modelName": ""}, "modelName must be 1 to 100"),
        ({"projectId": None}, "projectId is required"),
    ):
        wrong = await api("POST", "/v4/models/buildModelImage", {**body, **change})
        assert (wrong.status, wrong.fault[: len(said)]) == (400, said)
    grace = await add_person(api, ledger)
    assert (await grace("POST", "/v4/models/buildModelImage", body)).status == 404
