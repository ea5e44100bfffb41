"""The database is away, in either way: every route there is says so in time, and all recover by themselves."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from services.api import patience
from services.api.http.app import Deps, routes
from services.api.http.routes import Route
from services.api.store.database import connect, prepare
from services.api.store.store import MongoStore
from services.core.configuration import WORKERS
from tests.bad_days import Link
from tests.parts import Database, wait_until_async
from tests.services.api.http.client import V1, Answer, Client, model_body
from tests.services.api.http.conftest import ADMINISTRATOR

pytestmark = pytest.mark.timeout(120)

DEADLINE_S = patience.REQUEST_S  # as docs/operations.md states it
_MARGIN_S = 4.0  # of a busy machine, on which all routes are asked at once
REFUSED = (400, 401, 403, 404, 413, 415, 422)  # what is wrong with a request may be told without the database
OPEN = ("/version", "/livez", f"{V1}/openapi.json", f"{V1}/docs", f"{V1}/session/methods")
REMEMBERED = (f"{V1}/whoami", "/v4/users/self")  # who called a moment ago
TELLS = ("/readyz", f"{V1}/platform")  # how the database is
_names = count(1)


@pytest_asyncio.fixture
async def link(database: Database) -> AsyncIterator[Link]:
    async with Link(database.port).opened() as opened:
        yield opened


@pytest_asyncio.fixture
async def store(link: Link) -> AsyncIterator[MongoStore]:
    """Behind the link; what else is asked for here stands on it."""
    client = connect(f"mongodb://127.0.0.1:{link.port}/?directConnection=true")
    named = client[f"outage_{next(_names)}"]
    await prepare(named)
    yield MongoStore(client, named)
    link.flow()
    await asyncio.to_thread(client.close)


@contextmanager
def hanging(link: Link, database: Database) -> Iterator[None]:
    """It takes connections and requests, and says nothing."""
    link.hang()
    try:
        yield
    finally:
        link.flow()


@contextmanager
def dead(link: Link, database: Database) -> Iterator[None]:
    """Nobody takes connections."""
    database.kill()
    try:
        yield
    finally:
        database.start()


class Everything:
    """One request for each route that reads or changes something, about things that are there."""

    def __init__(self, api: Client, found: list[Route], known: dict[str, str]) -> None:
        self._api = api
        self._known = known
        self.routes = [
            each for each in found if each.path not in (*OPEN, *REMEMBERED) and "openIdConnect" not in each.path
        ]

    async def ask(self, route: Route) -> tuple[Answer, float]:
        path = re.sub(r"\{(\w+)[^}]*\}", lambda named: self._known.get(named[1], "f" * 24), route.path)
        began = time.monotonic()
        answer = await self._api(route.method, path, self._body(route))
        return answer, time.monotonic() - began

    async def ask_all(self) -> list[tuple[Route, Answer, float]]:
        answers = await asyncio.gather(*map(self.ask, self.routes))
        return [(route, *answer) for route, answer in zip(self.routes, answers, strict=True)]

    def _body(self, route: Route) -> Any:
        """What the first routes of each kind take; of others whatever is there."""
        if route.method in ("GET", "DELETE"):
            return None
        if (route.method, route.path) == ("POST", f"{V1}/modelApis"):
            return model_body(self._known["project"], name="another")
        return {"name": "another"}


@pytest_asyncio.fixture
async def everything(api: Client, deps: Deps) -> Everything:
    model = await api.model()
    known = {"model": model["id"], "version": model["activeVersion"]["id"], "project": model["projectId"]}
    known |= {"environment": model["environmentId"], "owner": ADMINISTRATOR, "projectName": "iris"}
    known |= {"label": "latest", "key": WORKERS, "sha256": "f" * 64, "path": "notes.txt"}
    return Everything(api, routes(deps), known)


@pytest.mark.parametrize("away", [hanging, dead], ids=["hanging", "dead"])
async def test_every_route_says_so_in_time_and_works_again_by_itself(
    api: Client,
    everything: Everything,
    link: Link,
    database: Database,
    away: Callable[[Link, Database], Any],
) -> None:
    with away(link, database):
        wrong, away_for = [], 0
        for route, answer, seconds in await everything.ask_all():
            away_for += answer.status == 503
            is_told = answer.status in (503, *REFUSED)
            is_told |= route.path in TELLS and b"database does not answer" in answer.raw
            is_told &= answer.status != 503 or int(answer.headers.get("Retry-After", 0)) >= 1
            if not is_told or seconds > DEADLINE_S + _MARGIN_S:
                wrong.append((route.method, route.path, answer.status, answer.raw, seconds))
        assert not wrong
        assert away_for > len(everything.routes) * 0.7, "most of what is asked takes the database"
        assert (await api("GET", "/livez")).status == 200
        ready = await api("GET", "/readyz")
        assert (ready.status, ready.body["status"], ready.body["bus"]) == (503, "failing", "ok")
        assert "database" in ready.body["database"]

    async def is_well() -> bool:
        return (await api("GET", "/readyz")).status == 200

    await wait_until_async(is_well, 20, what="it is ready again")
    for route, answer, _ in await everything.ask_all():
        assert answer.status != 503 or b"no router" in answer.raw, (route.method, route.path, answer.raw)
        assert answer.status in (503, *range(500)), (route.method, route.path, answer.raw)
