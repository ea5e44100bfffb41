"""Which version answered request X: for who may see the audit of its model, and one sentence where nothing is known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.core.calls import Call
from services.core.ids import AggregateId, InstanceId, VersionId
from services.kit.clock import now
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import SaidOnTheBus
from tests.services.api.http.people import add_person


def id_of(at: datetime) -> str:
    """As the router gives one to a call that begins then."""
    return f"{int(at.timestamp()) // 16:07X}123456789"


def call(model: Any, *, at: datetime, **changes: Any) -> Call:
    made: dict[str, Any] = {
        "request_id": id_of(at),
        "model_id": AggregateId(model["id"]),
        "label": "latest",
        "version_id": VersionId(model["activeVersion"]["id"]),
        "instance_id": InstanceId("00000001-1-1"),
        "began_at": at,
        "took_s": 0.25,
        "status": 200,
    }
    return Call(**{**made, **changes})


def at(model: Any, request_id: str) -> str:
    return f"{V1}/modelApis/{model['id']}/calls/{request_id}"


async def test_a_call_is_shown_with_the_version_that_answered_it(api: Client, said: SaidOnTheBus) -> None:
    model, began = await api.model(), now()
    said.calls.append(call(model, at=began))
    shown = await api.ok("GET", at(model, id_of(began)))
    assert shown == {
        "items": [
            {
                "requestId": id_of(began),
                "label": "latest",
                "versionId": model["activeVersion"]["id"],
                "versionNumber": 1,
                "instanceId": "00000001-1-1",
                "began": int(began.timestamp() * 1000),
                "seconds": 0.25,
                "status": 200,
            }
        ],
        "keptForDays": 7,
    }
    assert await api.ok("GET", at(model, id_of(began).lower())) == shown


async def test_a_call_that_nobody_answered_says_so(api: Client, said: SaidOnTheBus) -> None:
    model, began = await api.model(), now()
    said.calls.append(call(model, at=began, version_id=None, instance_id=None, status=503))
    (item,) = (await api.ok("GET", at(model, id_of(began))))["items"]
    assert (item["versionId"], item["versionNumber"], item["instanceId"], item["status"]) == (None, None, None, 503)


async def test_how_long_calls_are_kept_is_configured(api: Client, said: SaidOnTheBus) -> None:
    model, began = await api.model(), now() - timedelta(days=9)
    said.calls.append(call(model, at=began))
    gone = await api("GET", at(model, id_of(began)))
    assert gone.status == 404
    assert gone.fault == (
        f"the call {id_of(began)} was on {began.date().isoformat()}: records of calls are kept for 7 days"
    )
    key = "com.cerebro.domino.modelmanager.retention.callsDays"
    await api.ok("PUT", f"{V1}/centralConfig/{key}", {"value": 30})
    assert (await api.ok("GET", at(model, id_of(began))))["keptForDays"] == 30


@pytest.mark.parametrize(
    ("request_id", "status", "says"),
    [
        ("IREU167VFABC3K4T", 404, "IREU167VFABC3K4T is no id of a call: those are 16 of 0-9 and A-F"),
        (id_of(datetime.fromisoformat("2100-01-01T00:00:00Z")), 404, "F4865701 is no id of a call"),
        ("123", 400, "requestId must be 16 letters and digits: the X-Request-Id of an answer"),
    ],
    ids=["another-make", "later", "short"],
)
async def test_what_is_no_id_of_a_call_is_refused_with_one_sentence(
    api: Client, request_id: str, status: int, says: str
) -> None:
    answer = await api("GET", at(await api.model(), request_id))
    assert answer.status == status
    assert says in answer.fault or answer.fault.endswith("of 0-9 and A-F, and tell when it was")


async def test_a_call_without_a_record_is_not_found(api: Client) -> None:
    model = await api.model()
    answer = await api("GET", at(model, id_of(now())))
    assert answer.status == 404
    assert answer.fault.startswith(f"there is no record of a call {id_of(now())[:6]}")


async def test_who_may_not_see_the_audit_sees_no_calls(api: Client, ledger: MongoLedger, said: SaidOnTheBus) -> None:
    model, began = await api.model(), now()
    said.calls.append(call(model, at=began))
    grace = await add_person(api, ledger)
    assert (await grace("GET", at(model, id_of(began)))).status == 404
    people = f"{V1}/modelApis/{model['id']}/collaborators"
    for role, status in (("Viewer", 403), ("Editor", 200)):
        await api.ok("PUT", people, {"collaborator": "grace", "role": role})
        assert (await grace("GET", at(model, id_of(began)))).status == status
