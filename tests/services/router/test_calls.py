"""What a caller sees, through a real HAProxy."""

from __future__ import annotations

import asyncio
import re
import time

import httpx
import pytest
from msgspec.structs import replace

from services.core.routing import STOPPED, RoutingTable
from services.router.haproxy.dataplane import HAProxy
from tests.parts import wait_until_async
from tests.services.router.parts import (
    LATEST,
    MODEL,
    OTHER_MODEL,
    TOKEN,
    VERSION,
    HAProxyProcess,
    Place,
    StandIn,
    basic,
    errors,
    open_table,
    token_hash,
)

OTHER_TOKEN = "O" * 64
DELAY = {"X-Test-Delay": "1.0"}


def restricted(stand_in: StandIn) -> RoutingTable:
    """Two restricted models with one version."""
    return replace(
        open_table(*stand_in.servers),
        open_models=frozenset(),
        routes={f"{MODEL}/latest": VERSION, f"{OTHER_MODEL}/latest": VERSION},
        tokens=frozenset({f"{MODEL}/{token_hash(TOKEN)}", f"{OTHER_MODEL}/{token_hash(OTHER_TOKEN)}"}),
    )


async def test_a_call_reaches_an_instance_with_its_id_its_name_and_the_time_that_is_left(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(open_table(*stand_in.servers, timeout_s=5.0))
    response = await client.post(
        LATEST + "?q=1", json={"data": {}}, headers={"X-Modelway-Server": "forged", "Cookie": "s=1"}
    )
    seen = response.json()
    assert response.status_code == 200
    assert seen["request"] == "POST /model?q=1 HTTP/1.1"
    assert seen["headers"]["x-modelway-server"] == seen["server"]
    assert 4000 < int(seen["headers"]["x-modelway-remaining-ms"]) <= 5000
    assert re.fullmatch(r"[0-9A-F]{16}", seen["headers"]["x-request-id"])
    assert response.headers.get_list("X-Request-Id") == [seen["headers"]["x-request-id"]]
    assert "cookie" not in seen["headers"]
    assert "set-cookie" not in response.headers


async def test_the_prod_label_reaches_its_own_version(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(*stand_in.servers)
    await data_plane.converge(replace(table, routes={f"{MODEL}/latest": STOPPED, f"{MODEL}/prod": VERSION}))
    response = await client.post(f"/models/{MODEL}/labels/prod/model", json={})
    assert response.status_code == 200
    assert response.json()["request"].startswith("POST /model ")


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {TOKEN}"}, basic(TOKEN, TOKEN)],
    ids=["bearer", "basic"],
)
async def test_the_token_of_the_model_opens_it_and_goes_no_further(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await data_plane.converge(restricted(stand_in))
    response = await client.post(LATEST, json={}, headers={**headers, "X-Domino-Api-Key": "secret"})
    assert response.status_code == 200
    assert "authorization" not in response.json()["headers"]
    assert "x-domino-api-key" not in response.json()["headers"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {OTHER_TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !!!"},
        basic(TOKEN, "something else"),
        basic("something else", TOKEN),
        basic("", ""),
    ],
    ids=["none", "of another model", "empty", "malformed", "user only", "password only", "empty basic"],
)
async def test_anything_else_is_refused_with_401(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await data_plane.converge(restricted(stand_in))
    response = await client.post(LATEST, json={}, headers=headers)
    assert response.status_code == 401
    assert errors(response) == ["A valid access token of this model is required."]
    assert response.headers.get_list("WWW-Authenticate") == ['Bearer realm="Modelway"', 'Basic realm="Modelway"']


@pytest.mark.parametrize(
    "path",
    [
        f"/models/{OTHER_MODEL}/latest/model",
        f"/models/{MODEL}/labels/prod/model",
        "/models/nonsense/latest/model",
        "/models/a b/latest/model",
        f"/models/{MODEL}/latest/",
        f"/models/{MODEL}/latest/health",
        f"/models/{MODEL}/latest/model/",
    ],
)
async def test_an_unknown_model_label_or_thing_is_404_before_any_token_is_asked_for(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient, path: str
) -> None:
    await data_plane.converge(replace(restricted(stand_in), routes={f"{MODEL}/latest": VERSION}))
    response = await client.post(path, json={})
    assert response.status_code == 404
    assert errors(response)


async def test_a_stopped_model_is_503_after_the_token(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(replace(restricted(stand_in), routes={f"{MODEL}/latest": STOPPED}, backends={}))
    assert (await client.post(LATEST, json={})).status_code == 401
    response = await client.post(LATEST, json={}, headers=basic(TOKEN, TOKEN))
    assert response.status_code == 503
    assert errors(response) == ["This model is stopped."]
    assert response.headers["Retry-After"] == "1"


async def test_a_version_without_a_ready_instance_is_503(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    closed = [replace(each, is_open=False) for each in stand_in.servers]
    await data_plane.converge(open_table(*closed))
    response = await client.post(LATEST, json={})
    assert response.status_code == 503
    assert errors(response) == ["No instance of this model is ready."]
    assert response.headers["Retry-After"] == "1"


async def test_a_call_past_its_time_is_504(data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient) -> None:
    await data_plane.converge(open_table(*stand_in.servers, timeout_s=0.2))
    response = await client.post(LATEST, json={}, headers={"X-Test-Delay": "10"})
    assert response.status_code == 504
    assert errors(response) == ["The call took longer than the request timeout."]


async def test_a_call_that_finds_no_free_worker_in_time_is_503(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(open_table(stand_in.servers[0], timeout_s=0.3))
    running = asyncio.create_task(client.post(LATEST, json={}, headers=DELAY))
    await wait_until_async(lambda: is_busy(data_plane, open_table(stand_in.servers[0], timeout_s=0.3)))
    response = await client.post(LATEST, json={})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert errors(response)
    assert (await running).status_code == 200


async def test_a_call_that_waited_is_told_the_same_deadline_and_not_a_new_one(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(stand_in.servers[0], timeout_s=3.0)
    await data_plane.converge(table)
    running = asyncio.create_task(client.post(LATEST, json={}, headers=DELAY))
    await wait_until_async(lambda: is_busy(data_plane, table))
    began = time.time()
    waited = await client.post(LATEST, json={})
    assert time.time() - began > 0.3
    assert int(waited.json()["headers"]["x-modelway-deadline-ms"]) == pytest.approx((began + 3.0) * 1000, abs=200)
    await running


async def is_busy(data_plane: HAProxy, table: RoutingTable, waiting: int = 0) -> bool:
    workers = (await data_plane.converge(table)).workers
    return any(each.in_flight and each.waiting.get(VERSION, 0) >= waiting for each in workers)


async def test_more_waiting_calls_than_allowed_are_503_at_once(
    place: Place, haproxy: HAProxyProcess, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    place.max_waiting = 1
    data_plane, table = place.data_plane(), open_table(stand_in.servers[0])
    await data_plane.converge(table)
    running = [asyncio.create_task(client.post(LATEST, json={}, headers=DELAY)) for _ in range(2)]
    await wait_until_async(lambda: is_busy(data_plane, table, waiting=1))
    response = await client.post(LATEST, json={})
    assert response.status_code == 503
    assert errors(response) == ["Too many calls wait for this model."]
    assert response.headers["Retry-After"] == "1"
    assert [each.status_code for each in await asyncio.gather(*running)] == [200, 200]


async def test_a_call_that_a_busy_worker_refuses_is_answered_by_another(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(open_table(*stand_in.servers))
    busy = stand_in.servers[0]
    transport = httpx.AsyncHTTPTransport(uds=busy.address)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as direct:
        held = asyncio.create_task(direct.post("/model", headers={**DELAY, "X-Modelway-Server": busy.name}))
        responses = [await client.post(LATEST, json={}) for _ in range(6)]
        assert {each.json()["server"] for each in responses} == {stand_in.servers[1].name}
        assert (await held).status_code == 200


async def test_an_instance_that_answers_for_another_is_not_believed(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    reused = replace(stand_in.servers[0], name="gone.0")
    await data_plane.converge(open_table(reused))
    assert (await client.post(LATEST, json={})).status_code == 421


async def test_a_slow_body_does_not_hold_a_worker(
    data_plane: HAProxy, stand_in: StandIn, place: Place, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(open_table(stand_in.servers[0]))
    _, slow = await asyncio.open_connection("127.0.0.1", place.port)
    slow.write(f"POST {LATEST} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    await slow.drain()
    assert (await client.post(LATEST, json={})).status_code == 200
    slow.close()


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/version", f"/models/{MODEL}", "/v4/models"),
        *(f"/models/{MODEL}/versions/json?pageNumber=1&pageSize=10", f"/models/{MODEL}/versions/{VERSION}/json"),
        f"/v1/projects/ada/iris/files/{VERSION}//",  # as an existing client asks for the root folder
    ],
)
async def test_everything_else_is_led_to_the_api(
    data_plane: HAProxy, place: Place, client: httpx.AsyncClient, path: str
) -> None:
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", place.api_port):
        response = await client.get(path, headers={"Authorization": "Bearer key"})
    assert response.status_code == 204
    assert seen[0].startswith(f"get {path.lower()} ")
    assert "authorization: bearer key" in seen[0]
    assert f"x-request-id: {response.headers['X-Request-Id']}".lower() in seen[0]


async def test_an_api_that_ends_during_a_request_is_502_in_the_words_of_the_api(
    place: Place, client: httpx.AsyncClient, haproxy: HAProxyProcess
) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(end, "127.0.0.1", place.api_port):
        response = await client.post("/v1/models")
    assert response.status_code == 502
    assert response.json() == {"error": "The API ended during the request, which may have been carried out."}


async def test_an_api_that_is_away_is_503_in_the_words_of_the_api(
    client: httpx.AsyncClient, haproxy: HAProxyProcess
) -> None:
    response = await client.get("/version")
    assert response.status_code == 503
    assert response.json() == {"error": "The API is not reachable at the moment."}
    assert len(response.headers["X-Request-Id"]) == 16
