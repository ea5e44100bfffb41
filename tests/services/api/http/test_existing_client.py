"""The requests of the Python client that people have, one by one, and what it reads from their answers.

The client itself cannot be installed beside us: it pins older versions of packages that we use.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.api.ledger import MongoLedger
from tests.services.api.http.client import CODE, V1, Client
from tests.services.api.http.conftest import ADMINISTRATOR, API_KEY
from tests.services.api.http.people import add_person

NAMED_AT = f"/v1/projects/{ADMINISTRATOR}/iris"


class ExistingClient:
    """Speaks as it does: whatever is not a success is an error, and a 409 is a session that has ended."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        response = await self._http.request(method, path, **sent)
        assert response.status_code != 409
        return response.raise_for_status()

    async def read(self, path: str, **params: str) -> Any:
        return (await self("GET", path, params=params)).json()

    async def project_id(self) -> str:
        found = await self.read(
            "/v4/gateway/projects/findProjectByOwnerAndName", ownerName=ADMINISTRATOR, projectName="iris"
        )
        return str(found["id"])

    async def upload(self, path: str, content: bytes) -> httpx.Response:
        return await self("PUT", f"{NAMED_AT}/{path.lstrip('/')}", content=content)

    async def files(self, commit: str, path: str = "/") -> list[Any]:
        return list((await self.read(f"{NAMED_AT}/files/{commit}/{path}"))["data"])

    async def download(self, commit: str, path: str) -> bytes:
        project = await self.project_id()
        return (await self("GET", f"/api/projects/v1/projects/{project}/files/{commit}/{path}/content")).content

    async def model_publish(self, **changes: Any) -> Any:
        body = {
            "name": "iris",
            "description": "d",
            "projectId": await self.project_id(),
            "file": "predict.py",
            "function": "predict",
            "excludeFiles": [],
            "environmentId": "",
        }
        return (await self("POST", "/v1/models", json={**body, **changes})).json()


@pytest_asyncio.fixture
async def existing(api: Client) -> AsyncIterator[ExistingClient]:
    """It has checked the version, found out who its owner is, and made a project."""
    base = str(api.session._base_url)
    async with httpx.AsyncClient(base_url=base, headers={"X-Domino-Api-Key": API_KEY}) as http:
        client = ExistingClient(http)
        assert tuple(map(int, (await client.read("/version"))["version"].split("."))) >= (5, 11, 0)
        owner = next(user["id"] for user in await client.read("/v4/users") if user["userName"] == ADMINISTRATOR)
        body = {"name": "iris", "visibility": "Public", "ownerId": owner, "description": "", "collaborators": []}
        made = await client("POST", "/v4/projects", json={**body, "tags": {"tagNames": []}})
        listed = await client.read("/v4/gateway/projects", relationship="Owned", showCompleted="false")
        assert [(each["id"], each["name"]) for each in listed] == [(made.json()["id"], "iris")]
        yield client


async def test_each_uploaded_file_is_a_commit_with_the_files_before_it(existing: ExistingClient) -> None:
    assert await existing.read(f"{NAMED_AT}/commits") == []
    for path, content in (("/predict.py", CODE), ("data/a.csv", b"1,2\n"), ("data/empty", b""), ("data/a.csv", b"3")):
        response = await existing.upload(path, content)
        assert (response.status_code, response.json()["path"]) == (201, path.lstrip("/"))
    commits = await existing.read(f"{NAMED_AT}/commits")
    assert len(commits) == 4
    assert response.json()["commitId"] == commits[0]
    files = await existing.files(commits[0])
    assert [(each["path"], each["size"]) for each in files] == [
        ("data/a.csv", 1),
        ("data/empty", 0),
        ("predict.py", len(CODE)),
    ]
    assert [each["path"] for each in await existing.files(commits[0], "data")] == ["data/a.csv", "data/empty"]
    assert [each["path"] for each in await existing.files(commits[-1])] == ["predict.py"]
    assert await existing.download(commits[0], "data/a.csv") == b"3"
    assert await existing.download(commits[1], "/data/a.csv") == b"1,2\n"
    again = await existing.upload("data/a.csv", b"3")
    assert (again.status_code, again.json()["commitId"]) == (200, commits[0])


async def test_files_that_are_uploaded_at_once_are_all_there_afterwards(existing: ExistingClient) -> None:
    await asyncio.gather(*(existing.upload(f"f{n}", str(n).encode()) for n in range(8)))
    commits = await existing.read(f"{NAMED_AT}/commits")
    assert len(commits) == 8
    assert [each["path"] for each in await existing.files(commits[0])] == [f"f{n}" for n in range(8)]


