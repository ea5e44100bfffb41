"""Calls by people: collaborators call a model without a token, and nobody ever sees the one that is used for them."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from services.api.http import invoke, model_calls
from services.api.http.app import Deps, create_app
from services.api.http.connections import Runner
from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.commands import SetCollaborator
from services.core.events import CollaboratorKind, ModelRole
from services.core.ids import AggregateId
from tests.makers import PERSON
from tests.parts import free_port, wait_until
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import API_KEY
from tests.services.api.http.people import add_person
from tests.services.api.http.stand_in_router import StandInRouter
from tests.services.api.http.steps import forget_key_of


@pytest_asyncio.fixture
async def router(store: MongoStore) -> AsyncIterator[StandInRouter]:
    router = StandInRouter(store)
    await router.start()
    yield router
    await router.stop()


@pytest.fixture
def deps(deps: Deps, router: StandInRouter) -> Deps:
    return dataclasses.replace(deps, predictions_url=router.url)


@pytest.fixture
async def at(api: Client) -> str:
    """A private, restricted model."""
    return f"{V1}/modelApis/{(await api.model())['id']}"


@pytest.fixture
async def viewer(api: Client, ledger: MongoLedger, at: str) -> Client:
    return await collaborator(api, ledger, at, ModelRole.VIEWER)


async def collaborator(api: Client, ledger: MongoLedger, at: str, role: ModelRole) -> Client:
    client = await add_person(api, ledger)
    person_id = AggregateId((await client.ok("GET", f"{V1}/whoami"))["id"])
    command = SetCollaborator(collaborator_id=person_id, kind=CollaboratorKind.PERSON, name="grace", role=role)
    await ledger.execute(MODEL, at.split("/")[-1], command, actor=PERSON)
    return client


def secret_of(router: StandInRouter) -> str:
    return router.called[-1][2]["Authorization"].removeprefix("Bearer ")


async def test_a_viewer_calls_a_private_model_and_is_shown_no_token(
    viewer: Client, router: StandInRouter, at: str, store: MongoStore
) -> None:
    answer = await viewer("POST", f"{at}/invoke", {"data": {"x": 1}})
    assert (answer.status, answer.body) == (200, {"result": 10})
    [(path, body, headers)] = router.called
    assert (path, msgspec.json.decode(body)) == (f"/models/{at.split('/')[-1]}/latest/model", {"data": {"x": 1}})
    used = (await store.load(MODEL, at.split("/")[-1])).internal_token
    assert used is not None
    assert hashlib.sha256(secret_of(router).encode()).hexdigest() == used.token_hash
    assert "X-Domino-Api-Key" not in headers
    assert (answer.headers["X-Modelway-Request-Id"], len(answer.headers["X-Request-Id"])) == ("MODELSOWN1234567", 16)
    assert "Set-Cookie" not in answer.headers
    assert secret_of(router) not in str(answer.headers) + answer.raw.decode()


async def test_the_token_is_made_once_also_by_calls_at_the_same_time(
    viewer: Client, router: StandInRouter, at: str, store: MongoStore
) -> None:
    answers = await asyncio.gather(*(viewer("POST", f"{at}/invoke", {"parameters": [n]}) for n in range(4)))
    assert {answer.status for answer in answers} == {200}
    assert len({headers["Authorization"] for _, _, headers in router.called}) == 1
    tokens = (await store.load(MODEL, at.split("/")[-1])).tokens
    assert sum(token.is_internal for token in tokens) == 1


async def test_the_platforms_own_token_is_in_no_listing_log_event_or_error(
    api: Client, viewer: Client, router: StandInRouter, at: str, store: MongoStore, capsys: pytest.CaptureFixture[str]
) -> None:
    await viewer.ok("POST", f"{at}/invoke", {})
    secret, model_id = secret_of(router), at.split("/")[-1]
    token = (await store.load(MODEL, model_id)).internal_token
    assert token is not None
    listings = [
        await api("GET", at),
        await api("GET", f"{V1}/modelApis"),
        await api("GET", f"{at}/accessTokens"),
        await api("GET", f"{V1}/audit/as-of", params={"time": "9999999999999", "modelId": model_id}),
    ]
    audit = await api("GET", f"{V1}/audit")
    refusals = [
        await api("GET", f"{at}/accessTokens/{token.id}/secret"),
        await api("POST", f"{at}/accessTokens/{token.id}/regenerate"),
        await api("DELETE", f"{at}/accessTokens/{token.id}"),
    ]
    assert [answer.status for answer in listings] == [200] * 4
    assert [answer.status for answer in refusals] == [404] * 3
    assert not [answer for answer in listings if token.id in answer.raw.decode()]
    written = capsys.readouterr()
    everywhere = [each.raw.decode() + str(each.headers) for each in (*listings, audit, *refusals)]
    everywhere += [
        written.out,
        written.err,
        msgspec.json.encode(await store.entries(EntryQuery(), limit=1000)).decode(),
    ]
    assert not [place for place in everywhere if secret in place]
    assert token.token_hash not in "".join(everywhere[:-1])
    assert secret.encode() not in await store.secret(token.id)
    [made] = [item for item in audit.body["items"] if item["details"].get("is_internal")]
    assert (made["what"], made["actor"]["kind"]) == ("token.created", "service")


async def test_people_may_call_their_token_as_the_platforms_own_is_called(
    api: Client, router: StandInRouter, at: str
) -> None:
    await api.ok("POST", f"{at}/accessTokens", {"name": "internal"})
    assert (await api("POST", f"{at}/invoke", {})).status == 200
    assert [token["name"] for token in await api.ok("GET", f"{at}/accessTokens")] == ["default", "internal"]


async def test_an_open_model_is_called_without_a_token(
    api: Client, router: StandInRouter, at: str, store: MongoStore
) -> None:
    await api.ok("PUT", f"{at}/restriction", {"isRestricted": False})
    await api.ok("POST", f"{at}/invoke", {})
    assert "Authorization" not in router.called[0][2]
    assert (await store.load(MODEL, at.split("/")[-1])).internal_token is None


async def test_a_router_that_has_not_heard_of_the_token_is_asked_again(
    api: Client, router: StandInRouter, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    router.deaf = 2
    assert (await api("POST", f"{at}/invoke", {})).status == 200
    assert (router.refused, len(router.called)) == (2, 1)
    router.deaf = 10**6
    monkeypatch.setattr(invoke, "_HEARD_WITHIN_S", 0.2)
    answer = await api("POST", f"{at}/invoke", {})
    assert (answer.status, "has not heard yet" in answer.fault) == (503, True)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503, 504])
async def test_what_the_model_answers_is_the_answer(api: Client, router: StandInRouter, at: str, status: int) -> None:
    async def answers(request: web.Request) -> web.Response:
        return web.Response(status=status, body=b"<b>no</b>", content_type="text/html", headers={"Retry-After": "7"})

    router.answers = answers
    answer = await api("POST", f"{at}/invoke", {})
    assert (answer.status, answer.raw, answer.headers["Retry-After"]) == (status, b"<b>no</b>", "7")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Content-Security-Policy"]) == (
        "nosniff",
        "sandbox",
    )


async def test_bodies_are_bounded_on_both_ways(api: Client, router: StandInRouter, at: str) -> None:
    assert (await api("POST", f"{at}/invoke", data=io.BytesIO(b" " * (4 * 1024 * 1024 + 1)))).status == 413
    assert router.called == []

    async def answers(request: web.Request) -> web.Response:
        return web.Response(body=b" " * (16 * 1024 * 1024 + 1))

    router.answers = answers
    answer = await api("POST", f"{at}/invoke", data=io.BytesIO(b" " * (4 * 1024 * 1024)))
    assert (answer.status, "more than 16777216 bytes" in answer.fault) == (502, True)


async def test_a_call_that_breaks_is_502_and_is_not_made_again(api: Client, router: StandInRouter, at: str) -> None:
    async def answers(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    router.answers = answers
    answer = await api("POST", f"{at}/invoke", {})
    assert (answer.status, answer.fault) == (502, "the connection to the model broke before it had answered")
    assert len(router.called) == 1


async def test_a_router_that_is_away_is_503_and_one_that_hangs_504(
    api: Client, deps: Deps, router: StandInRouter, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.ok("PUT", f"{at}/settings", {"requestTimeoutSeconds": 0.5})
    monkeypatch.setattr(model_calls, "BEYOND_REQUEST_TIMEOUT_S", 0.1)
    router.answers = router.never
    hung = await api("POST", f"{at}/invoke", {})
    assert (hung.status, hung.fault) == (504, "the model did not answer in time")
    await wait_until(lambda: router.left == 1, what="the call has ended")
    monkeypatch.setattr(deps.model_calls, "_url", f"http://127.0.0.1:{free_port()}")
    away = await api("POST", f"{at}/invoke", {})
    assert (away.status, away.fault) == (503, "no router takes calls at the moment; try again soon")
    assert away.headers["Retry-After"]


class _Served(TestServer):
    """As the api's own process serves it: a handler is not cancelled when its caller goes away."""

    async def _make_runner(self, **_: Any) -> Runner:
        return Runner(self.app, shutdown_s=0.1)


