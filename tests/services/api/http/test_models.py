"""Model APIs: created with their first version, listed, shown, described, archived."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from services.api.http.app import Deps
from services.api.ports import EntryQuery
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.ids import AggregateId, VersionId
from services.core.lifecycle import Seen
from tests.services.api.http.client import V1, Client, model_body
from tests.services.api.http.conftest import PUBLIC_URL, SaidToBe


async def test_a_new_model_is_answered_whole_with_its_first_version(api: Client) -> None:
    project = await api.project_with_code()
    answer = await api("POST", f"{V1}/modelApis", model_body(project))
    assert answer.status == 201
    model = answer.body
    assert answer.headers["Location"] == f"{V1}/modelApis/{model['id']}"
    assert await api.ok("GET", answer.headers["Location"]) == model
    expected: dict[str, Any] = {
        "name": "iris",
        "description": "which iris it is",
        "projectId": project,
        "isArchived": False,
        "isAsync": False,
        "replicas": 2,
        "routingMode": "Basic",
        "overrideRequestTimeoutSecs": 60.0,
        "healthCheck": {
            "initialDelaySeconds": 0.0,
            "periodSeconds": 10.0,
            "timeoutSeconds": 5.0,
            "failureThreshold": 10,
        },
        "volumes": [],
        "isRestricted": True,
        "memoryBytes": 2048 * 1024 * 1024,
        "endpoints": {"latest": f"{PUBLIC_URL}/models/{model['id']}/latest/model"},
    }
    assert expected.items() <= model.items()
    active = model["activeVersion"]
    assert active["number"] == 1
    assert active["deployment"] == {
        "status": "Preparing to build",
        "isPending": True,
        "reason": "",
        "instances": {"wanted": 2, "ready": 0},
        "lostInstances": 0,
        "lastExit": "",
    }
    whoami = await api.ok("GET", f"{V1}/whoami")
    owner = {"collaborator": whoami["id"], "role": "Owner", "kind": "person", "name": None, "isOwner": True}
    assert (model["ownerId"], model["collaborators"]) == (whoami["id"], [owner])
    assert model["metadata"]["createdBy"] == whoami["userName"]


async def test_a_restricted_model_has_a_token_named_default_at_once(api: Client) -> None:
    restricted = await api.model()
    tokens = restricted["access"]["accessTokens"]
    assert [token["name"] for token in tokens] == ["default"]
    assert not restricted["access"]["isPublic"]
    assert "token" not in tokens[0]


async def test_an_unrestricted_model_has_no_token(api: Client) -> None:
    model = await api.model(isRestricted=False)
    assert model["access"] == {"isPublic": False, "isRestricted": False, "accessTokens": []}


async def test_the_settings_of_a_new_model_are_kept(api: Client, store: MongoStore) -> None:
    model = await api.model(
        replicas=3,
        memoryBytes=1 << 30,
        requestTimeoutSeconds=5,
        startDeadlineSeconds=30,
        healthCheck={"periodSeconds": 2, "failureThreshold": 4},
    )
    settings = (await store.load(MODEL, model["id"])).settings
    assert (settings.instances, settings.memory_bytes, settings.request_timeout_s) == (3, 1 << 30, 5.0)
    assert settings.start_deadline_s == 30.0
    assert (settings.health_check.period_s, settings.health_check.failure_threshold) == (2.0, 4)


async def test_the_value_of_a_variable_is_sealed_before_anything_is_stored_or_published(
    api: Client, deps: Deps, store: MongoStore
) -> None:
    model = await api.model(environmentVariables=[{"key": "PASSWORD", "value": "hunter2"}])
    ((name, sealed),) = (await store.load(MODEL, model["id"])).settings.environment_variables
    assert (name, deps.variables.open(sealed)) == ("PASSWORD", "hunter2")
    kept = [*await store.entries(EntryQuery(aggregate_id=model["id"]), limit=100), *await store.unpublished(limit=100)]
    assert len(kept) > 4
    for each in kept:
        assert b"hunter2" not in msgspec.json.encode(each)
        assert b"hunter2" not in getattr(each, "body", b"")


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"name": None}, 400, "name must be text, got null"),
        ({"name": " x"}, 400, "name must be 1 to 100 printable characters without a space at either end, got ' x'"),
        ({"replicas": 33}, 400, "replicas must be between 1 and 32, got 33"),
        ({"replicas": "2"}, 400, "replicas must be a whole number, got text"),
        ({"memoryBytes": 1}, 400, "memoryBytes must be between 67108864 and 1099511627776, got 1"),
        ({"memoryBytes": 10**30}, 400, f"memoryBytes must be between 67108864 and 1099511627776, got {10**30}"),
        ({"requestTimeoutSeconds": 0}, 400, "requestTimeoutSeconds must be between 0.1 and 3600.0, got 0.0"),
        ({"requestTimeoutSeconds": 200}, 400, "10 s x 10 = 100 s, the request timeout is 200 s"),
        ({"healthCheck": {"periodSeconds": 0}}, 400, "healthCheck.periodSeconds must be more than 0"),
        ({"isAsync": True}, 400, "isAsync must be false"),
        ({"strictNodeAntiAffinity": True}, 400, "strictNodeAntiAffinity must be false"),
        ({"environmentVariables": [{"key": "A=B", "value": ""}]}, 400, "environmentVariables: a name is letters"),
        ({"environmentVariables": [{"key": "A"}]}, 400, "environmentVariables[0].value is required"),
        ({"environmentId": "nowhere"}, 404, "there is no environment nowhere"),
        ({"version": None}, 400, "version must be an object, got null"),
        ({"version": {}}, 400, "version.projectId is required"),
        ({"version": {"projectId": "f" * 24}}, 404, "there is no project ffffffffffffffffffffffff"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name_and_nothing_is_made(
    api: Client, change: dict[str, Any], status: int, sentence: str
) -> None:
    project = await api.project_with_code()
    body = model_body(project, **change)
    if (version := change.get("version")) is not None:
        body["version"] = {**body["version"], "projectId": None, **version}
    answer = await api("POST", f"{V1}/modelApis", body)
    assert answer.status == status, answer.raw
    assert sentence in answer.fault
    assert (await api.ok("GET", f"{V1}/modelApis"))["items"] == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"file": "../predict.py"}, "version.source.file must be a path inside the project"),
        ({"file": "/etc/predict.py"}, "is absolute"),
        (
            {"file": "predict.txt"},
            "version.source.file must end in .py, or in .R, or be an MLmodel, unless `language` (--language) says what "
            "it is written in, got 'predict.txt'",
        ),
        ({"file": None}, "version.source.file is required"),
        ({"function": "os.system"}, "version.source.function must be the plain name of a function"),
        ({"function": ""}, "version.source.function is required"),
        ({"excludeFiles": "*.csv"}, "version.source.excludeFiles must be a list or null, got text"),
    ],
)
async def test_a_source_that_cannot_be_served_is_refused(api: Client, source: dict[str, Any], sentence: str) -> None:
    body = model_body(await api.project_with_code())
    body["version"]["source"] |= source
    answer = await api("POST", f"{V1}/modelApis", body)
    assert answer.status == 400
    assert sentence in answer.fault


async def test_a_function_in_r_is_refused_with_less_memory_than_r_needs(api: Client) -> None:
    body = model_body(await api.project_with_code(), memoryBytes=128 << 20)
    body["version"]["source"] |= {"file": "predict.R"}
    answer = await api("POST", f"{V1}/modelApis", body)
    assert answer.status == 400
    assert "memoryBytes must be at least 268435456 (256 MB) for a function in R, got 134217728" in answer.fault
    assert (await api.ok("GET", f"{V1}/modelApis"))["items"] == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"workerCount": 3}, "workerCount must be 1 for a function in R, got 3"),
        ({"recycleAfterCalls": 100}, "recycleAfterCalls must be 0 for a function in R, got 100"),
        ({"preload": True}, "preload must be false for a function in R, got true"),
    ],
)
async def test_what_r_has_not_is_refused_with_the_function(api: Client, asked: dict[str, Any], sentence: str) -> None:
    body = model_body(await api.project_with_code(), **asked)
    body["version"]["source"] |= {"file": "predict.R"}
    answer = await api("POST", f"{V1}/modelApis", body)
    assert answer.status == 400
    assert sentence in answer.fault


async def test_an_mlflow_model_has_one_function_which_need_not_be_named(api: Client) -> None:
    body = model_body(await api.project_with_code())
    body["version"]["source"] = {"type": "File", "file": "churn/MLmodel"}
    model = await api.ok("POST", f"{V1}/modelApis", body)
    version = await api.ok("GET", f"{V1}/modelApis/{model['id']}/versions/{model['activeVersion']['id']}")
    assert version["source"]["file"] == "churn/MLmodel"
    assert version["source"]["function"] == "predict"


async def test_a_project_without_files_cannot_be_published(api: Client) -> None:
    answer = await api("POST", f"{V1}/modelApis", model_body(await api.project()))
    assert answer.status == 404
    assert answer.fault == "project 'iris' has no files yet: commit a snapshot first"


async def test_two_models_may_have_one_name(api: Client) -> None:
    project = await api.project_with_code()
    models = [await api.model(project) for _ in range(2)]
    assert len({model["id"] for model in models}) == 2


async def test_a_request_repeated_with_its_key_makes_one_model(api: Client) -> None:
    body = model_body(await api.project_with_code())
    key = {"Idempotency-Key": "once"}
    first = await api("POST", f"{V1}/modelApis", body, headers=key)
    again = await api("POST", f"{V1}/modelApis", body, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert len(await api.ok("GET", f"{V1}/modelApis/{first.body['id']}/versions")) == 1


async def test_the_same_request_many_times_at_once_makes_one_model(api: Client) -> None:
    body = model_body(await api.project_with_code())
    key = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(*(api("POST", f"{V1}/modelApis", body, headers=key) for _ in range(5)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["id"] for answer in answers}) == 1
    assert len(await api.ok("GET", f"{V1}/modelApis/{answers[0].body['id']}/versions")) == 1


async def test_what_a_crash_left_half_made_is_completed_by_the_same_request(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = model_body(await api.project_with_code())
    key = {"Idempotency-Key": "once"}
    with monkeypatch.context() as crashing:
        crashing.setattr("services.api.http.publish.NewToken.make", _crash)
        assert (await api("POST", f"{V1}/modelApis", body, headers=key)).status == 500
    half = (await api.ok("GET", f"{V1}/modelApis"))["items"]
    assert [(model["activeVersion"], model["access"]["accessTokens"]) for model in half] == [(None, [])]
    whole = await api.ok("POST", f"{V1}/modelApis", body, headers=key)
    assert whole["id"] == half[0]["id"]
    assert whole["activeVersion"]["number"] == 1
    assert len(whole["access"]["accessTokens"]) == 1


def _crash(*_: object) -> None:
    raise ZeroDivisionError


async def test_a_key_means_something_only_for_the_route_and_person_that_sent_it(api: Client) -> None:
    key = {"Idempotency-Key": "once"}
    one = await api.ok("POST", "/v4/projects", {"name": "one"}, headers=key)
    at = "/api/environments/beta/environments"
    other = await api.ok("POST", at, {"name": "other"}, headers=key)
    assert one["id"] != other["id"]


async def test_a_key_that_is_not_plain_is_refused(api: Client) -> None:
    answer = await api("POST", "/v4/projects", {"name": "one"}, headers={"Idempotency-Key": "x" * 256})
    assert answer.status == 400
    assert answer.fault == "Idempotency-Key must be 1 to 255 printable ASCII characters"


async def test_the_list_is_filtered_ordered_and_cut_as_asked(api: Client) -> None:
    project = await api.project_with_code()
    other = await api.project_with_code("other")
    for name in ("alpha", "beta", "gamma"):
        await api.model(project, name=name)
    await api.model(other, name="delta")

    async def names(**params: str) -> list[str]:
        listed = await api.ok("GET", f"{V1}/modelApis", params=params)
        return [model["name"] for model in listed["items"]]

    assert await names() == ["alpha", "beta", "delta", "gamma"]
    assert await names(projectId=other) == ["delta"]
    assert await names(name="^(A|b)") == ["alpha", "beta"]
    assert await names(orderBy="name DESC", limit="2") == ["gamma", "delta"]
    assert await names(orderBy="created", limit="2", offset="2") == ["gamma", "delta"]
    assert await names(environmentId="f" * 24) == []
    page = await api.ok("GET", f"{V1}/modelApis", params={"limit": "1", "offset": "1"})
    assert page["metadata"]["pagination"] == {"offset": 1, "limit": 1, "totalCount": 4}
    assert page["metadata"]["notices"] == []


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"limit": "0"}, "limit must be a whole number from 1 to 1000, got '0'"),
        ({"limit": "many"}, "limit must be a whole number from 1 to 1000, got 'many'"),
        ({"offset": "-1"}, "offset must be a whole number from 0"),
        ({"orderBy": "size"}, "orderBy must be one of name, created, then ASC or DESC, got 'size'"),
        ({"orderBy": "name SIDEWAYS"}, "orderBy must be"),
        ({"name": "("}, "name must be a regular expression, and is not"),
        ({"name": "(a+)+$"}, "a regular expression that repeats nothing but '.*'"),
        ({"name": "a\0b"}, "name must be at most 250 printable characters"),
        ({"name": "a" * 251}, "name must be at most 250 printable characters"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(api: Client, params: dict[str, str], sentence: str) -> None:
    answer = await api("GET", f"{V1}/modelApis", params=params)
    assert answer.status == 400
    assert sentence in answer.fault


async def test_describing_changes_what_it_says_and_restarts_nothing_else(api: Client) -> None:
    model = await api.model()
    environment = await api.ok("POST", "/api/environments/beta/environments", {"name": "lean"})
    body = {"name": "irises", "description": "all", "environmentId": environment["id"], "replicas": 1}
    changed = await api.ok("PUT", f"{V1}/modelApis/{model['id']}", body)
    assert (changed["name"], changed["description"]) == ("irises", "all")
    assert (changed["environmentId"], changed["replicas"]) == (environment["id"], 1)
    kept = await api.ok("PUT", f"{V1}/modelApis/{model['id']}", {**body, "environmentId": ""})
    assert kept["environmentId"] == environment["id"]


async def test_describing_needs_all_of_its_fields_and_bounds(api: Client) -> None:
    model = await api.model()
    answer = await api("PUT", f"{V1}/modelApis/{model['id']}", {"name": "x", "description": "", "environmentId": ""})
    assert (answer.status, answer.fault) == (400, "replicas is required")
    body = {"name": "x", "description": "", "environmentId": "", "replicas": 0}
    answer = await api("PUT", f"{V1}/modelApis/{model['id']}", body)
    assert (answer.status, answer.fault) == (400, "replicas must be between 1 and 32, got 0")


async def test_an_archived_model_is_shown_and_listed_only_where_it_is_asked_for(api: Client) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}"
    for _ in range(2):
        answer = await api("DELETE", at)
        assert (answer.status, answer.raw) == (204, b"")
    assert (await api.ok("GET", at))["isArchived"]
    assert (await api.ok("GET", f"{V1}/modelApis"))["items"] == []
    answer = await api("POST", f"{at}/versions", {})
    assert (answer.status, answer.fault) == (422, "model 'iris' is archived: restore it first")
    listed = await api.ok("GET", f"{V1}/modelApis", params={"isArchived": "true"})
    assert [each["id"] for each in listed["items"]] == [model["id"]]
    answer = await api("GET", f"{V1}/modelApis", params={"isArchived": "maybe"})
    assert (answer.status, answer.fault) == (400, "isArchived must be true or false, got 'maybe'")


async def test_a_restored_model_is_as_it_was_and_nothing_of_it_runs(api: Client) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}"
    await api.ok("DELETE", at)
    for _ in range(2):
        restored = await api.ok("POST", f"{at}/restore")
        assert not restored["isArchived"]
    assert restored["access"] == model["access"]
    assert restored["activeVersion"]["deployment"]["instances"]["wanted"] == 0
    assert [each["id"] for each in (await api.ok("GET", f"{V1}/modelApis"))["items"]] == [model["id"]]


@pytest.mark.parametrize("model_id", ["f" * 24, "F" * 24, "not-an-id", "%24ne", "a.b", "%00", "%FF", "é"])
async def test_a_model_that_is_not_there_is_404_whatever_the_id(api: Client, model_id: str) -> None:
    answer = await api("GET", f"{V1}/modelApis/{model_id}")
    assert answer.status == 404
    assert "there is no model" in answer.fault


async def test_the_active_version_is_the_one_that_serves_else_the_newest(
    api: Client, observed: SaidToBe, store: MongoStore
) -> None:
    model = await api.model()
    newest = await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions", {})
    shown = await api.ok("GET", f"{V1}/modelApis/{model['id']}")
    assert shown["activeVersion"]["id"] == newest["id"]
    observed.versions[VersionId(newest["id"])] = Seen(ready=1)
    shown = await api.ok("GET", f"{V1}/modelApis/{model['id']}")
    assert shown["activeVersion"]["deployment"]["instances"] == {"wanted": 2, "ready": 1}


async def test_the_models_of_a_project_are_listed_for_the_oldest_clients(api: Client) -> None:
    model = await api.model()
    listed = await api.ok("GET", "/v1/projects/ada/iris/models")
    assert listed == {"objectType": "list", "data": [{"id": model["id"], "_id": model["id"], "name": "iris"}]}
    assert (await api("GET", "/v1/projects/ada/none/models")).status == 404


async def test_the_owner_of_a_model_is_who_created_it(api: Client, store: MongoStore) -> None:
    model = await api.model()
    whoami = await api.ok("GET", f"{V1}/whoami")
    assert (await store.load(MODEL, model["id"])).owner_id == AggregateId(whoami["id"])
