"""Settings: shown without a secret, changed field by field, refused by the names that the wire has for them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from services.api.http.app import Deps
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.settings import RoutingMode
from tests.services.api.http.client import V1, Client
from tests.services.api.http.steps import run

MEBIBYTE = 1024 * 1024


async def settings_of(api: Client, model: Any) -> Any:
    return await api.ok("GET", f"{V1}/modelApis/{model['id']}/settings")


async def change(api: Client, model: Any, body: Any) -> Any:
    return await api.ok("PUT", f"{V1}/modelApis/{model['id']}/settings", body)


async def test_the_settings_of_a_new_model_are_those_of_the_guide(api: Client) -> None:
    assert await settings_of(api, await api.model()) == {
        "replicas": 2,
        "scaling": None,
        "routingMode": "basic",
        "repeatableCalls": False,
        "resourceQuotaId": None,
        "memoryBytes": 2048 * MEBIBYTE,
        "memoryRequestedBytes": 0,
        "cpuLimit": 0.0,
        "cpuRequested": 0.0,
        "workerCount": None,
        "recycleAfterCalls": 0,
        "preload": False,
        "requestTimeoutSeconds": None,
        "startDeadlineSeconds": 300.0,
        "buildTimeoutSeconds": 1800.0,
        "healthCheck": {
            "initialDelaySeconds": 0.0,
            "periodSeconds": 10.0,
            "timeoutSeconds": 5.0,
            "failureThreshold": 10,
        },
        "environmentVariables": [],
        "volumes": [],
        "effective": {"workerCount": 1, "requestTimeoutSeconds": 60.0},
        "restarting": [
            "memoryBytes",
            "memoryRequestedBytes",
            "cpuLimit",
            "cpuRequested",
            "workerCount",
            "recycleAfterCalls",
            "preload",
            "requestTimeoutSeconds",
            "healthCheck",
            "environmentVariables",
            "volumes",
        ],
    }


CHANGES: dict[str, Any] = {
    "replicas": 3,
    "scaling": {"minReplicas": 2, "maxReplicas": 6, "targetCalls": 1.5},
    "routingMode": "advanced",
    "repeatableCalls": True,
    "memoryBytes": 512 * MEBIBYTE,
    "memoryRequestedBytes": 128 * MEBIBYTE,
    "cpuLimit": 2.0,
    "cpuRequested": 0.5,
    "workerCount": 4,
    "recycleAfterCalls": 5000,
    "preload": True,
    "requestTimeoutSeconds": 20.0,
    "startDeadlineSeconds": 120.0,
    "buildTimeoutSeconds": 600.0,
    "healthCheck": {
        "initialDelaySeconds": 1.0,
        "periodSeconds": 3.0,
        "timeoutSeconds": 2.0,
        "failureThreshold": 9,
    },
    "volumes": [{"name": "data", "mountPath": "/mnt/data", "hostPath": "/srv/data", "readOnly": False}],
}


@pytest.mark.parametrize("is_new", [True, False], ids=["published", "changed"])
async def test_every_setting_is_taken_when_a_model_is_published_and_later(api: Client, is_new: bool) -> None:
    model = await api.model(**(CHANGES if is_new else {}))
    if not is_new:
        await change(api, model, CHANGES)
    shown = await settings_of(api, model)
    assert CHANGES.items() <= shown.items()
    assert shown["effective"] == {"workerCount": 4, "requestTimeoutSeconds": 20.0}


async def test_the_settings_as_shown_are_a_body_that_changes_nothing(api: Client, store: MongoStore) -> None:
    model = await api.model(**CHANGES, environmentVariables=[{"key": "A", "value": "1"}])
    before = await store.load(MODEL, model["id"])
    answer = await change(api, model, await settings_of(api, model))
    assert answer["restarted"] == []
    assert await store.load(MODEL, model["id"]) == before


async def test_the_model_shows_what_holds_where_it_leaves_that_to_the_platform(api: Client) -> None:
    model = await api.model(**CHANGES)
    shown = await api.ok("GET", f"{V1}/modelApis/{model['id']}")
    expected = {
        "replicas": 3,
        "scaling": CHANGES["scaling"],
        "workerCount": 4,
        "routingMode": "Advanced",
        "overrideRequestTimeoutSecs": 20.0,
        "requestTimeoutSeconds": 20.0,
        "labels": {},
        "canaries": [],
    }
    assert expected.items() <= shown.items()
    assert shown["volumes"] == [{**CHANGES["volumes"][0], "volumeType": "HostPath"}]
    assert shown["endpoints"]["prod"].endswith(f"/models/{model['id']}/labels/prod/model")


async def test_what_is_left_out_stays_and_null_gives_it_back_to_the_platform(api: Client) -> None:
    model = await api.model(workerCount=3, requestTimeoutSeconds=20, scaling=CHANGES["scaling"])
    changed = await change(api, model, {"workerCount": None, "scaling": None, "healthCheck": {"periodSeconds": 7}})
    assert (changed["workerCount"], changed["scaling"]) == (None, None)
    assert (changed["requestTimeoutSeconds"], changed["effective"]["workerCount"]) == (20.0, 1)
    assert changed["healthCheck"]["periodSeconds"] == 7.0
    assert changed["healthCheck"]["failureThreshold"] == 10


async def test_changes_of_two_people_at_once_both_hold(api: Client) -> None:
    model = await api.model()
    bodies: list[dict[str, Any]] = [
        {"replicas": 5},
        {"memoryBytes": 256 * MEBIBYTE},
        {"workerCount": 2},
        {"repeatableCalls": True},
    ]
    await asyncio.gather(*(change(api, model, body) for body in bodies))
    shown = await settings_of(api, model)
    for body in bodies:
        assert body.items() <= shown.items()


REFUSED: list[tuple[Any, str]] = [
    ({"replicas": 33}, "replicas must be between 1 and 32, got 33"),
    ({"replicas": None}, "replicas must be a whole number, got null"),
    ({"workerCount": 0}, "workerCount must be between 1 and 32, got 0"),
    ({"routingMode": "random"}, "routingMode must be basic or advanced, got 'random'"),
    ({"cpuLimit": 1, "cpuRequested": 2}, "cpuRequested must be at most its limit, 1, got 2"),
    ({"memoryRequestedBytes": 1 << 40}, "memoryRequestedBytes must be at most its limit"),
    ({"buildTimeoutSeconds": 0}, "buildTimeoutSeconds must be between 1.0 and 86400.0, got 0"),
    (
        {"requestTimeoutSeconds": 100},
        "period x failure threshold must be greater than the request timeout: "
        "10 s x 10 = 100 s, the request timeout is 100 s",
    ),
    ({"scaling": {"minReplicas": 3, "maxReplicas": 2, "targetCalls": 1}}, "scaling.maxReplicas must be between 3"),
    ({"scaling": {"minReplicas": 0, "maxReplicas": 2, "targetCalls": 1}}, "scaling.minReplicas must be between 1"),
    ({"scaling": {"minReplicas": 1, "maxReplicas": 2, "targetCalls": 0}}, "scaling.targetCalls must be between"),
    ({"scaling": {"minReplicas": 1}}, "scaling.maxReplicas is required"),
    ({"environmentVariables": [{"key": "A"}]}, "environmentVariables[0].value is required"),
    ({"environmentVariables": [{"key": "1", "value": ""}]}, "environmentVariables[0].key is not one"),
    ({"environmentVariables": [{"key": "A", "value": "a"}] * 2}, "environmentVariables: A occurs twice"),
    (
        {"volumes": [{"name": "v", "mountPath": "mnt", "hostPath": "/v"}]},
        "volumes[0].mountPath must be an",
    ),
    ({"volumes": [{"name": "v", "mountPath": "/m", "hostPath": "/../v"}]}, "volumes[0].hostPath must be an absol"),
    (
        {"volumes": [{"name": "V", "mountPath": "/m", "hostPath": "/v"}]},
        "volumes[0].name must be 1 to 63",
    ),
    ({"volumes": [{"name": "v", "mountPath": "/m", "hostPath": "/v"}] * 2}, "two volumes have the same name"),
]


async def test_what_does_not_fit_is_refused_by_its_name_and_nothing_changes(api: Client, store: MongoStore) -> None:
    model = await api.model()
    before = await store.load(MODEL, model["id"])
    for body, sentence in REFUSED:
        answer = await api("PUT", f"{V1}/modelApis/{model['id']}/settings", body)
        assert (answer.status, sentence in answer.fault) == (400, True), (body, answer.raw)
    assert await store.load(MODEL, model["id"]) == before


async def test_a_variable_without_a_value_keeps_the_stored_one_and_the_list_is_the_whole(
    api: Client, deps: Deps, store: MongoStore
) -> None:
    model = await api.model(environmentVariables=[{"key": name, "value": name.lower()} for name in ("A", "B", "C")])
    changed = await change(
        api, model, {"environmentVariables": [{"key": "C"}, {"key": "A", "value": "new"}, {"key": "D", "value": "d"}]}
    )
    assert changed["environmentVariables"] == [{"key": "C"}, {"key": "A"}, {"key": "D"}]
    kept = (await store.load(MODEL, model["id"])).settings.environment_variables
    assert [(name, deps.variables.open(sealed)) for name, sealed in kept] == [("C", "c"), ("A", "new"), ("D", "d")]


async def test_no_value_of_a_variable_leaves_in_an_answer_or_in_the_history(api: Client) -> None:
    model = await api.model()
    body = {"environmentVariables": [{"key": "PASSWORD", "value": "hunter2"}]}
    answers = [await change(api, model, body), await settings_of(api, model)]
    answers.append(await api.ok("GET", f"{V1}/modelApis/{model['id']}"))
    history = await api.ok("GET", f"{V1}/audit", params={"modelId": model["id"]})
    assert history["items"][0]["what"] == "model.settings-changed"
    assert history["items"][0]["details"]["settings"]["environment_variables"] == ["PASSWORD"]
    assert b"hunter2" not in msgspec.json.encode([*answers, history])


async def test_only_what_has_to_restarts_and_the_answer_names_those_versions(
    api: Client, ledger: MongoLedger, store: MongoStore
) -> None:
    model = await api.model(environmentVariables=[{"key": "A", "value": "1"}])
    version = await run(ledger, model)
    live = {"replicas": 3, "routingMode": "advanced", "repeatableCalls": True}
    assert (await change(api, model, live))["restarted"] == []
    same = {"environmentVariables": [{"key": "A", "value": "1"}]}
    assert (await change(api, model, same))["restarted"] == [], "the same value keeps its seal"
    assert (await change(api, model, {"workerCount": 2}))["restarted"] == [version]
    assert (await store.load(MODEL, model["id"])).version(version).generation == 2
    assert (await store.load(MODEL, model["id"])).settings.routing_mode is RoutingMode.ADVANCED


async def test_a_change_repeated_with_its_key_restarts_once(
    api: Client, ledger: MongoLedger, store: MongoStore
) -> None:
    model = await api.model()
    version = await run(ledger, model)
    key = {"Idempotency-Key": "once"}
    body = {"environmentVariables": [{"key": "A", "value": "1"}]}
    answers = [await api.ok("PUT", f"{V1}/modelApis/{model['id']}/settings", body, headers=key) for _ in range(2)]
    assert [answer["restarted"] for answer in answers] == [[version], []]
    assert (await store.load(MODEL, model["id"])).version(version).generation == 2


async def test_an_archived_model_is_not_changed_and_one_that_is_not_there_is_404(api: Client) -> None:
    model = await api.model()
    await api.ok("DELETE", f"{V1}/modelApis/{model['id']}")
    answer = await api("PUT", f"{V1}/modelApis/{model['id']}/settings", {"replicas": 1})
    assert (answer.status, answer.fault) == (422, "model 'iris' is archived: restore it first")
    assert (await api("PUT", f"{V1}/modelApis/{'f' * 24}/settings", {"replicas": 1})).status == 404
    assert (await api("GET", f"{V1}/modelApis/{'f' * 24}/settings")).status == 404


EXAMPLES = ['{"data": {"x": 12345678901234567890123, "y": 1.50}}', '{"parameters":[]}', "[1]", '"text"']


async def test_an_example_is_kept_to_the_letter_whatever_json_it_is(api: Client, store: MongoStore) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}/versions"
    for example in EXAMPLES:
        version = await api("POST", at, data=f'{{"exampleInput": {example}}}')
        assert version.status == 201
        assert f'"exampleInput":{example}'.encode() in version.raw
        kept = (await store.load(MODEL, model["id"])).version(version.body["id"])
        assert kept.example_input == example


async def test_a_version_without_an_example_shows_none(api: Client) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}/versions"
    assert (await api.ok("POST", at, {"exampleInput": None}))["exampleInput"] is None
    assert (await api.ok("GET", at))[-1]["exampleInput"] is None


async def test_an_example_that_is_too_large_is_refused_by_its_place(api: Client) -> None:
    project = await api.project_with_code()
    source = {"type": "File", "file": "predict.py", "function": "predict"}
    version = {"projectId": project, "source": source, "exampleInput": {"data": {"x": "x" * 16384}}}
    answer = await api("POST", f"{V1}/modelApis", {"name": "iris", "version": version})
    assert answer.status == 400
    assert answer.fault.startswith("version.exampleInput may have at most 16384 bytes, got 16")
    assert (await api.ok("GET", f"{V1}/modelApis"))["items"] == []


async def test_a_build_gets_the_timeout_that_was_set(api: Client, store: MongoStore) -> None:
    model = await api.model(buildTimeoutSeconds=77)
    orders = [row for row in await store.unpublished(limit=100) if row.key.startswith("command.build.")]
    assert [msgspec.json.decode(row.body)["timeout_s"] for row in orders if model["id"] == row.aggregate_id] == [77.0]


async def test_two_editors_do_not_overwrite_each_other_unseen(api: Client) -> None:
    at = f"{V1}/modelApis/{(await api.model())['id']}/settings"
    read = (await api("GET", at)).headers["ETag"]
    first = await api("PUT", at, {"replicas": 3}, headers={"If-Match": read})
    assert (first.status, first.headers["ETag"] != read) == (200, True)
    second = await api("PUT", at, {"replicas": 4}, headers={"If-Match": read})
    assert second.status == 412
    assert second.fault == "the settings changed since they were read: read them again, and change those"
    assert (await api.ok("GET", at))["replicas"] == 3
    assert (await api("PUT", at, {"replicas": 4}, headers={"If-Match": first.headers["ETag"]})).status == 200


async def test_the_same_change_sent_again_is_not_taken_for_another_editors(api: Client) -> None:
    at = f"{V1}/modelApis/{(await api.model())['id']}/settings"
    read = (await api("GET", at)).headers["ETag"]
    headers = {"If-Match": read, "Idempotency-Key": "once"}
    assert [(await api("PUT", at, {"replicas": 3}, headers=headers)).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(("sent", "status"), [("*", 200), ('"other", "another"', 412), ("unquoted", 400), ("", 400)])
async def test_what_if_match_may_say(api: Client, sent: str, status: int) -> None:
    at = f"{V1}/modelApis/{(await api.model())['id']}/settings"
    assert (await api("PUT", at, {"replicas": 3}, headers={"If-Match": sent})).status == status
