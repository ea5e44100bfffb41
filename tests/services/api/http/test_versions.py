"""Versions: what a new one takes over from the one before, how it shows, and how it is started and stopped."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.commands import RecordBuild, RecordReady
from services.core.ids import Digest, VersionId
from services.core.lifecycle import Seen
from services.core.records import BuildPhase, BuildReport
from tests.makers import PERSON
from tests.services.api.http.client import CODE, V1, Client, file
from tests.services.api.http.conftest import SaidToBe

BETA = "/api/environments/beta/environments"


async def built(ledger: MongoLedger, model: str, version: str, *, reason: str = "") -> None:
    report = BuildReport(
        model_id=model,  # type: ignore[arg-type]
        version_id=VersionId(version),
        attempt=1,
        phase=BuildPhase.FAILED if reason else BuildPhase.COMPLETE,
        artifact=None if reason else Digest("d" * 64),
        reason=reason,
    )
    await ledger.execute(MODEL, model, RecordBuild(report=report), actor=PERSON)


async def test_a_version_is_answered_whole(api: Client, store: MongoStore) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}/versions"
    body = {
        "projectId": model["projectId"],
        "source": {"type": "File", "file": "src/p.py", "function": "f", "excludeFiles": ["*.csv"]},
        "logHttpRequestResponse": True,
        "monitoringEnabled": True,
        "recordInvocation": True,
        "description": "better",
        "shouldDeploy": False,
    }
    answer = await api("POST", at, body)
    assert answer.status == 201
    version = answer.body
    assert answer.headers["Location"] == f"{at}/{version['id']}"
    assert await api.ok("GET", answer.headers["Location"]) == version
    stored = (await store.load(MODEL, model["id"])).version(version["id"])
    expected: dict[str, Any] = {
        "number": 2,
        "modelApiId": model["id"],
        "projectId": model["projectId"],
        "commitId": stored.source.commit_id,
        "environmentRevisionId": stored.source.environment_revision_id,
        "source": {**body["source"], "language": "python"},
        "labels": [],
        "description": "better",
        "logHttpRequestResponse": True,
        "monitoringEnabled": True,
        "recordInvocation": True,
    }
    assert expected.items() <= version.items()
    assert version["deployment"]["instances"] == {"wanted": 0, "ready": 0}
    assert [each["number"] for each in await api.ok("GET", at)] == [2, 1]


async def test_what_a_new_version_leaves_out_is_as_in_the_one_before(api: Client) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}/versions"
    lean = await api.ok("POST", BETA, {"name": "lean", "requirements": "numpy"})
    source = {"file": "other.py", "function": "other", "excludeFiles": ["*.csv"]}
    second = await api.ok("POST", at, {"source": source, "environmentId": lean["id"]})
    third = await api.ok("POST", at, {"environmentId": "", "source": {"function": "another"}})
    assert third["source"] == {"type": "File", **source, "function": "another", "language": "python"}
    assert third["environmentRevisionId"] == second["environmentRevisionId"] == lean["latestRevision"]["id"]
    fourth = await api.ok("POST", at, {"source": {"excludeFiles": []}})
    assert fourth["source"]["excludeFiles"] == []


async def test_the_language_of_a_file_is_said_or_told_by_its_name(api: Client) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}/versions"

    async def published(**source: str) -> str:
        return str((await api.ok("POST", at, {"source": source}))["source"]["language"])

    assert await published(file="predict.py") == "python"
    assert await published(file="score.txt", language="r") == "r"
    assert await published(function="other") == "r"
    assert await published(file="predict.py") == "python"
    assert await published(file="model.R", language="r") == "r"
    assert [each["source"]["language"] for each in await api.ok("GET", at)][:2] == ["r", "python"]


async def test_a_new_version_takes_the_newest_files_and_packages_unless_told(api: Client) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}/versions"
    first = (await api.ok("GET", at))[0]
    commit = await api.upload(model["projectId"], {"predict.py": CODE, "more.py": CODE})
    lean = await api.ok("POST", BETA, {"name": "lean"})
    await api.ok("POST", at, {"environmentId": lean["id"]})
    revised = await api.ok("POST", f"{BETA}/{lean['id']}/revisions", {"requirements": "numpy"})
    newest = await api.ok("POST", at, {})
    assert newest["commitId"] == commit["commitId"] != first["commitId"]
    assert newest["environmentRevisionId"] == revised["latestRevision"]["id"]
    older = await api.ok("POST", at, {"commitId": first["commitId"]})
    assert older["commitId"] == first["commitId"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"commitId": "f" * 24}, 404, "project 'iris' has no commit ffffffffffffffffffffffff"),
        ({"environmentId": "f" * 24}, 404, "there is no environment"),
        ({"projectId": "f" * 24}, 404, "there is no project"),
        ({"source": {"type": "Docker"}}, 400, "source.type must be File, got 'Docker'"),
        ({"source": {"file": "x/../../y.py"}}, 400, "source.file must be a path inside the project"),
        ({"source": {"language": "julia"}}, 400, "source.language must be python or r, got 'julia'"),
        ({"source": {"language": "r"}}, 400, "source.file is python by its name, 'predict.py', and language says r"),
        ({"source": {"file": "predict.txt"}}, 400, "source.file must end in .py, or in .R"),
        ({"shouldDeploy": "no"}, 400, "shouldDeploy must be true or false, got text"),
        ({"source": {"excludeFiles": ["x"] * 1001}}, 400, "source.excludeFiles must have at most 1000"),
    ],
)
async def test_a_version_that_cannot_be_is_refused(
    api: Client, body: dict[str, Any], status: int, sentence: str
) -> None:
    model = await api.model()
    answer = await api("POST", f"{V1}/modelApis/{model['id']}/versions", body)
    assert answer.status == status
    assert sentence in answer.fault


async def test_a_version_repeated_with_its_key_is_published_once(api: Client) -> None:
    model = await api.model()
    at, key = f"{V1}/modelApis/{model['id']}/versions", {"Idempotency-Key": "once"}
    first = await api.ok("POST", at, {}, headers=key)
    await api.ok("POST", at, {})
    again = await api.ok("POST", at, {}, headers=key)
    assert (first["id"], first["number"]) == (again["id"], again["number"])
    assert len(await api.ok("GET", at)) == 3


async def test_a_version_goes_from_built_to_running_and_back_as_asked(
    api: Client, ledger: MongoLedger, observed: SaidToBe
) -> None:
    model = await api.model(replicas=1)
    version = model["activeVersion"]["id"]
    at = f"{V1}/modelApis/{model['id']}/versions/{version}"
    await built(ledger, model["id"], version)
    assert (await api.ok("GET", at))["deployment"]["status"] == "Starting"
    await ledger.execute(MODEL, model["id"], RecordReady(version_id=VersionId(version), generation=1), actor=PERSON)
    observed.versions[VersionId(version)] = Seen(ready=1)
    shown = await api.ok("GET", at)
    assert shown["labels"] == ["latest"]
    assert (shown["deployment"]["status"], shown["deployment"]["isPending"]) == ("Running", False)

    answer = await api("PUT", f"{at}/targetState", {"isRunning": False})
    assert (answer.status, answer.headers["Location"]) == (202, at)
    assert (answer.body["deployment"]["status"], answer.body["deployment"]["isPending"]) == ("Stopped", True)
    again = await api.ok("PUT", f"{at}/targetState", {"isRunning": True})
    assert again["deployment"]["status"] == "Starting"


async def test_a_version_that_failed_says_why_and_cannot_start(api: Client, ledger: MongoLedger) -> None:
    model = await api.model()
    version = model["activeVersion"]["id"]
    at = f"{V1}/modelApis/{model['id']}/versions/{version}"
    await built(ledger, model["id"], version, reason="file 'predict.py' is not in the project")
    deployment = (await api.ok("GET", at))["deployment"]
    assert (deployment["status"], deployment["isPending"]) == ("Failed", False)
    assert deployment["reason"] == "file 'predict.py' is not in the project"
    answer = await api("PUT", f"{at}/targetState", {"isRunning": True})
    assert answer.status == 422
    assert answer.fault.startswith("version 1 cannot start: its build failed")


async def test_a_version_of_another_model_is_not_found_here(api: Client) -> None:
    project = await api.project_with_code()
    one, other = await api.model(project), await api.model(project, name="other")
    at = f"{V1}/modelApis/{one['id']}/versions/{other['activeVersion']['id']}"
    assert (await api("GET", at)).status == 404
    assert (await api("PUT", f"{at}/targetState", {"isRunning": False})).status == 404
    assert (await api("GET", f"{at}/buildLogs")).status == 404


async def test_version_numbers_are_listed_newest_first_for_the_oldest_clients(api: Client) -> None:
    model = await api.model()
    await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions", {})
    listed = await api.ok("GET", f"/v1/models/{model['id']}/versions")
    assert [each["metadata"]["number"] for each in listed["data"]] == [2, 1]
    assert all(each["_id"] == each["id"] for each in listed["data"])


async def test_the_files_of_another_project_may_be_published(api: Client) -> None:
    model = await api.model()
    other = await api.project("other")
    await api.upload(other, {"predict.py": b"other"})
    await api.ok("POST", f"{V1}/projects/{other}/missingBlobs", {"files": [file("x", b"")]})
    version = await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions", {"projectId": other})
    assert version["projectId"] == other


async def test_a_build_is_cancelled_by_whoever_asked_and_what_is_built_cannot_be(
    api: Client, ledger: MongoLedger
) -> None:
    model = await api.model()
    version = model["activeVersion"]["id"]
    at = f"{V1}/modelApis/{model['id']}/versions/{version}"
    for _ in range(2):
        answer = await api("POST", f"{at}/cancelBuild")
        assert (answer.status, answer.headers["Location"]) == (202, at)
        deployment = answer.body["deployment"]
        assert (deployment["status"], deployment["isPending"]) == ("Failed", False)
        assert deployment["reason"] == "the build was cancelled by ada"
    await built(ledger, model["id"], version)
    assert (await api.ok("GET", at))["deployment"]["status"] == "Failed"

    second = await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions", {})
    await built(ledger, model["id"], second["id"])
    answer = await api("POST", f"{V1}/modelApis/{model['id']}/versions/{second['id']}/cancelBuild")
    assert (answer.status, answer.fault) == (422, "version 2 is built already: there is no build to cancel")


async def test_a_version_that_lost_instances_says_how_many_and_why_and_it_is_the_reason_while_one_is_missing(
    api: Client, ledger: MongoLedger, observed: SaidToBe
) -> None:
    model = await api.model(replicas=2)
    version = model["activeVersion"]["id"]
    at = f"{V1}/modelApis/{model['id']}/versions/{version}"
    await built(ledger, model["id"], version)
    await ledger.execute(MODEL, model["id"], RecordReady(version_id=VersionId(version), generation=1), actor=PERSON)
    why = "used more than its 2 GiB of memory"
    shown = {}
    for ready in (1, 2):
        observed.versions[VersionId(version)] = Seen(ready=ready, exits=3, last_exit=why)
        shown[ready] = (await api.ok("GET", at))["deployment"]
        assert (shown[ready]["status"], shown[ready]["lostInstances"], shown[ready]["lastExit"]) == ("Running", 3, why)
    assert shown[1]["reason"] == f"an instance was lost: {why}"
    assert shown[2]["reason"] == ""
