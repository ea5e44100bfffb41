"""The history as a client reads it: by who, what and when, whole as JSON Lines, and as of a moment."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp import ClientError

from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery
from services.api.store.store import MongoStore
from services.core.audit import Link
from services.core.errors import Unavailable
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import ADMINISTRATOR, SaidOnTheBus
from tests.services.api.http.people import add_person

AT = f"{V1}/audit"
FAR_MS = 4_000_000_000_000


async def listed(api: Client, **params: object) -> list[Any]:
    found = await api.ok("GET", AT, params={name: str(value) for name, value in params.items()})
    return list(found["items"])


async def test_filters_together_find_who_did_what_and_when(api: Client) -> None:
    model = await api.model()
    everything = await listed(api, limit=1000)
    me = next(item["actor"]["id"] for item in everything if item["what"] == "model.created")
    for actor in (me, ADMINISTRATOR):
        found = await listed(api, modelId=model["id"], actor=actor, action="version.")
        assert [item["what"] for item in found] == ["version.deployment-ordered", "version.published"]
    assert await listed(api, actor="nobody") == []
    created = next(item["at"] for item in everything if item["what"] == "model.created")
    assert [item for item in everything if item["at"] >= created] == await listed(api, since=created)
    assert [item for item in everything if item["at"] < created] == await listed(api, until=created)


async def test_pages_go_on_where_the_one_before_ended(api: Client) -> None:
    await api.model()
    everything = await listed(api, limit=1000)
    found, params = [], {"limit": "3"}
    while True:
        page = await api.ok("GET", AT, params=params)
        found += page["items"]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    assert found == everything


async def test_all_is_exported_as_json_lines(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.http.audit._EXPORTED_AT_ONCE", 2)
    model = await api.model()
    as_lines = {"Accept": "application/x-ndjson"}
    exported = await api("GET", AT, headers=as_lines)
    assert exported.headers["Content-Type"] == "application/x-ndjson"
    assert [msgspec.json.decode(line) for line in exported.raw.splitlines()] == await listed(api, limit=1000)
    some = await api("GET", AT, headers=as_lines, params={"modelId": model["id"], "limit": "3"})
    assert len(some.raw.splitlines()) == 3


async def test_an_export_that_cannot_go_on_does_not_look_whole(
    api: Client, store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.http.audit._EXPORTED_AT_ONCE", 2)
    await api.model()
    entries = store.entries

    async def fail_later(query: EntryQuery, *, limit: int) -> list[Link]:
        if query.before is not None:
            raise Unavailable("the database does not answer; try again soon")
        return await entries(query, limit=limit)

    monkeypatch.setattr(store, "entries", fail_later)
    with pytest.raises(ClientError):
        await api("GET", AT, headers={"Accept": "application/x-ndjson"})


async def test_a_change_of_settings_shows_before_and_after_and_no_value_of_a_variable(api: Client) -> None:
    model = await api.model(environmentVariables=[{"key": "A", "value": "old-secret"}, {"key": "B", "value": "kept"}])
    body = {"workerCount": 3, "environmentVariables": [{"key": "A", "value": "new-secret"}, {"key": "B"}]}
    await api.ok("PUT", f"{V1}/modelApis/{model['id']}/settings", body)
    answer = await api("GET", AT, params={"action": "model.settings-changed"})
    (item,) = answer.body["items"]
    assert item["before"] == {"workerCount": None, "environmentVariables": [{"key": "A"}, {"key": "B"}]}
    assert item["after"] == {
        "workerCount": 3,
        "environmentVariables": [{"key": "A", "isChanged": True}, {"key": "B", "isChanged": False}],
    }
    assert b"secret" not in answer.raw
    assert b"gAAAA" not in answer.raw  # how a sealed value begins


async def test_a_moment_of_the_past_is_shown(api: Client) -> None:
    model = await api.model(environmentVariables=[{"key": "A", "value": "secret"}])
    created = (await listed(api, modelId=model["id"], action="model.created"))[0]["at"]
    await api.ok("PUT", f"{V1}/modelApis/{model['id']}/settings", {"replicas": 7})
    changed = (await listed(api, modelId=model["id"], limit=1))[0]["at"]
    now, then = [
        await api.ok("GET", f"{AT}/as-of", params={"time": str(at), "modelId": model["id"]})
        for at in (FAR_MS, changed - 1)
    ]
    assert now["items"][0]["settings"]["replicas"] == 7
    assert now["items"][0]["settings"]["environmentVariables"] == [{"key": "A"}]
    assert now["items"][0]["routes"] == {"latest": {"versionId": None, "versionNumber": None, "canary": None}}
    assert [token["name"] for token in now["items"][0]["tokens"]] == ["default"]
    assert then["items"][0]["settings"]["replicas"] != 7
    before = await api.ok("GET", f"{AT}/as-of", params={"time": str(created - 1)})
    assert before == {"time": created - 1, "items": []}
    assert (await api.ok("GET", f"{AT}/as-of", params={"time": str(FAR_MS)}))["items"] == now["items"]


@pytest.mark.parametrize(
    ("path", "params", "says"),
    [
        (AT, {"since": "yesterday"}, "since must be a time in epoch milliseconds, got 'yesterday'"),
        (AT, {"since": "2", "until": "1"}, "since must not be later than until"),
        (AT, {"action": "model.blown-up"}, "action must be one of "),
        (AT, {"cursor": "x"}, "cursor must be the nextCursor of the page before"),
        (AT, {"limit": "1001"}, "limit must be a whole number from 1 to 1000, got '1001'"),
        (f"{AT}/as-of", {}, "time is required: epoch milliseconds"),
    ],
)
async def test_what_is_asked_wrongly_is_refused_with_one_sentence(
    api: Client, path: str, params: dict[str, str], says: str
) -> None:
    answer = await api("GET", path, params=params)
    assert answer.status == 400
    assert answer.fault.startswith(says)


async def test_refused_attempts_at_a_model_are_shown_with_what_happened_to_it(api: Client, ledger: MongoLedger) -> None:
    project = await api.project_with_code()
    model, other = await api.model(project), await api.model(project, name="other")
    grace = await add_person(api, ledger)
    await shared(api, model, "Viewer")
    for about in (model, other):
        await grace("DELETE", f"{V1}/modelApis/{about['id']}")
    shown = await listed(api, modelId=model["id"], action="person.attempt-refused")
    assert [(each["actor"]["name"], each["details"]["about_id"]) for each in shown] == [("grace", model["id"])]
    assert shown[0] in await listed(api, modelId=model["id"])
    assert shown == await listed(api, modelId=model["id"], actor="grace")


async def shared(api: Client, model: Any, role: str) -> None:
    await api("PUT", f"{V1}/modelApis/{model['id']}/collaborators", {"collaborator": "grace", "role": role})


async def test_who_may_see_the_audit_of_a_model_sees_that_and_no_other(api: Client, ledger: MongoLedger) -> None:
    project = await api.project_with_code()
    model, other = await api.model(project), await api.model(project, name="other")
    grace = await add_person(api, ledger)
    await shared(api, model, "Editor")
    assert await listed(grace, modelId=model["id"]) == await listed(api, modelId=model["id"])
    moment = {"time": str(FAR_MS), "modelId": model["id"]}
    assert await grace.ok("GET", f"{AT}/as-of", params=moment) == await api.ok("GET", f"{AT}/as-of", params=moment)
    for path, params, status in (
        (AT, {}, 403),
        (AT, {"actor": "grace"}, 403),
        (AT, {"modelId": other["id"]}, 404),
        (AT, {"modelId": "0" * 24}, 404),
        (f"{AT}/as-of", {"time": "1"}, 403),
        (f"{AT}/as-of", {"time": "1", "modelId": other["id"]}, 404),
        (f"{AT}/verification", {}, 403),
    ):
        assert (await grace("GET", path, params=params)).status == status, (path, params)
    await shared(api, model, "Viewer")
    assert (await grace("GET", AT, params={"modelId": model["id"]})).status == 403


async def test_what_changed_of_who_has_access_is_shown_before_and_after(api: Client, ledger: MongoLedger) -> None:
    model = await api.model()
    await add_person(api, ledger)
    me = (await listed(api, modelId=model["id"], action="model.created"))[0]["actor"]["id"]
    for role in ("Viewer", "Editor"):
        await shared(api, model, role)
    await api.ok("PUT", f"{V1}/modelApis/{model['id']}/visibility", {"isPublic": True})
    await api.ok("PUT", f"{V1}/modelApis/{model['id']}/owner", {"owner": "grace"})
    grace = ""
    changes: dict[str, list[Any]] = {}
    for each in await listed(api, modelId=model["id"]):
        grace = each["details"].get("collaborator_id", grace)
        changes.setdefault(each["what"], []).append((each.get("before"), each.get("after")))
    assert changes["model.collaborator-set"] == [
        ({f"collaborators.{grace}": "Viewer"}, {f"collaborators.{grace}": "Editor"}),
        ({}, {f"collaborators.{grace}": "Viewer"}),
    ]
    assert changes["model.visibility-set"] == [({"isPublic": False}, {"isPublic": True})]
    assert changes["model.ownership-transferred"] == [
        (
            {"ownerId": me, f"collaborators.{grace}": "Editor"},
            {"ownerId": grace, f"collaborators.{grace}": None, f"collaborators.{me}": "Editor"},
        )
    ]


async def test_no_hash_of_a_secret_is_shown_exported_or_published(api: Client, store: MongoStore) -> None:
    await api.model()
    exported = await api("GET", AT, headers={"Accept": "application/x-ndjson"})
    shown = [msgspec.json.decode(line) for line in exported.raw.splitlines()]
    assert {"token.created", "person.api-key-added"} <= {each["what"] for each in shown}
    assert not [name for each in shown for name in each["details"] if name.endswith("_hash")]
    published = [
        msgspec.json.decode(row.body) for row in await store.unpublished(limit=1000) if row.key[:6] == "event."
    ]
    hashes = [value for each in published for name, value in each["event"].items() if name.endswith("_hash")]
    assert hashes
    assert not any(hashes)


async def test_verification_tells_what_was_read_and_what_is_wrong(
    api: Client, store: MongoStore, said: SaidOnTheBus
) -> None:
    await api.model()
    sound = await api.ok("GET", f"{AT}/verification")
    assert (sound["findings"], sound["checkpoints"], sound["witnessed"]) == ([], 0, 0)
    assert sound["events"] >= sound["aggregates"] == sound["ahead"] > 1
    said.known = {3: frozenset({"0" * 64})}
    (finding,) = (await api.ok("GET", f"{AT}/verification"))["findings"]
    assert finding == {
        "aggregate": "checkpoint",
        "aggregateId": "chain",
        "revision": 1,
        "what": "the chain of checkpoints was cut: the bus knows checkpoint 3",
    }
    said.is_away = True
    assert (await api.ok("GET", f"{AT}/verification"))["unwitnessedBecause"] == "the bus is away"
