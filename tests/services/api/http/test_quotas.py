"""Resource quotas: made, hidden and made the default by administrators, taken by models."""

from __future__ import annotations

import asyncio
from typing import Any

from services.api.ledger import MongoLedger
from tests.services.api.http.client import V1, Client
from tests.services.api.http.people import add_person
from tests.services.api.http.steps import run

AT = f"{V1}/resourceQuotas"
MEBIBYTE = 1024 * 1024
SMALL = {
    "name": "small",
    "cpuRequested": 0.5,
    "cpuLimit": 1.0,
    "memoryRequestedBytes": 128 * MEBIBYTE,
    "memoryLimitBytes": 256 * MEBIBYTE,
}
SIZES = {"memoryBytes": 256 * MEBIBYTE, "memoryRequestedBytes": 128 * MEBIBYTE, "cpuLimit": 1.0, "cpuRequested": 0.5}


async def quota(api: Client, name: str = "small", **changes: Any) -> str:
    """The id of a new one."""
    made = await api.ok("POST", AT, {**SMALL, "name": name})
    if changes:
        await api.ok("PUT", f"{AT}/{made['id']}", changes)
    return str(made["id"])


async def settings_of(api: Client, model: Any) -> Any:
    return await api.ok("GET", f"{V1}/modelApis/{model['id']}/settings")


async def test_a_quota_is_made_shown_hidden_and_never_deleted(api: Client) -> None:
    assert await api.ok("GET", AT) == {"items": []}
    answer = await api("POST", AT, SMALL)
    assert answer.status == 201
    made = answer.body
    assert made == {"id": made["id"], **SMALL, "isVisible": True, "isDefault": False}
    hidden = await api.ok("PUT", f"{AT}/{made['id']}", {"isVisible": False})
    assert hidden == {**made, "isVisible": False}
    assert await api.ok("GET", AT) == {"items": [hidden]}
    assert (await api("DELETE", f"{AT}/{made['id']}")).status == 405


async def test_only_administrators_change_quotas_and_others_see_the_visible_ones(
    api: Client, ledger: MongoLedger
) -> None:
    other = await add_person(api, ledger)
    shown, hidden = await quota(api), await quota(api, "hidden", isVisible=False)
    assert [each["id"] for each in (await other.ok("GET", AT))["items"]] == [shown]
    for method, at, body in (("POST", AT, SMALL), ("PUT", f"{AT}/{hidden}", {"isVisible": True})):
        answer = await other(method, at, body)
        assert (answer.status, answer.fault) == (403, "grace may not change platform: that takes an administrator")


async def test_there_is_one_default_also_when_two_are_chosen_at_once(api: Client) -> None:
    ids = [await quota(api, name) for name in ("a", "b", "c")]
    await asyncio.gather(*(api.ok("PUT", f"{AT}/{each}", {"isDefault": True}) for each in ids))
    items = (await api.ok("GET", AT))["items"]
    assert sum(each["isDefault"] for each in items) == 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name must be 1 to 100 printable characters"),
    ({"memoryLimitBytes": 1}, "memoryBytes must be between 67108864"),
    ({"memoryRequestedBytes": 1 << 30}, "memoryRequestedBytes must be at most its limit"),
    ({"cpuRequested": 2}, "cpuRequested must be at most its limit, 1, got 2"),
    ({"cpuLimit": "1"}, "cpuLimit must be a number, got text"),
]


async def test_a_quota_that_no_model_could_have_is_refused(api: Client) -> None:
    for change, sentence in REFUSED:
        answer = await api("POST", AT, {**SMALL, **change})
        assert (answer.status, sentence in answer.fault) == (400, True), (change, answer.raw)
    assert await api.ok("GET", AT) == {"items": []}


async def test_a_name_is_given_once_and_a_repeated_request_makes_one(api: Client) -> None:
    key = {"Idempotency-Key": "once"}
    assert await api.ok("POST", AT, SMALL, headers=key) == await api.ok("POST", AT, SMALL, headers=key)
    answer = await api("POST", AT, SMALL)
    assert (answer.status, answer.fault) == (422, "there is already a resource quota named 'small'")
    assert (await api("PUT", f"{AT}/{'f' * 24}", {"isVisible": True})).status == 404