async def test_a_caller_who_goes_away_ends_the_call(api: Client, deps: Deps, router: StandInRouter, at: str) -> None:
    router.answers = router.never
    server = _Served(create_app(deps))
    await server.start_server()
    async with ClientSession(server.make_url("/")) as session:
        call = asyncio.create_task(Client(session, API_KEY)("POST", f"{at}/invoke", {}))
        await wait_until(lambda: len(router.called) == 1, what="the model is called")
        call.cancel()
        await wait_until(lambda: router.left == 1, what="the call has ended")
    await server.close()


async def test_more_calls_than_there_is_room_for_are_refused(
    api: Client, deps: Deps, router: StandInRouter, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deps.model_calls, "_room", asyncio.Semaphore(1))
    router.answers = router.never
    call = asyncio.create_task(api("POST", f"{at}/invoke", {}))
    await wait_until(lambda: len(router.called) == 1, what="the model is called")
    answer = await api("POST", f"{at}/invoke", {})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    call.cancel()
    await wait_until(lambda: router.left == 1, what="the call has ended")


async def test_a_label_that_is_not_there_is_404_and_an_archived_model_422(
    api: Client, router: StandInRouter, at: str
) -> None:
    unknown = await api("POST", f"{at}/invoke", {}, params={"label": "prod"})
    assert (unknown.status, unknown.fault) == (404, "model 'iris' has no label 'prod', only latest")
    await api.ok("PUT", f"{at}/settings", {"routingMode": "advanced"})
    await api.ok("POST", f"{at}/invoke", {}, params={"label": "prod"})
    assert router.called[0][0].endswith("/labels/prod/model")
    await api.ok("DELETE", at)
    archived = await api("POST", f"{at}/invoke", {})
    assert (archived.status, archived.fault) == (422, "model 'iris' is archived: restore it first")


