"""Whatever is sent: an answer in time, never an internal error, and every refusal in JSON with a sentence."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
import structlog
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from services.api.bootstrap import bootstrap
from services.api.http import body, connections
from services.api.http.app import Deps, create_app, routes
from services.api.http.connections import Runner
from services.api.http.routes import Route
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.configuration import WORKERS
from services.kit.config import Secret
from tests.services.api.http.client import V1, Answer, Client, file, model_body
from tests.services.api.http.conftest import ADMINISTRATOR, API_KEY

IN_TIME_S = 10.0

FLAT = {
    **{"projectId": "0" * 24, "file": "predict.py", "function": "predict", "excludeFiles": ["*.csv"]},
    **{"environmentId": "", "commitId": "0" * 24, "description": "d"},
}
BODIES: dict[str, Any] = {
    "/v4/projects": {"name": "p", "description": "", "visibility": "Private", "ownerId": "", "tags": []},
    "/missingBlobs": {"files": [file("a.py", b"")]},
    "/snapshots": {"files": [file("a.py", b""), file("b/c.py", b"x")], "message": "m"},
    "/environments": {"name": "e", "requirements": "flask\n", "visibility": "Private"},
    "/revisions": {"requirements": "flask\n"},
    "/modelApis": {
        **model_body("0" * 24, replicas=1, memoryBytes=1 << 30, isRestricted=True),
        "environmentVariables": [{"key": "A", "value": "b"}],
        "healthCheck": {"periodSeconds": 1},
    },
    "/modelApis/{model}": {"name": "n", "description": "", "environmentId": "", "replicas": 1},
    "/v1/models": {**FLAT, "name": "n"},
    "/v1/models/{model}/versions": FLAT,
    "/versions": {**model_body("0" * 24)["version"], "commitId": "0" * 24, "shouldDeploy": False},
    "/targetState": {"isRunning": True},
    "/productionLabel": {"isProd": True},
    "/rollback": {"label": "latest"},
    "/canaries/{label}": {"versionId": "0" * 24, "share": 10},
    "/resourceQuotas": {"name": "q", "cpuLimit": 1.5, "memoryLimitBytes": 1 << 30, "memoryRequestedBytes": 1 << 20},
    "/resourceQuotas/{quota}": {"isVisible": False, "isDefault": False},
    "/centralConfig/{key}": {"value": 2},
    "/settings": {
        "routingMode": "advanced",
        "scaling": {"minReplicas": 1, "maxReplicas": 2, "targetCalls": 1.5},
        "workerCount": None,
        "healthCheck": {"failureThreshold": 20},
        "environmentVariables": [{"key": "A", "value": "b"}],
        "volumes": [{"name": "v", "mountPath": "/mnt/v", "hostPath": "/srv/v", "readOnly": True}],
    },
    "/accessTokens": {"name": "t"},
    "/visibility": {"isPublic": True},
    "/restriction": {"isRestricted": False},
    "/owner": {"owner": ADMINISTRATOR},
    "/collaborators": {"collaborator": ADMINISTRATOR, "role": "Contributor"},
    "/projects/{project}": {"description": "d", "visibility": "Searchable"},
}
PARAMETERS = (
    *("name", "projectId", "environmentId", "orderBy", "limit", "offset", "modelId", "ownerName", "projectName"),
    "isArchived",
    *("sinceTimeNano", "tail", "maxResults", "podName", "x"),
    *("pageNumber", "pageSize"),
)

texts = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "$where",
        "a.b",
        "$gt",
        "..",
        "%",
        "\x00",
        "\ud800",
        "'",
        "0" * 24,
        "f" * 24,
        "-1",
        "9" * 30,
        "NaN",
        "1e9",
        "*",
    ]
)
# Numbers at the borders of 32, 64 and more bits, and of what a float can hold.
numbers = st.sampled_from([0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, 5e-324, -0.0])
leaves = st.none() | st.booleans() | numbers | st.integers() | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@pytest_asyncio.fixture
async def served(deps: Deps, store: MongoStore, ledger: MongoLedger) -> AsyncIterator[tuple[Client, TestServer]]:
    """The api as its process serves it, connections included, and the administrator's client."""
    await bootstrap(ledger, store, user_name=ADMINISTRATOR, api_key=Secret(API_KEY))
    server = _Served(create_app(deps))
    await server.start_server()
    async with ClientSession(server.make_url("/")) as session:
        yield Client(session, API_KEY), server
    await server.close()


class _Served(TestServer):
    async def _make_runner(self, **_: Any) -> Runner:
        return Runner(self.app, shutdown_s=0.1)


@pytest.mark.timeout(240)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
async def test_no_request_to_any_route_is_an_internal_error(
    served: tuple[Client, TestServer], deps: Deps, data: st.DataObject
) -> None:
    api, _ = served
    known = await _known(api)
    every = routes(deps)
    with_body = [route for route in every if route.method in ("POST", "PUT")]
    route = data.draw(st.sampled_from(with_body) | st.sampled_from(every))

    def filled(found: re.Match[str]) -> str:
        return _quoted(data.draw(_ids(known.get(found[1], "f" * 24)), found[1]))

    path = re.sub(r"\{(\w+)[^}]*\}", filled, route.path)
    query = data.draw(st.dictionaries(st.sampled_from(PARAMETERS), texts, max_size=3))
    asked = "&".join(f"{name}={_quoted(value)}" for name, value in query.items())
    sent = data.draw(_bodies(route)) if route.method in ("POST", "PUT") else None
    headers = data.draw(_headers())
    url = URL(f"{path}?{asked}", encoded=True)
    answer = await _in_time(api, route.method, url, sent, headers)
    # What answers there is a router, and there is none.
    is_called = route.path.endswith(("/invoke", "{model}/openapi.json"))
    assert answer.status < 500 or (is_called and answer.status == 503), (route, url, sent, headers, answer.raw)
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/json", (route, url, headers, answer.raw)
        assert answer.fault.strip(), (route, url)


