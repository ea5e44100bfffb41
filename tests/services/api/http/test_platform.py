"""The platform about itself: version, life, its services, its history."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from services.api.http.app import Deps, serve
from services.api.ports import ServiceSeen
from services.kit.process import Stop
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import SaidToBe

AT = datetime(2026, 1, 2, tzinfo=UTC)


async def test_clients_are_told_the_version_they_gate_on_and_ours(api: Client) -> None:
    stranger = api.as_holder_of(None)
    assert await stranger.ok("GET", "/version") == {"version": "5.11.0", "modelway": "0.1.0"}


async def test_a_platform_that_lives_and_is_ready_says_so(api: Client, observed: SaidToBe) -> None:
    stranger = api.as_holder_of(None)
    assert await stranger.ok("GET", "/livez") == {"status": "ok"}
    assert await stranger.ok("GET", "/readyz") == {"status": "ok", "database": "ok", "bus": "ok"}
    assert (await stranger("HEAD", "/readyz")).status == 200
    observed.is_connected = False
    without_bus = await stranger.ok("GET", "/readyz")
    assert (without_bus["status"], without_bus["bus"]) == ("ok", "the bus does not answer")


async def test_the_state_of_every_service_is_shown(api: Client, observed: SaidToBe) -> None:
    observed.beating = [
        ServiceSeen(service=service, service_id=f"{service}-1", last_seen_at=AT, started_at=AT, is_alive=True)
        for service in ("builder", "router")
    ]
    observed.rejected = {"router-2": "unknown keyword 'sevrer'"}
    milliseconds = int(AT.timestamp() * 1000)
    beat = {"lastSeen": milliseconds, "startedAt": milliseconds, "isAlive": True}
    state = await api.ok("GET", f"{V1}/platform")
    assert state.pop("outbox")["waiting"] >= 0
    assert state == {
        "services": [
            {"service": "builder", "id": "builder-1", **beat},
            {"service": "router", "id": "router-1", **beat},
        ],
        "database": "ok",
        "bus": "ok",
        "routers": [{"id": "router-1", "rejected": ""}, {"id": "router-2", "rejected": "unknown keyword 'sevrer'"}],
    }


async def test_what_is_stored_and_not_yet_published_is_counted(api: Client) -> None:
    before = (await api.ok("GET", f"{V1}/platform"))["outbox"]["waiting"]
    await api.model()  # nothing here carries the outbox to a bus
    assert (await api.ok("GET", f"{V1}/platform"))["outbox"]["waiting"] >= before + 4


async def test_the_history_of_a_model_is_shown_newest_first(api: Client) -> None:
    model = await api.model()
    history = (await api.ok("GET", f"{V1}/audit", params={"modelId": model["id"]}))["items"]
    assert [item["what"] for item in history] == [
        "version.deployment-ordered",
        "version.published",
        "token.created",
        "model.created",
    ]
    assert [item["revision"] for item in history] == [4, 3, 2, 1]
    assert history[-1]["details"]["name"] == "iris"
    assert len((await api.ok("GET", f"{V1}/audit", params={"limit": "2"}))["items"]) == 2


async def test_the_history_shows_no_value_of_a_variable_and_no_hash_of_a_token(api: Client) -> None:
    model = await api.model(environmentVariables=[{"key": "PASSWORD", "value": "hunter2"}])
    history = await api.ok("GET", f"{V1}/audit", params={"modelId": model["id"]})
    text = msgspec.json.encode(history)
    assert b"PASSWORD" in text
    assert b"hunter2" not in text
    assert b"token_hash" not in text
    assert b"hunter2" not in msgspec.json.encode(await api.ok("GET", f"{V1}/modelApis/{model['id']}"))


async def test_serving_ends_when_it_should(deps: Deps) -> None:
    stop = Stop()
    stop.set()
    await serve(deps, stop, host="127.0.0.1", port=0)
