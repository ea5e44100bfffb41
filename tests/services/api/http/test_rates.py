"""What must hold of how often one may ask: the answer, whom it meets, and whom it leaves alone."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from services.api.bootstrap import bootstrap
from services.api.http.app import Deps, create_app
from services.api.http.rates import Rates
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.pace import Pace
from services.kit.config import Secret
from tests.services.api.http.client import Client
from tests.services.api.http.conftest import ADMINISTRATOR, API_KEY
from tests.services.api.http.people import add_person

WHOAMI = "/api/modelServing/v1/whoami"
SLOW = Pace(burst=5, every_s=60.0)


@pytest_asyncio.fixture
async def slow(deps: Deps, store: MongoStore, ledger: MongoLedger) -> AsyncIterator[Client]:
    """The administrator's client of an api where everybody may ask five times."""
    await bootstrap(ledger, store, user_name=ADMINISTRATOR, api_key=Secret(API_KEY))
    server = TestServer(create_app(dataclasses.replace(deps, rates=Rates(SLOW, strangers=SLOW))))
    await server.start_server()
    async with ClientSession(server.make_url("/")) as session:
        yield Client(session, API_KEY)
    await server.close()


async def test_a_key_that_is_used_too_often_waits_and_others_go_on(slow: Client, ledger: MongoLedger) -> None:
    grace, hopper = await add_person(slow, ledger, "grace"), await add_person(slow, ledger, "hopper")
    statuses = [(await grace("GET", WHOAMI)).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    refused = await grace("POST", "/v4/projects", {"name": "iris"})
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert refused.fault == "too many requests with this key: try again in 60 s"
    assert (await hopper("GET", WHOAMI)).status == 200


async def test_guessing_keys_is_refused_before_any_is_looked_up_and_known_ones_go_on(slow: Client) -> None:
    assert (await slow("GET", WHOAMI)).status == 200
    guesses = [await slow.as_holder_of(f"guess-{number}")("GET", WHOAMI) for number in range(6)]
    assert [each.status for each in guesses] == [401] * 5 + [429]
    assert guesses[-1].fault == "too many requests without a valid key, from this address: try again in 60 s"
    assert (await slow.as_holder_of(None)("GET", WHOAMI)).status == 429
    assert (await slow("GET", WHOAMI)).status == 200


async def test_a_right_key_that_was_never_seen_is_refused_while_its_address_guesses(
    slow: Client, ledger: MongoLedger
) -> None:
    grace = await add_person(slow, ledger)
    for number in range(5):
        await slow.as_holder_of(f"guess-{number}")("GET", WHOAMI)
    assert (await grace("GET", WHOAMI)).status == 429
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}
    assert (await grace("GET", WHOAMI, headers=elsewhere)).status == 200


async def test_health_is_never_counted(slow: Client) -> None:
    stranger = slow.as_holder_of(None)
    assert {(await stranger("GET", "/livez")).status for _ in range(20)} == {200}
