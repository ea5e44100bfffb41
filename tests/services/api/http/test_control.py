"""The control routes: what operators' scripts list, start, stop and wait for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.core import subjects
from services.core.ids import AggregateId, VersionId
from services.core.lifecycle import Seen
from services.core.records import LogLine
from services.core.subjects import LogKind
from tests.makers import START
from tests.services.api.http import steps
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import ADMINISTRATOR, SaidToBe
from tests.services.api.http.people import add_person


def at(model: Any, version_id: str, what: str) -> str:
    return f"/v4/models/{model['id']}/{version_id}/{what}"


async def test_the_models_of_a_project_are_listed_with_their_active_version(api: Client) -> None:
    project = await api.project_with_code()
    model = await api.model(project, description="d")
    other = await api.model(await api.project_with_code("other"), name="other")
    listed = await api.ok("GET", "/v4/modelManager/getModels", params={"projectId": project})
    assert listed == [
        {
            "id": model["id"],
            "name": "iris",
            "description": "d",
            "activeModelVersionId": model["activeVersion"]["id"],
            "activeVersionNumber": 1,
            "activeVersionStatus": "Preparing to build",
            "activeVersionDataPlaneId": "local",
            "lastModified": model["metadata"]["lastModified"],
            "projectId": project,
            "projectName": "iris",
            "projectOwnerUsername": ADMINISTRATOR,
            "owners": [{"id": model["collaborators"][0]["collaborator"], "name": ADMINISTRATOR, "fullName": "ada"}],
            "isAsync": False,
        }
    ]
    everything = await api.ok("GET", "/v4/modelManager/getModels")
    assert [each["id"] for each in everything] == [model["id"], other["id"]]
    assert (await api("GET", "/v4/modelManager/getModels", params={"projectId": "f" * 24})).status == 404
    await api.ok("DELETE", f"{V1}/modelApis/{model['id']}")
    assert await api.ok("GET", "/v4/modelManager/getModels", params={"projectId": project}) == []
    assert [each["name"] for each in await api.ok("GET", "/v4/projects")] == ["iris", "other"]


async def test_more_models_than_are_read_at_once_are_all_listed(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.http.compatible.control._READ_AT_ONCE", 2)
    project = await api.project_with_code()
    for name in "abcde":
        await api.model(project, name=name)
    listed = await api.ok("GET", "/v4/modelManager/getModels", params={"projectId": project})
    assert [each["name"] for each in listed] == list("abcde")


async def test_versions_come_in_pages_from_1_newest_first_and_none_past_the_end(api: Client) -> None:
    model = await api.model()
    for _ in range(2):
        await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions", {})
    path = f"/models/{model['id']}/versions/json"

    async def numbers(**params: str) -> list[int]:
        return [each["number"] for each in (await api.ok("GET", path, params=params))["results"]]

    assert await numbers() == [3, 2, 1]
    assert await numbers(pageNumber="1", pageSize="2") == [3, 2]
    assert await numbers(pageNumber="2", pageSize="2") == [1]
    assert await numbers(pageNumber="3", pageSize="2") == []
    assert (await api("GET", path, params={"pageNumber": "0"})).fault.startswith("pageNumber must be a whole number")
    first = (await api.ok("GET", path))["results"][-1]
    assert first["id"] == model["activeVersion"]["id"]
    assert first["creator"] == {"name": ADMINISTRATOR}
    assert first["deploymentStatus"] == {"name": "Preparing to build", "isPending": True}
    assert await api.ok("GET", f"/models/{model['id']}/versions/{first['id']}/json") == {"result": first}
    assert (await api("GET", f"/models/{model['id']}/versions/{'f' * 24}/json")).status == 404


async def test_a_script_stops_a_version_waits_and_starts_it_again(
    api: Client, ledger: MongoLedger, observed: SaidToBe
) -> None:
    model = await api.model()
    version_id = await steps.run(ledger, model)
    observed.versions[version_id] = Seen(ready=model["replicas"], route_in_effect=10**9)
    named = {"modelId": model["id"], "modelVersionId": version_id}
    assert await status(api, model, version_id) == "Running"
    stopped = await api("POST", at(model, version_id, "stopModelDeployment"), data=b"")
    assert (stopped.status, stopped.body) == (200, {**named, "status": "Stopped", "isPending": True})
    started = await api("POST", at(model, version_id, "startModelDeployment"), data=b"not JSON")
    assert (started.status, started.body) == (200, {**named, "status": "Starting", "isPending": True})
    assert await status(api, model, version_id) == "Starting"
    shown = await api.ok("GET", f"/models/{model['id']}/versions/{version_id}/json")
    assert shown["result"]["deploymentStatus"] == {"name": "Starting", "isPending": True}


async def status(api: Client, model: Any, version_id: str) -> str:
    return str((await api.ok("GET", at(model, version_id, "getModelDeploymentStatus")))["status"])


async def test_the_status_of_a_build_has_words_of_its_own(api: Client, ledger: MongoLedger) -> None:
    model = await api.model()
    version_id = model["activeVersion"]["id"]
    named = {"modelId": model["id"], "modelVersionId": version_id}
    assert await api.ok("GET", at(model, version_id, "getBuildStatus")) == {**named, "status": "preparing"}
    await steps.build(ledger, model)
    assert await api.ok("GET", at(model, version_id, "getBuildStatus")) == {**named, "status": "complete"}
    second = await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions", {})
    await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions/{second['id']}/cancelBuild")
    assert (await api.ok("GET", at(model, second["id"], "getBuildStatus")))["status"] == "failed"


async def test_the_logs_of_build_and_deployment_come_with_their_status(api: Client, observed: SaidToBe) -> None:
    model = await api.model()
    model_id, version_id = AggregateId(model["id"]), VersionId(model["activeVersion"]["id"])
    for kind, text in ((LogKind.BUILD, "building"), (LogKind.DEPLOYMENT, "deploying")):
        lines = [LogLine(at=START + timedelta(seconds=n), text=f"{text} {n}") for n in range(2)]
        observed.logs[subjects.log(kind, model_id, version_id)] = lines
    build = await api.ok("GET", at(model, version_id, "getBuildLogs"))
    assert (build["status"], [line["log"] for line in build["logs"]]) == ("preparing", ["building 0", "building 1"])
    deployment = await api.ok("GET", at(model, version_id, "modelDeploymentLogs"), params={"tail": "1"})
    assert deployment["status"] == "Preparing to build"
    assert [line["log"] for line in deployment["logs"]] == ["deploying 1"]
    assert (await api("GET", at(model, "f" * 24, "getBuildLogs"))).status == 404


async def test_who_may_only_look_may_not_start_or_stop(api: Client, ledger: MongoLedger) -> None:
    project = await api.project_with_code()
    model = await api.model(project)
    grace, eve = await add_person(api, ledger), await add_person(api, ledger, "eve")
    body = {"collaboratorId": "grace", "projectRole": "ResultsConsumer"}
    await api.ok("POST", f"/v4/projects/{project}/collaborators", body)
    version_id = model["activeVersion"]["id"]
    for who, status in ((grace, 200), (eve, 404)):
        assert (await who("GET", at(model, version_id, "getBuildStatus"))).status == status
        assert (await who("GET", "/v4/modelManager/getModels", params={"projectId": project})).status == status
    assert len(await grace.ok("GET", "/v4/modelManager/getModels")) == 1
    assert await eve.ok("GET", "/v4/modelManager/getModels") == []
    for what in ("startModelDeployment", "stopModelDeployment"):
        answer = await grace("POST", at(model, version_id, what))
        assert (answer.status, answer.fault) == (403, "grace may not run version: that takes an Editor of the model")
        assert (await eve("POST", at(model, version_id, what))).status == 404