async def test_a_mode_stays_when_a_file_is_replaced_and_a_repeated_upload_is_made_once(
    api: Client, existing: ExistingClient
) -> None:
    project = await existing.project_id()
    run = {"path": "run.sh", "mode": 0o755, "sizeBytes": len(CODE)}
    digest = (await existing.upload("x", CODE)).json()["sha256"]
    await api.ok("POST", f"{V1}/projects/{project}/snapshots", {"files": [{**run, "sha256": digest}]})
    for _ in range(2):
        once = {"Idempotency-Key": "k"}
        await existing("PUT", f"{NAMED_AT}/run.sh", content=b"#!", headers=once)
    assert len(await existing.read(f"{NAMED_AT}/commits")) == 3
    await existing.upload("run.sh", CODE)
    newest = (await api.ok("GET", f"{V1}/projects/{project}/snapshots"))[0]
    again = await api("POST", f"{V1}/projects/{project}/snapshots", {"files": [{**run, "sha256": digest}]})
    assert (again.status, again.body["commitId"]) == (200, newest["commitId"])


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("a%2F..%2Fb", 400, "has a '..' in it"),
        (".modelway/key", 400, "is reserved"),
        ("predict.py/x", 400, "is both a file and a folder"),
        ("PREDICT.PY", 400, "differ only in case"),
    ],
)
async def test_a_path_that_will_not_do_is_refused_with_the_reason(
    api: Client, existing: ExistingClient, path: str, status: int, said: str
) -> None:
    await existing.upload("predict.py", CODE)
    answer = await api("PUT", f"{NAMED_AT}/{path}", data=b"x")
    assert (answer.status, said in answer.fault) == (status, True), answer.raw
    assert len(await existing.read(f"{NAMED_AT}/commits")) == 1


async def test_a_file_beyond_the_limit_is_413_and_what_is_not_there_404(api: Client, existing: ExistingClient) -> None:
    assert (await api("PUT", f"{NAMED_AT}/large", data=b"x" * 2001)).status == 413
    commit = (await existing.upload("predict.py", CODE)).json()["commitId"]
    project = await existing.project_id()
    for path in (
        f"{NAMED_AT}/files/{commit}/nowhere",
        f"{NAMED_AT}/files/{'f' * 24}/",
        f"/v1/projects/{ADMINISTRATOR}/nothing/commits",
        f"/api/projects/v1/projects/{project}/files/{commit}/nowhere/content",
    ):
        assert (await api("GET", path)).status == 404, path
    assert (await api("PUT", f"/v1/projects/{ADMINISTRATOR}/nothing/a.py", data=b"x")).status == 404