async def test_who_is_no_collaborator_calls_nothing(
    api: Client, ledger: MongoLedger, router: StandInRouter, at: str
) -> None:
    stranger = await add_person(api, ledger, "mallory")
    assert (await stranger("POST", f"{at}/invoke", {})).status == 404
    await api.ok("PUT", f"{at}/visibility", {"isPublic": True})
    refused = await stranger("POST", f"{at}/invoke", {})
    assert (refused.status, refused.fault) == (403, "mallory may not invoke: that takes a collaborator of the model")
    assert (await api.as_holder_of(None)("POST", f"{at}/invoke", {})).status == 401
    assert router.called == []


async def test_the_platforms_token_is_made_anew_when_the_key_that_it_is_sealed_with_is_gone(
    viewer: Client, router: StandInRouter, at: str, store: MongoStore
) -> None:
    assert (await viewer("POST", f"{at}/invoke", {"data": {}})).status == 200
    before = secret_of(router)
    internal = (await store.load(MODEL, at.split("/")[-1])).internal_token
    assert internal is not None
    await forget_key_of(store, internal.id)
    assert (await viewer("POST", f"{at}/invoke", {"data": {}})).status == 200
    assert secret_of(router) != before


async def test_a_viewer_reads_a_private_models_document_and_is_shown_no_token(
    api: Client, viewer: Client, router: StandInRouter, at: str
) -> None:
    answer = await viewer("GET", f"{at}/openapi.json")
    assert (answer.status, answer.body) == (200, {"result": 10})
    [(path, body, headers)] = router.called
    assert (path, body) == (f"/models/{at.split('/')[-1]}/latest/openapi.json", b"")
    assert "X-Domino-Api-Key" not in headers
    assert secret_of(router) not in str(answer.headers) + answer.raw.decode()
    await api.ok("PUT", f"{at}/settings", {"routingMode": "advanced"})
    await viewer.ok("GET", f"{at}/openapi.json", params={"label": "prod"})
    assert router.called[1][0].endswith("/labels/prod/openapi.json")


async def test_the_document_is_hidden_from_who_may_not_call(
    api: Client, ledger: MongoLedger, router: StandInRouter, at: str
) -> None:
    stranger = await add_person(api, ledger, "mallory")
    assert (await stranger("GET", f"{at}/openapi.json")).status == 404
    await api.ok("PUT", f"{at}/visibility", {"isPublic": True})
    assert (await stranger("GET", f"{at}/openapi.json")).status == 403
    assert (await api("GET", f"{at}/openapi.json", params={"label": "prod"})).status == 404
    assert router.called == []


async def test_a_model_that_says_nothing_of_itself_is_told_as_it_says_it(
    api: Client, router: StandInRouter, at: str
) -> None:
    async def answers(request: web.Request) -> web.Response:
        return web.json_response({"errors": ["there is nothing here"]}, status=404)

    router.answers = answers
    answer = await api("GET", f"{at}/openapi.json")
    assert (answer.status, answer.body) == (404, {"errors": ["there is nothing here"]})
