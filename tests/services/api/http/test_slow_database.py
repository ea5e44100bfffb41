"""A database that is slow or hangs: every request is answered in time, none queues without a bound, and it passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count

import pytest_asyncio
from aiohttp import ClientSession, TCPConnector

from services.api import patience
from services.api.http.callers import REMEMBERED_S
from services.api.ledger import DEADLINE_S
from services.api.store.database import CALL_DEADLINE_S, connect, prepare
from services.api.store.store import MongoStore
from services.api.store.waiting import MOST_WAITING
from tests.bad_days import Link
from tests.parts import Database, wait_until, wait_until_async
from tests.services.api.http.client import V1, Answer, Client, model_body
from tests.services.api.http.conftest import API_KEY

_MARGIN_S = 2.0  # of a busy machine
_names = count(1)


@pytest_asyncio.fixture
async def link(database: Database) -> AsyncIterator[Link]:
    async with Link(database.port).opened() as opened:
        yield opened


@pytest_asyncio.fixture
async def store(link: Link) -> AsyncIterator[MongoStore]:
    """Behind the link; what else is asked for here stands on it."""
    client = connect(f"mongodb://127.0.0.1:{link.port}/?directConnection=true")
    named = client[f"slow_{next(_names)}"]
    await prepare(named)
    yield MongoStore(client, named)
    link.flow()
    await asyncio.to_thread(client.close)


async def timed(api: Client, method: str, path: str, body: object = None) -> tuple[Answer, float]:
    began = time.monotonic()
    answer = await api(method, path, body)
    return answer, time.monotonic() - began


def assert_come_again(answer: Answer) -> None:
    assert answer.status == 503, (answer.status, answer.raw)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "database" in answer.fault


async def test_every_request_is_answered_503_in_time_while_the_database_hangs(api: Client, link: Link) -> None:
    model = await api.model()
    at = f"{V1}/modelApis/{model['id']}"
    requests = [
        ("GET", f"{V1}/modelApis", None),
        ("GET", at, None),
        ("GET", f"{at}/versions", None),
        ("GET", f"{V1}/audit", None),
        ("GET", f"{at}/versions/{model['activeVersion']['id']}/buildLogs", None),
        ("GET", "/v4/gateway/projects", None),
        ("POST", "/v4/projects", {"name": "other"}),
        ("POST", f"{V1}/modelApis", model_body(model["project"]["id"] if "project" in model else "x", name="other")),
        ("PUT", f"{at}/versions/{model['activeVersion']['id']}/targetState", {"isRunning": False}),
    ]
    link.hang()
    answers = await asyncio.gather(*(timed(api, *each) for each in requests))
    for request, (answer, seconds) in zip(requests, answers, strict=True):
        assert_come_again(answer)
        assert seconds < CALL_DEADLINE_S + _MARGIN_S, request
    ready, seconds = await timed(api, "GET", "/readyz")
    assert ready.status == 503
    assert seconds < CALL_DEADLINE_S + _MARGIN_S
    link.flow()
    await api.ok("GET", at)
    await api.project("third")


async def test_a_change_that_hangs_in_the_middle_of_its_transaction_is_answered_in_time(
    api: Client, link: Link
) -> None:
    await api.project("before")
    link.delay_s, before = 0.3, link.answers  # so that the transaction is under way when it hangs
    changing = asyncio.create_task(timed(api, "POST", "/v4/projects", {"name": "torn"}))
    await wait_until(lambda: link.answers >= before + 3)
    link.hang()
    answer, seconds = await changing
    assert_come_again(answer)
    assert seconds < DEADLINE_S + _MARGIN_S
    link.flow()

    async def is_there() -> bool:
        again = await api("POST", "/v4/projects", {"name": "torn"})
        return again.status in {201, 422}  # 422: it was stored after all

    await wait_until_async(is_there, 15, what="the same change goes through")
    names = [project["name"] for project in await api.ok("GET", "/v4/gateway/projects")]
    assert sorted(names) == ["before", "torn"]


async def test_a_request_of_many_calls_ends_in_time_when_each_of_them_is_slow(api: Client, link: Link) -> None:
    project = await api.project_with_code()
    link.delay_s = 1.2
    answer, seconds = await timed(api, "POST", f"{V1}/modelApis", model_body(project))
    assert_come_again(answer)
    assert seconds < patience.REQUEST_S + _MARGIN_S


async def test_no_more_than_a_bounded_number_waits_and_the_others_are_told_at_once(api: Client, link: Link) -> None:
    await api.project("iris")
    link.hang()
    many = MOST_WAITING * 2
    async with ClientSession(api.session._base_url, connector=TCPConnector(limit=0)) as session:
        crowd = Client(session, API_KEY)
        answers = await asyncio.gather(*(timed(crowd, "GET", "/v4/projects") for _ in range(many)))
    for answer, _ in answers:
        assert_come_again(answer)
    at_once = [seconds for _, seconds in answers if seconds < CALL_DEADLINE_S / 2]
    assert len(at_once) >= many - MOST_WAITING
    assert max(seconds for _, seconds in answers) < CALL_DEADLINE_S + _MARGIN_S
    assert link.connections <= 25  # the driver's own bound, and its monitors
    link.flow()
    began = time.monotonic()
    await wait_until_async(lambda: answers_well(api), 10, what="requests are answered again")
    assert time.monotonic() - began < REMEMBERED_S + _MARGIN_S


async def answers_well(api: Client) -> bool:
    return (await api("GET", f"{V1}/modelApis")).status == 200