async def test_a_file_for_which_there_is_no_room_on_its_way_is_503_and_leaves_nothing(
    api: Client, existing: ExistingClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = (await existing.upload("predict.py", CODE)).json()["commitId"]
    content_at = f"/api/projects/v1/projects/{await existing.project_id()}/files/{commit}/predict.py/content"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    for method, path in (("PUT", f"{NAMED_AT}/a.py"), ("GET", content_at)):
        answer = await api(method, path, data=b"x" if method == "PUT" else None)
        assert (answer.status, answer.fault) == (503, "there is no room for the file on its way")
        assert answer.headers["Retry-After"] == "10"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert (await existing.upload("a.py", b"x")).status_code == 201
    assert (await api("PUT", f"{NAMED_AT}/large", data=b"x" * 2001)).status == 413
    assert (await api("GET", content_at)).raw == CODE
    assert not [name for name in os.listdir(tmp_path) if name.startswith("modelway-file-")]


async def test_a_file_is_sent_to_be_saved_and_not_shown(api: Client, existing: ExistingClient) -> None:
    commit = (await existing.upload("page.html", b"<script>")).json()["commitId"]
    path = f"/api/projects/v1/projects/{await existing.project_id()}/files/{commit}/page.html/content"
    for method, sent in (("GET", b"<script>"), ("HEAD", b"")):
        answer = await api(method, path)
        assert (answer.status, answer.raw, answer.headers["Content-Length"]) == (200, sent, "8")
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_who_may_only_look_may_read_files_and_not_add_any(
    api: Client, existing: ExistingClient, ledger: MongoLedger
) -> None:
    uploaded = (await existing.upload("predict.py", CODE)).json()
    commit, grace = uploaded["commitId"], await add_person(api, ledger)
    assert (await grace("GET", f"{NAMED_AT}/files/{commit}/")).status == 200
    content_at = f"/api/projects/v1/projects/{await existing.project_id()}/files/{commit}/predict.py/content"
    for path in (content_at, f"{NAMED_AT}/blobs/{uploaded['key']}"):
        assert (await grace("GET", path)).raw == CODE
    assert (await grace("PUT", f"{NAMED_AT}/a.py", data=b"x")).status == 403


async def test_a_model_and_its_versions_are_published_and_listed(api: Client, existing: ExistingClient) -> None:
    first_commit = (await existing.upload("predict.py", CODE)).json()["commitId"]
    await existing.upload("other.py", CODE)
    published = (await existing.model_publish(excludeFiles=["*.csv"]))["data"]
    model_id = published["_id"]
    assert (published["name"], published["description"], published["isRestricted"]) == ("iris", "d", True)
    listed = (await existing.read(f"{NAMED_AT}/models"))["data"]
    assert listed == [{"id": model_id, "_id": model_id, "name": "iris"}]
    at = f"/v1/models/{model_id}/versions"
    project = await existing.project_id()
    body = {"projectId": project, "file": "other.py", "function": "predict", "excludeFiles": [], "environmentId": ""}
    second = (await existing("POST", at, json={**body, "description": "second"})).json()
    third = (await existing("POST", at, json={"commitId": first_commit, "file": "predict.py"})).json()
    assert [set(second), second["number"], third["number"]] == [{"id", "number"}, 2, 3]
    versions = (await existing.read(at))["data"]
    assert [(each["_id"], each["metadata"]["number"]) for each in versions[:2]] == [
        (third["id"], 3),
        (second["id"], 2),
    ]
    shown = await api.ok("GET", f"{V1}/modelApis/{model_id}/versions")
    assert [each["source"]["file"] for each in shown] == ["predict.py", "other.py", "predict.py"]
    assert [each["source"]["excludeFiles"] for each in shown] == [[], [], ["*.csv"]]
    assert shown[0]["commitId"] == first_commit
    assert shown[1]["description"] == "second"


async def test_what_is_wrong_with_a_model_is_said_of_the_field_as_it_was_sent_and_never_409(
    api: Client, existing: ExistingClient
) -> None:
    await existing.upload("predict.py", CODE)
    model_id = (await existing.model_publish())["data"]["_id"]
    body = {"name": "b", "projectId": await existing.project_id(), "file": "predict.py", "function": "predict"}
    for change, status, said in (
        ({"projectId": None}, 400, "projectId is required"),
        ({"file": ""}, 400, "file is required"),
        ({"file": "predict.txt"}, 400, "file must end in .py, or in .R, or be an MLmodel, unless `language`"),
        ({"function": "a.b"}, 400, "function must be the plain name of a function"),
        ({"projectId": "f" * 24}, 404, ""),
        ({"environmentId": "f" * 24}, 404, ""),
        ({"commitId": "f" * 24}, 404, ""),
    ):
        answer = await api("POST", "/v1/models", {**body, **change})
        assert (answer.status, answer.fault.startswith(said)) == (status, True), (change, answer.raw)
    again = await api("POST", "/v1/models", {**body, "name": "iris"})
    assert again.status == 201  # names of models need not be unique
    answer = await api("POST", f"/v1/models/{model_id}/versions", {"function": "1"})
    assert (answer.status, answer.fault[:8]) == (400, "function")
    assert (await api("POST", f"/v1/models/{'f' * 24}/versions", {})).status == 404


async def test_environments_and_sizes_that_a_project_may_choose_from(api: Client, existing: ExistingClient) -> None:
    listed = (await existing.read("/v1/environments"))["data"]
    assert [set(each) for each in listed] == [{"id", "name", "visibility"}]
    default = await existing.read("/v4/environments/defaultEnvironment")
    assert default["id"] == listed[0]["id"]
    assert "dockerImage" in default["latestRevisionDetails"]
    assert (await existing.read(f"/api/environments/v1/environments/{default['id']}"))["id"] == default["id"]
    at = f"/v4/projects/{await existing.project_id()}"
    assert [each["id"] for each in (await existing.read(f"{at}/useableEnvironments"))["environments"]] == [
        default["id"]
    ]
    assert await existing.read(f"{at}/hardwareTiers") == []
    quota = {"cpuRequested": 1, "cpuLimit": 2, "memoryRequestedBytes": 1 << 30, "memoryLimitBytes": 1 << 31}
    small = await api.ok("POST", f"{V1}/resourceQuotas", {"name": "small", **quota})
    hidden = await api.ok("POST", f"{V1}/resourceQuotas", {"name": "old", **quota})
    await api.ok("PUT", f"{V1}/resourceQuotas/{hidden['id']}", {"isVisible": False})
    tiers = await existing.read(f"{at}/hardwareTiers")
    assert [(each["hardwareTier"]["id"], each["hardwareTier"]["name"]) for each in tiers] == [(small["id"], "small")]
    for what in ("useableEnvironments", "hardwareTiers"):
        assert (await api("GET", f"/v4/projects/{'f' * 24}/{what}")).status == 404
