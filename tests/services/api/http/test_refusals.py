"""What people try and may not: each attempt at a change is in the history, once a minute, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from services.api.http import refusals
from services.api.http.refusals import AGAIN_AFTER_S, Refusals
from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery, Store
from services.api.store.store import MongoStore
from services.core.access import Action
from services.core.aggregates import PERSON
from services.core.commands import AddPerson
from services.core.errors import Unavailable
from services.core.events import Actor, ActorKind, AttemptRefused, Entry
from services.core.pace import Pace
from services.kit.ids import new_object_id
from tests.makers import PERSON as MAKER
from tests.services.api.http.cast import Stage
from tests.services.api.http.client import V1

module = pytest.mark.asyncio(loop_scope="module")
REQUEST = make_mocked_request("PUT", "/somewhere")


async def refused(store: Store, person_id: str) -> list[Entry]:
    """Oldest first."""
    links = await store.entries(EntryQuery(actor_id=person_id, types=("person.attempt-refused",)), limit=100)
    return [link.entry for link in reversed(links)]


async def told(stage: Stage, role: str) -> list[tuple[str, str]]:
    """What they tried, and to what."""
    entries = await refused(stage.deps.store, stage.cast.people[role])
    return [(entry.event.action, entry.event.about_id) for entry in entries if isinstance(entry.event, AttemptRefused)]


@module
async def test_a_refused_change_is_an_event_that_says_who_tried_what_and_from_where(stage: Stage) -> None:
    model = stage.cast.models["private"]
    at = f"{V1}/modelApis/{model.id}"
    viewer = stage.as_("viewer")
    for _ in range(3):
        answer = await viewer("DELETE", at)
    assert answer.status == 403
    assert answer.fault == "viewer may not archive model: that takes an Owner of the model"
    [entry] = await refused(stage.deps.store, stage.cast.people["viewer"])
    assert entry.event == AttemptRefused(action="archive-model", method="DELETE", path=at, about_id=model.id)
    assert (entry.actor.name, entry.actor.address) == ("viewer", "127.0.0.1")
    await viewer("PUT", f"{at}/visibility", {"isPublic": True})
    await viewer("DELETE", f"{V1}/modelApis/{stage.cast.models['public'].id}")
    assert len(await told(stage, "viewer")) == 3


@module
async def test_who_may_not_even_know_of_a_thing_is_told_that_there_is_none_and_the_attempt_is_recorded(
    stage: Stage,
) -> None:
    model = stage.cast.models["private"]
    answer = await stage.as_("stranger")("PUT", f"{V1}/modelApis/{model.id}/owner", {"owner": "stranger"})
    assert (answer.status, answer.fault) == (404, f"there is no model {model.id}")
    assert await told(stage, "stranger") == [("share-model", model.id)]
    nothing = await stage.as_("stranger")("PUT", f"{V1}/modelApis/{'f' * 24}/owner", {"owner": "stranger"})
    assert (nothing.status, nothing.fault) == (404, f"there is no model {'f' * 24}")


@module
async def test_looking_is_no_attempt_but_asking_for_the_secret_of_a_token_is(stage: Stage) -> None:
    model = stage.cast.models["public"].id
    consumer = stage.as_("consumer")
    for path in ("settings", "audit"):
        params = {"modelId": model} if path == "audit" else {}
        at = f"{V1}/audit" if path == "audit" else f"{V1}/modelApis/{model}/{path}"
        assert (await consumer("GET", at, params=params)).status == 403
    assert (await consumer("GET", f"{V1}/platform")).status == 403
    assert await told(stage, "consumer") == []
    assert (await consumer("GET", f"{V1}/modelApis/{model}/accessTokens/{'f' * 24}/secret")).status == 403
    assert await told(stage, "consumer") == [("see-tokens", model)]


@module
async def test_what_a_body_names_is_recorded_as_well(stage: Stage) -> None:
    cast, client = stage.cast, stage.as_("launcher")
    project = cast.projects["Private"].id
    body: dict[str, Any] = {"name": "m", "version": {"projectId": project, "source": {"file": "a.py"}}}
    assert (await client("POST", f"{V1}/modelApis", body)).status == 403
    assert (await client("POST", "/v4/projects", {"name": "p", "ownerId": cast.people["member"]})).status == 403
    environment = {"name": "e", "visibility": "Global"}
    assert (await client("POST", "/api/environments/beta/environments", environment)).status == 403
    assert await told(stage, "launcher") == [
        ("create-model", project),
        ("change-person", cast.people["member"]),
        ("change-platform", ""),
    ]


async def somebody(ledger: MongoLedger) -> Actor:
    person_id = new_object_id()
    await ledger.execute(PERSON, person_id, AddPerson(user_name="eve"), actor=MAKER)
    return Actor(kind=ActorKind.PERSON, id=person_id, name="eve", address="10.0.0.1")


async def test_the_same_attempt_is_recorded_again_after_a_minute(store: MongoStore, ledger: MongoLedger) -> None:
    clock = [0.0]
    eve = await somebody(ledger)
    heard = Refusals(ledger, clock=lambda: clock[0])
    for moment in (0.0, 1.0, AGAIN_AFTER_S - 1, AGAIN_AFTER_S, AGAIN_AFTER_S + 1):
        clock[0] = moment
        await heard.record(REQUEST, Action.ARCHIVE_MODEL, about_id="a", by=eve)
    assert len(await refused(store, eve.id)) == 2


async def test_what_could_not_be_recorded_is_tried_again_at_the_next_attempt(
    store: MongoStore, ledger: MongoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = await somebody(ledger)
    heard = Refusals(ledger)

    async def away(*_args: object, **_named: object) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "execute", away)
        await heard.record(REQUEST, Action.ARCHIVE_MODEL, about_id="a", by=eve)
    assert await refused(store, eve.id) == []
    await heard.record(REQUEST, Action.ARCHIVE_MODEL, about_id="a", by=eve)
    assert len(await refused(store, eve.id)) == 1


async def test_what_is_remembered_of_attempts_is_bounded(
    store: MongoStore, ledger: MongoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_REMEMBERED", 2)
    eve = await somebody(ledger)
    heard = Refusals(ledger)
    for thing in ("a", "b", "c", "b", "a"):
        await heard.record(REQUEST, Action.ARCHIVE_MODEL, about_id=thing, by=eve)
    tried = [entry.event.about_id for entry in await refused(store, eve.id) if isinstance(entry.event, AttemptRefused)]
    assert tried == ["a", "b", "c", "a"]  # the oldest was forgotten


async def test_nobody_fills_the_history_with_attempts(store: MongoStore, ledger: MongoLedger) -> None:
    eve, clock = await somebody(ledger), [0.0]
    heard = Refusals(ledger, pace=Pace(burst=3, every_s=10.0), clock=lambda: clock[0])
    for thing in "abcde":
        await heard.record(REQUEST, Action.ARCHIVE_MODEL, about_id=thing, by=eve)
    assert len(await refused(store, eve.id)) == 3
    clock[0] = 10.0
    await heard.record(REQUEST, Action.ARCHIVE_MODEL, about_id="e", by=eve)
    assert len(await refused(store, eve.id)) == 4