async def _in_time(api: Client, method: str, url: Any, sent: bytes | None, headers: dict[str, str]) -> Answer:
    async with asyncio.timeout(IN_TIME_S):
        return await api(method, url, data=sent, headers=headers)


_made: dict[int, dict[str, str]] = {}


async def _known(api: Client) -> dict[str, str]:
    """Ids of things that exist, made once a server."""
    if id(api) not in _made:
        model = await api.model()
        _made[id(api)] = {
            "model": model["id"],
            "version": model["activeVersion"]["id"],
            "project": model["projectId"],
            "environment": model["environmentId"],
            "token": model["access"]["accessTokens"][0]["id"],
            "sha256": "f" * 64,
            "owner": ADMINISTRATOR,
            "quota": (await api.ok("POST", f"{V1}/resourceQuotas", BODIES["/resourceQuotas"]))["id"],
            "label": "latest",
            "key": WORKERS,
            "projectName": "iris",
            "commit": (await api.ok("GET", f"/v1/projects/{ADMINISTRATOR}/iris/commits"))[0],
            "path": "predict.py",
        }
    return _made[id(api)]


def _ids(known: str) -> st.SearchStrategy[str]:
    return st.just(known) | st.just(known) | texts.filter(bool)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="").replace(".", "%2E")


def _bodies(route: Route) -> st.SearchStrategy[bytes]:
    known = next((made for end, made in BODIES.items() if route.path.endswith(end)), {"name": "x"})
    return _changed(known).map(_json) | values.map(_json) | st.binary(max_size=200)


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError, ValueError):
        import json

        return json.dumps(value).encode("utf-8", "replace")


@st.composite
def _changed(draw: st.DrawFn, value: Any) -> Any:
    """`value` with something in it replaced, dropped or added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: draw(_changed(value[key]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        return [*value[:-1], draw(_changed(value[-1]))] * draw(st.integers(1, 3))
    return draw(st.just(value) | values)


def _headers() -> st.SearchStrategy[dict[str, str]]:
    plain = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
    return st.fixed_dictionaries(
        {},
        optional={
            "Idempotency-Key": plain,
            "X-Request-Id": plain,
            "X-Forwarded-For": plain,
            "Content-Type": plain | st.just("multipart/form-data"),
            "Content-Encoding": st.sampled_from(["gzip", "deflate", "br", "zstd", "nonsense"]),
            "Accept": plain,
            "Authorization": plain,
        },
    )


async def test_an_unknown_expectation_is_left_aside(served: tuple[Client, TestServer]) -> None:
    api, _ = served
    answer = await api("GET", f"{V1}/whoami", headers={"Expect": "the-unexpected"})
    assert answer.status == 200
    created = await api("POST", "/v4/projects", {"name": "p"}, headers={"Expect": "100-continue"})
    assert created.status == 201


async def test_a_small_body_that_unpacks_to_a_huge_one_is_413(served: tuple[Client, TestServer]) -> None:
    api, _ = served
    packed = gzip.compress(b" " * (64 << 20))
    answer = await api("POST", "/v4/projects", data=packed, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.fault) == (413, f"the body may have at most {body.JSON_BYTES} bytes")


NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /version HTTP/1.1\r\nX-Domino-Api-Key: hush-hush\x00\r\n\r\n",
    b"GET /version HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v4/projects HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /version HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /version HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
]


@pytest.mark.parametrize("raw", NOT_HTTP, ids=lambda raw: repr(raw[:30]))
async def test_what_is_not_http_is_answered_400_in_json_and_not_quoted_in_the_log(
    served: tuple[Client, TestServer], raw: bytes, logged: list[structlog.typing.EventDict]
) -> None:
    _, server = served
    head, content = await _raw(server, raw)
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"content-type: application/json" in head.lower()
    assert msgspec.json.decode(content) == {"error": "the request is not HTTP as this server understands it"}
    assert "hush-hush" not in str(logged)
    assert not [line for line in logged if line["log_level"] == "error"]


async def _raw(server: TestServer, raw: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(raw)
        async with asyncio.timeout(IN_TIME_S):
            head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return head, content


@pytest.mark.parametrize("begun", [b"", b"GET /version HTTP/1.1\r\nA: "])
async def test_who_sends_no_whole_head_in_time_is_cut_off_however_busy_they_seem(
    served: tuple[Client, TestServer], monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    assert connections.IDLE_S == 60.0  # as the documentation says
    _, server = served
    assert server.runner is not None
    assert server.runner.server is not None
    monkeypatch.setitem(server.runner.server._kwargs, "keepalive_timeout", 0.5)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(begun)

    async def dribble() -> None:
        while begun:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    dribbling = asyncio.create_task(dribble())
    try:
        async with asyncio.timeout(IN_TIME_S):
            assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        dribbling.cancel()
        writer.close()


async def test_a_body_that_dribbles_is_refused_when_its_time_is_over(
    served: tuple[Client, TestServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (body._WHOLE_BODY_S, body._NEXT_CHUNK_S, body._SLOWEST_BYTES_S) == (60.0, 30.0, 4096)
    monkeypatch.setattr(body, "_WHOLE_BODY_S", 0.4)
    api, _ = served
    project = await api.project()

    async def dribble() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    for method, path in (("POST", "/v4/projects"), ("PUT", f"{V1}/projects/{project}/blobs/{'f' * 64}")):
        answer = await api(method, path, data=dribble())
        assert answer.status == 400, path
        assert "slowly" in answer.fault or "within" in answer.fault