async def test_a_model_takes_the_numbers_of_the_quota_it_is_published_with(api: Client) -> None:
    small = await quota(api)
    model = await api.model(resourceQuotaId=small)
    assert model["resourceQuotaId"] == small
    assert {"resourceQuotaId": small, **SIZES}.items() <= (await settings_of(api, model)).items()


async def test_a_model_that_names_no_quota_takes_the_default_one_and_null_is_none(api: Client) -> None:
    before = await api.model()
    small = await quota(api, isDefault=True)
    project = await api.project_with_code("other")
    model, by_hand = await api.model(project), await api.model(project, resourceQuotaId=None, memoryBytes=1 << 30)
    assert {"resourceQuotaId": small, **SIZES}.items() <= (await settings_of(api, model)).items()
    assert (by_hand["resourceQuotaId"], by_hand["memoryBytes"]) == (None, 1 << 30)
    assert (await settings_of(api, before))["resourceQuotaId"] is None


async def test_a_number_by_hand_beside_a_quota_is_refused_and_one_that_is_the_same_is_not(api: Client) -> None:
    small = await quota(api)
    model = await api.model(resourceQuotaId=small)
    at = f"{V1}/modelApis/{model['id']}/settings"
    answer = await api("PUT", at, {"memoryBytes": 1 << 30})
    assert answer.status == 400
    assert answer.fault == (
        "memoryBytes comes from the resource quota 'small': choose another one, or set resourceQuotaId to null to give "
        "it by hand"
    )
    assert (await api("PUT", at, {"memoryBytes": 256 * MEBIBYTE})).status == 200
    by_hand = await api.ok("PUT", at, {"resourceQuotaId": None, "memoryBytes": 1 << 30})
    assert (by_hand["resourceQuotaId"], by_hand["memoryBytes"], by_hand["cpuLimit"]) == (None, 1 << 30, 1.0)


async def test_another_quota_restarts_what_runs(api: Client, ledger: MongoLedger) -> None:
    small = await quota(api)
    model = await api.model()
    version = await run(ledger, model)
    changed = await api.ok("PUT", f"{V1}/modelApis/{model['id']}/settings", {"resourceQuotaId": small})
    assert changed["restarted"] == [version]
    assert SIZES.items() <= changed.items()


async def test_a_hidden_quota_stays_with_those_who_have_it_and_is_chosen_by_nobody(api: Client) -> None:
    small = await quota(api)
    project = await api.project_with_code()
    has_it, other = await api.model(project, resourceQuotaId=small), await api.model(project)
    await api.ok("PUT", f"{AT}/{small}", {"isVisible": False})
    kept = await api.ok("PUT", f"{V1}/modelApis/{has_it['id']}/settings", {"resourceQuotaId": small, "replicas": 1})
    assert (kept["resourceQuotaId"], kept["replicas"]) == (small, 1)
    answer = await api("PUT", f"{V1}/modelApis/{other['id']}/settings", {"resourceQuotaId": small})
    assert (answer.status, answer.fault) == (422, "resource quota 'small' is hidden and cannot be chosen any more")
    answer = await api("PUT", f"{V1}/modelApis/{other['id']}/settings", {"resourceQuotaId": "f" * 24})
    assert (answer.status, answer.fault) == (404, f"there is no resource quota {'f' * 24}")


async def test_quotas_are_audited_and_their_history_is_verified(api: Client) -> None:
    await quota(api, isDefault=True)
    history = (await api.ok("GET", f"{V1}/audit", params={"limit": "2"}))["items"]
    assert [(each["what"], each["aggregate"]) for each in history] == [
        ("quota.changed", "quotas"),
        ("quota.created", "quotas"),
    ]
    assert history[1]["actor"]["name"] == "ada"
    assert (await api.ok("GET", f"{V1}/audit/verification"))["findings"] == []
