"""The central configuration: read and set by administrators, obeyed by what is published and restarted from then on."""

from __future__ import annotations

from typing import Any

from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.configuration import DEFAULT_INSTANCES, KEYS, MAXIMUM_INSTANCES, REQUEST_TIMEOUT, WORKERS
from tests.services.api.http.client import V1, Client
from tests.services.api.http.people import add_person
from tests.services.api.http.steps import ready, run

AT = f"{V1}/centralConfig"


async def set_to(api: Client, key: str, value: float) -> Any:
    return await api.ok("PUT", f"{AT}/{key}", {"value": value})


async def pending(api: Client) -> Any:
    return (await api.ok("GET", f"{AT}/pending"))["items"]


async def test_every_key_is_shown_with_its_default_and_what_it_is_for(api: Client) -> None:
    items = (await api.ok("GET", AT))["items"]
    assert [each["key"] for each in items] == list(KEYS)
    by_key = {each["key"]: each for each in items}
    assert by_key[WORKERS]["value"] == by_key[WORKERS]["default"] == 1
    assert by_key["com.cerebro.domino.modelmanager.retention.logsDays"]["value"] == 14
    assert not any(each["isSet"] for each in items)
    assert all(each["unit"] and each["description"].endswith(".") for each in items)


async def test_a_key_is_set_and_taken_back(api: Client) -> None:
    changed = await set_to(api, WORKERS, 3)
    assert (changed["value"], changed["default"], changed["isSet"]) == (3, 1, True)
    assert next(each for each in (await api.ok("GET", AT))["items"] if each["key"] == WORKERS) == changed
    for _ in range(2):
        back = await api.ok("DELETE", f"{AT}/{WORKERS}")
        assert (back["value"], back["isSet"]) == (1, False)


REFUSED: list[tuple[str, Any, int, str]] = [
    (WORKERS, {"value": 33}, 400, "value must be a whole number from 1 to 32 (processes), got 33"),
    (WORKERS, {"value": None}, 400, "value must be a whole number or a number, got null"),
    (WORKERS, {"value": "3"}, 400, "value must be a whole number or a number, got text"),
    (WORKERS, {}, 400, "value is required"),
    (REQUEST_TIMEOUT, {"value": 100}, 400, "10 s x 10 = 100 s, the request timeout is 100 s"),
    (MAXIMUM_INSTANCES, {"value": 1}, 400, "the default number of instances must not exceed the maximum"),
    ("com.cerebro.colour", {"value": 1}, 404, "there is no such key; there are com.cerebro.domino"),
]


async def test_what_cannot_be_is_refused(api: Client) -> None:
    for key, body, status, sentence in REFUSED:
        answer = await api("PUT", f"{AT}/{key}", body)
        assert (answer.status, sentence in answer.fault) == (status, True), (key, body, answer.raw)
    assert not any(each["isSet"] for each in (await api.ok("GET", AT))["items"])


async def test_nobody_else_sees_or_sets_it(api: Client, ledger: MongoLedger) -> None:
    other = await add_person(api, ledger)
    for method, at in (
        ("GET", AT),
        ("GET", f"{AT}/pending"),
        ("PUT", f"{AT}/{WORKERS}"),
        ("DELETE", f"{AT}/{WORKERS}"),
    ):
        assert (await other(method, at, {"value": 2} if method == "PUT" else None)).status == 403


async def test_it_is_audited_and_verified_like_everything_else(api: Client) -> None:
    await set_to(api, REQUEST_TIMEOUT, 30)
    await api.ok("DELETE", f"{AT}/{REQUEST_TIMEOUT}")
    items = (await api.ok("GET", f"{V1}/audit", params={"limit": "2"}))["items"]
    assert [each["what"] for each in items] == ["configuration.set"] * 2
    assert [each["details"] for each in items] == [
        {"key": REQUEST_TIMEOUT, "value": None},
        {"key": REQUEST_TIMEOUT, "value": 30.0},
    ]
    assert items[0]["actor"]["name"] == "ada"
    verification = await api.ok("GET", f"{V1}/audit/verification")
    assert verification["findings"] == []


async def test_a_repeated_request_sets_once_also_when_somebody_was_faster(api: Client) -> None:
    key = {"Idempotency-Key": "once"}
    await api.ok("PUT", f"{AT}/{WORKERS}", {"value": 3}, headers=key)
    await set_to(api, WORKERS, 4)
    assert (await api.ok("PUT", f"{AT}/{WORKERS}", {"value": 3}, headers=key))["value"] == 4


async def test_a_new_model_goes_by_what_is_configured(api: Client, store: MongoStore) -> None:
    for key, value in ((MAXIMUM_INSTANCES, 4), (DEFAULT_INSTANCES, 3), (WORKERS, 2), (REQUEST_TIMEOUT, 30)):
        await set_to(api, key, value)
    model = await api.model()
    assert (model["replicas"], model["workerCount"], model["overrideRequestTimeoutSecs"]) == (3, 2, 30.0)
    at = f"{V1}/modelApis/{model['id']}/settings"
    answer = await api("PUT", at, {"replicas": 5})
    assert (answer.status, answer.fault) == (400, "replicas must be between 1 and 4, got 5")
    body = {"name": "iris", "description": "", "environmentId": "", "replicas": 5}
    answer = await api("PUT", f"{V1}/modelApis/{model['id']}", body)
    assert (answer.status, answer.fault) == (400, "replicas must be between 1 and 4, got 5")


async def test_running_models_are_pending_until_their_versions_restart(
    api: Client, ledger: MongoLedger, store: MongoStore
) -> None:
    model = await api.model()
    version = await run(ledger, model)
    await set_to(api, WORKERS, 3)
    await set_to(api, MAXIMUM_INSTANCES, 16)
    assert await pending(api) == [{"modelId": model["id"], "name": "iris", "versions": [version], "keys": [WORKERS]}]
    await api.ok("POST", f"{V1}/modelApis/{model['id']}/versions/{version}/restart")
    assert await pending(api) == []
    after = await store.load(MODEL, model["id"])
    assert (after.defaults.workers, after.version(version).defaults.workers) == (3, 3)
    await ready(ledger, model, version, after.version(version).generation)
    assert await pending(api) == []


async def test_a_model_that_says_it_itself_is_never_pending(api: Client, ledger: MongoLedger) -> None:
    model = await api.model(workerCount=2)
    await run(ledger, model)
    await set_to(api, WORKERS, 3)
    assert await pending(api) == []
