"""Projects, environments and people, as existing clients ask for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.services.api.http.client import V1, Client

BETA = "/api/environments/beta/environments"


async def test_a_new_project_is_found_by_owner_and_name_and_listed(api: Client) -> None:
    body = {"name": "churn", "description": "who leaves", "visibility": "Public", "tags": {"tagNames": ["x"]}}
    answer = await api("POST", "/v4/projects", {**body, "ownerId": "", "collaborators": []})
    assert answer.status == 201
    project = answer.body
    assert {"name": "churn", "description": "who leaves", "visibility": "Public", "ownerName": "ada"}.items() <= (
        project.items()
    )
    at = "/v4/gateway/projects"
    params = {"ownerName": "ada", "projectName": "churn"}
    assert await api.ok("GET", f"{at}/findProjectByOwnerAndName", params=params) == project
    assert await api.ok("GET", at, params={"relationship": "owned", "showCompleted": "false"}) == [project]
    assert await api.ok("GET", answer.headers["Location"]) == project


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, "name is required"),
        ({"name": ".."}, 400, "name must be 1 to 100 letters, digits, '.', '_' and '-', beginning with"),
        ({"name": "a/b"}, 400, "name must be"),
        ({"name": "x" * 101}, 400, "name must be"),
        ({"name": "x", "visibility": "Hidden"}, 400, "visibility must be one of Public, Searchable, Private"),
        ({"name": "x", "description": "x" * 10_001}, 400, "description must have at most 10000 characters"),
        ({"name": "x", "ownerId": "f" * 24}, 404, "there is no person ffffffffffffffffffffffff"),
    ],
)
async def test_a_project_that_cannot_be_is_refused(
    api: Client, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = await api("POST", "/v4/projects", body)
    assert answer.status == status
    assert sentence in answer.fault


async def test_a_project_name_that_is_taken_is_refused_with_422_and_never_409(api: Client) -> None:
    await api.project("churn")
    answer = await api("POST", "/v4/projects", {"name": "churn"})
    assert (answer.status, answer.fault) == (422, "there is already a project with this name")


async def test_a_project_nobody_made_is_not_found(api: Client) -> None:
    at = "/v4/gateway/projects/findProjectByOwnerAndName"
    for params in ({"ownerName": "ada", "projectName": "none"}, {"ownerName": "\0"}, {}):
        assert (await api("GET", at, params=params)).status == 404


async def test_a_new_environment_has_a_first_revision_and_may_get_more(api: Client) -> None:
    answer = await api("POST", BETA, {"name": "lean", "requirements": "numpy\n"})
    assert answer.status == 201
    environment = answer.body
    assert (environment["latestRevision"]["number"], environment["latestRevision"]["requirements"]) == (1, "numpy\n")
    at = answer.headers["Location"]
    assert at == f"/api/environments/v1/environments/{environment['id']}"
    assert await api.ok("GET", at) == environment

    revised = await api("POST", f"{BETA}/{environment['id']}/revisions", {"requirements": "numpy==2\n"})
    assert (revised.status, revised.body["latestRevision"]["number"]) == (201, 2)
    same = await api("POST", f"{BETA}/{environment['id']}/revisions", {"requirements": "numpy==2\n"})
    assert (same.status, same.body) == (200, revised.body)


async def test_a_platform_begins_with_a_default_environment(api: Client) -> None:
    default = await api.ok("GET", "/v4/environments/defaultEnvironment")
    assert default["latestRevisionDetails"]["dockerImage"] is None
    await api.ok("POST", BETA, {"name": "Lean"})
    listed = await api.ok("GET", "/v1/environments")
    assert listed["objectType"] == "list"
    assert {"id": default["id"], "name": "default", "visibility": "Global"} in listed["data"]
    assert len(listed["data"]) == 2


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"name": "\u202eevil"}, "name must be 1 to 100 printable characters"),
        ({"name": "x", "visibility": "Public"}, "visibility must be one of Global, Private"),
        ({"name": "x", "requirements": ["numpy"]}, "requirements must be text or null, got a list"),
        ({"name": "x", "requirements": "#" * 65_537}, "requirements must have at most 65536 characters"),
    ],
)
async def test_an_environment_that_cannot_be_is_refused(api: Client, body: dict[str, Any], sentence: str) -> None:
    answer = await api("POST", BETA, body)
    assert answer.status == 400
    assert sentence in answer.fault


async def test_people_are_listed_without_their_keys(api: Client) -> None:
    whoami = await api.ok("GET", f"{V1}/whoami")
    assert await api.ok("GET", "/v4/users") == [{"id": whoami["id"], "userName": "ada", "email": "", "fullName": ""}]


NOT_REQUIREMENTS = [
    ("--index-url https://ada:hush@evil.example/simple", "is an option, which is not allowed"),
    ("--extra-index-url=https://ada:hush@evil.example", "is an option, which is not allowed"),
    ("-e .", "is an option, which is not allowed"),
    ("-r other.txt", "is an option, which is not allowed"),
    ("file:///etc/passwd", "names an address, which is not allowed"),
    ("git+ssh://git@evil.example/x", "names an address, which is not allowed"),
    ("six @ https://ada:hush@evil.example/six.whl", "names an address, which is not allowed"),
    ("./six", "is a path, which is not allowed"),
    ("six-1.0.tar.gz", "is a path, which is not allowed"),
    ("six \\\n--index-url https://evil.example", "names an address, which is not allowed"),
]


@pytest.mark.parametrize(("line", "fault"), NOT_REQUIREMENTS, ids=[line[:20] for line, _ in NOT_REQUIREMENTS])
async def test_requirements_that_are_not_of_packages_are_refused_before_they_are_in_the_history(
    api: Client, line: str, fault: str
) -> None:
    environment = await api.ok("POST", BETA, {"name": "lean", "requirements": "# the beginning\nnumpy\n"})
    for at, body in ((BETA, {"name": "other"}), (f"{BETA}/{environment['id']}/revisions", {})):
        answer = await api("POST", at, {**body, "requirements": f"numpy\n{line}\n"})
        assert answer.status == 400
        assert answer.fault.startswith("requirements line 2: ")
        assert fault in answer.fault
        assert "hush" not in answer.fault
    assert b"evil" not in msgspec.json.encode(await api.ok("GET", f"{V1}/audit"))
