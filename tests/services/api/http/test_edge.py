"""The edge: who gets in, a request id on every answer, and every fault in the shape that its status has."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
import signal
from typing import Any

import pytest
import structlog

from services.api.http.app import Deps, routes
from services.api.http.body import JSON_BYTES
from services.api.http.faults import REQUEST_ID_HEADER
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import PERSON
from services.core.commands import AddApiKey, AddPerson, RevokeApiKey
from services.core.configuration import WORKERS
from services.core.errors import Unavailable
from tests.makers import PERSON as ACTOR
from tests.parts import Database
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import ADMINISTRATOR, API_KEY

OPEN = {  # what they answer to a stranger who sends nothing
    ("GET", "/version"): 200,
    ("GET", "/livez"): 200,
    ("GET", "/readyz"): 200,
    ("GET", f"{V1}/openapi.json"): 200,
    ("GET", f"{V1}/docs"): 200,
    ("GET", f"{V1}/session/methods"): 200,
    ("POST", f"{V1}/session"): 400,
    ("GET", f"{V1}/session/openIdConnect"): 404,  # there is no provider here
    ("GET", f"{V1}/session/openIdConnect/callback"): 404,
}


async def test_a_key_is_taken_from_either_header(api: Client) -> None:
    stranger = api.as_holder_of(None)
    for headers in (
        {"X-Domino-Api-Key": API_KEY},
        {"Authorization": f"Bearer {API_KEY}"},
        {"Authorization": f"bearer  {API_KEY}"},
    ):
        whoami = await stranger.ok("GET", f"{V1}/whoami", headers=headers)
        assert (whoami["userName"], whoami["isAdmin"]) == (ADMINISTRATOR, True)


async def test_every_route_but_the_open_ones_asks_for_a_key(api: Client, deps: Deps) -> None:
    stranger = api.as_holder_of(None)
    for route in routes(deps):
        answer = await stranger(route.method, re.sub(r"\{\w+[^}]*\}", "a" * 24, route.path))
        assert answer.status == OPEN.get((route.method, route.path), 401), route
        assert answer.status != 401 or answer.headers["WWW-Authenticate"] == "Bearer"


def pair(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Domino-Api-Key": "wrong"},
        {"X-Domino-Api-Key": "", "Authorization": "Bearer"},
        {"Authorization": f"Basic {API_KEY}"},
        {"Authorization": f"Basic {pair(API_KEY, 'another password')}"},
        {"Authorization": f"Basic {pair('', '')}"},
        {"X-Domino-Api-Key": hashlib.sha256(API_KEY.encode()).hexdigest()},
        {"X-Domino-Api-Key": "\udcff\udcfe"},
    ],
)
async def test_whatever_is_wrong_with_a_key_the_sentence_is_the_same(api: Client, headers: dict[str, str]) -> None:
    answer = await api.as_holder_of(None)("GET", f"{V1}/whoami", headers=headers)
    assert answer.status == 401
    assert answer.fault == (
        "no valid API key came with this request: send one as X-Domino-Api-Key, or as Authorization: Bearer"
    )


async def test_scripts_may_send_the_key_as_user_name_and_password(api: Client) -> None:
    headers = {"Authorization": f"Basic {pair(API_KEY, API_KEY)}"}
    assert (await api.as_holder_of(None)("GET", f"{V1}/whoami", headers=headers)).status == 200


async def test_who_is_no_administrator_does_not_change_the_platform(api: Client, ledger: MongoLedger) -> None:
    reader = await _person_with_key(ledger, "bob", "the-key-of-bob")
    bob = api.as_holder_of("the-key-of-bob")
    assert (await bob.ok("GET", f"{V1}/whoami"))["id"] == reader
    answer = await bob("PUT", f"{V1}/centralConfig/{WORKERS}", {"value": 3})
    assert answer.status == 403
    assert answer.fault == "bob may not change platform: that takes an administrator"


async def test_a_revoked_key_opens_nothing_once_it_is_forgotten(
    api: Client, ledger: MongoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.http.callers.REMEMBERED_S", -1.0)
    person = await _person_with_key(ledger, "bob", "the-key-of-bob")
    bob = api.as_holder_of("the-key-of-bob")
    assert (await bob("GET", f"{V1}/whoami")).status == 200
    await ledger.execute(PERSON, person, RevokeApiKey(key_id="1" * 24), actor=ACTOR)
    assert (await bob("GET", f"{V1}/whoami")).status == 401


async def _person_with_key(ledger: MongoLedger, user_name: str, key: str) -> str:
    person = "b" * 24
    await ledger.execute(PERSON, person, AddPerson(user_name=user_name), actor=ACTOR)
    command = AddApiKey(key_id="1" * 24, name="test", key_hash=hashlib.sha256(key.encode()).hexdigest())
    await ledger.execute(PERSON, person, command, actor=ACTOR)
    return person


async def test_every_answer_has_a_request_id_the_routers_where_it_gave_one(api: Client) -> None:
    stranger = api.as_holder_of(None)
    for path in ("/version", "/nowhere", f"{V1}/whoami"):
        made = (await stranger("GET", path)).headers[REQUEST_ID_HEADER]
        assert re.fullmatch("[A-Z0-9]{16}", made)
        given = await stranger("GET", path, headers={REQUEST_ID_HEADER: "ABCDEFGH01234567"})
        assert given.headers[REQUEST_ID_HEADER] == "ABCDEFGH01234567"
        other = await stranger("GET", path, headers={REQUEST_ID_HEADER: "<script>"})
        assert re.fullmatch("[A-Z0-9]{16}", other.headers[REQUEST_ID_HEADER])


async def test_an_unknown_address_is_404_and_a_wrong_method_405(api: Client) -> None:
    answer = await api("GET", "/nowhere")
    assert (answer.status, answer.body) == (404, {"error": "there is nothing at this address"})
    answer = await api("PATCH", f"{V1}/modelApis")
    assert answer.status == 405
    assert answer.body == {"error": "PATCH is not allowed here, only GET, HEAD, POST"}
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_what_goes_wrong_inside_is_logged_once_and_not_told(
    api: Client, store: MongoStore, monkeypatch: pytest.MonkeyPatch, logged: list[structlog.typing.EventDict]
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr(store, "list_all", fail)
    answer = await api("GET", "/v1/environments")
    assert answer.status == 500
    assert answer.body == {"error": f"internal error; request id {answer.headers[REQUEST_ID_HEADER]}"}
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["request_failed"]


async def test_a_database_that_is_away_is_503_with_the_time_to_wait(
    api: Client, store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the database does not answer; try again soon", retry_after_s=1.2)

    monkeypatch.setattr(store, "list_all", away)
    answer = await api("GET", "/v1/environments")
    assert (answer.status, answer.fault) == (503, "the database does not answer; try again soon")
    assert answer.headers["Retry-After"] == "2"


async def test_while_the_database_is_silent_everything_answers_in_time(api: Client, database: Database) -> None:
    await api.project()
    database.signal(signal.SIGSTOP)
    try:
        answers = await asyncio.gather(
            api("GET", "/livez"), api("GET", "/readyz"), api("GET", "/v1/environments"), api("GET", "/version")
        )
    finally:
        database.signal(signal.SIGCONT)
    assert [answer.status for answer in answers] == [200, 503, 503, 200]
    assert answers[2].headers["Retry-After"]
    assert (await api("GET", "/readyz")).status == 200


HOSTILE = [
    b"",
    b" ",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"name": "\\ud800"}',
    b'{"name": "\\udc00"}',
    b'{"name": "a\\u0000b"}',
    b'{"name": 1e400}',
    b'{"replicas": NaN}',
    b'{"x": ' + b"[" * 100_000,
    b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"name": {"$gt": ""}}',
    b'{"name": "' + b"x" * 100_000 + b'"}',
    b'{"name": " x", "version": {"source": []}}',
    b'{"name": " x", "description": "\\udc00"}',
    b'{"files": [{}]}',
    b'{"files": {"path": "x"}}',
]


# Routes that have no body to read, or of whose body all may be left out, and what they answer then.
LENIENT = {
    **{"/versions": 201, "/cancelBuild": 202, "/restore": 200, "/settings": 200},
    **{"/startModelDeployment": 200, "/stopModelDeployment": 200, "/{path:.+}": 201, "/{project}": 200},
    **{"/archive": 200, "/tags": 200},
    "/invoke": 503,  # no router is here to pass the body on to
}


async def test_no_body_however_strange_is_an_internal_error(api: Client, deps: Deps) -> None:
    model = await api.model()
    known = {"model": model["id"], "version": model["activeVersion"]["id"], "project": model["projectId"]}
    known |= {"environment": model["environmentId"], "token": "f" * 24, "sha256": "f" * 64}
    known |= {"quota": "f" * 24, "label": "latest", "key": WORKERS, "person": "f" * 24, "organisation": "f" * 24}
    known |= {"owner": ADMINISTRATOR, "projectName": "iris", "path": "notes.txt"}
    for route in routes(deps):
        if route.method not in ("POST", "PUT"):
            continue
        path = re.sub(r"\{(\w+)[^}]*\}", lambda found: known[found[1]], route.path)
        for raw in HOSTILE:
            answer = await api(route.method, path, data=raw)
            done = LENIENT.get("/" + route.path.rpartition("/")[2]) == answer.status
            assert done or answer.status in (400, 404, 413, 422), (route, raw[:40], answer.status, answer.raw)
            assert done or answer.fault


@pytest.mark.parametrize("kind", ["declared", "streamed"])
async def test_a_body_beyond_its_limit_is_413(api: Client, kind: str) -> None:
    async def stream() -> Any:
        for _ in range(JSON_BYTES // 65536 + 1):
            yield b" " * 65536

    declared = io.BytesIO(b" " * (JSON_BYTES + 1))
    answer = await api("POST", "/v4/projects", data=declared if kind == "declared" else stream())
    assert (answer.status, answer.fault) == (413, f"the body may have at most {JSON_BYTES} bytes")


async def test_history_names_the_person_and_where_they_called_from(api: Client) -> None:
    await api.ok("POST", "/v4/projects", {"name": "a"}, headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
    await api.ok("POST", "/v4/projects", {"name": "b"}, headers={"X-Forwarded-For": "not an address"})
    items = (await api.ok("GET", f"{V1}/audit", params={"limit": "2"}))["items"]
    actors = [(item["actor"]["name"], item["actor"]["address"]) for item in items]
    assert actors == [(ADMINISTRATOR, "127.0.0.1"), (ADMINISTRATOR, "198.51.100.7")]
