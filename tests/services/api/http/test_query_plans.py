"""Every query that a route asks of the database has an index, as the database itself says that it would answer it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import count
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from services.api.http.app import Deps, routes
from services.api.http.routes import Route
from services.api.ledger import MongoLedger
from services.api.store.database import prepare
from services.api.store.store import MongoStore
from services.core.configuration import WORKERS
from tests.parts import Database
from tests.services.api.http.client import V1, Client, model_body
from tests.services.api.http.conftest import ADMINISTRATOR
from tests.services.api.http.people import add_person

# Few, whatever happens: read whole by those who ask for them.
WHOLE = {"environments", "organisations", "quotas", "configuration", "meta", "outbox"}
WITHOUT_INDEX = {
    "models: {} in the order of []": "the ids of all, by those who go through all",
    "projects: {} in the order of ['state.name']": "the answer is all of them",
    "events: {} in the order of []": "until there are enough of them for a sample: see history.py",
    "people: ": "a part of a name has no index anywhere, and people are some hundreds",
}
_names = count(1)
_QUERIES = [
    "",
    "?name=ir",
    "?orderBy=created%20DESC&isArchived=true",
    "?actor=ada",
    f"?modelId={'{model}'}&limit=5",
    "?action=model.",
    "?projectId={project}",
    "?environmentId={environment}",
    "?time=1",
]


class Asked(msgspec.Struct, frozen=True):
    """One kind of question: its values do not count, only the fields and what is asked of them."""

    collection: str
    shape: str


class Listener(CommandListener):
    """Notes each kind of question once, with one command that asks it."""

    def __init__(self) -> None:
        self.asked: dict[Asked, Mapping[str, Any]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        command = event.command
        where = {"find": "filter", "count": "query", "delete": "q", "update": "q"}
        if event.command_name == "aggregate":
            stages = command["pipeline"]
            self._note(command["aggregate"], stages[0].get("$match", {}) if stages else {}, {})
        elif event.command_name in ("find", "count"):
            filters = command.get(where[event.command_name]) or {}
            self._note(command[event.command_name], filters, command.get("sort") or {})
        elif event.command_name in ("update", "delete"):
            for each in command[f"{event.command_name}s"]:
                self._note(command[event.command_name], each["q"], {})

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def _note(self, collection: str, filters: Mapping[str, Any], sort: Mapping[str, Any]) -> None:
        asked = Asked(collection, f"{_shape(filters)} in the order of {list(sort)}")
        self.asked.setdefault(asked, {"find": collection, "filter": dict(filters), "sort": dict(sort)})


def _shape(filters: Any) -> Any:
    if isinstance(filters, Mapping):
        return {name: _shape(value) for name, value in filters.items()}
    if isinstance(filters, list):
        return sorted({str(_shape(each)) for each in filters})
    return "?"


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest_asyncio.fixture
async def store(database: Database, listener: Listener) -> AsyncIterator[MongoStore]:
    client: Any = AsyncIOMotorClient(database.url, tz_aware=True, event_listeners=[listener])
    named = client[f"plans_{next(_names)}"]
    await prepare(named)
    listener.asked.clear()
    yield MongoStore(client, named)
    await asyncio.to_thread(client.close)


def stages(plan: Any) -> Iterator[str]:
    """Of the plan that won: how documents are found, and what is done with them."""
    if isinstance(plan, Mapping):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for each in plan.values():
            yield from stages(each)
    elif isinstance(plan, list):
        for each in plan:
            yield from stages(each)


async def is_indexed(store: MongoStore, command: Mapping[str, Any]) -> bool:
    """Whether the fields that are named first lead to the documents: the others only choose among those.

    SecantusDB goes by an index of these, and tells of it only when nothing else is asked.
    """
    filters = command["filter"]
    if isinstance(filters.get("_id"), str):
        return True
    for fields in range(len(filters), 0, -1):
        first = {name: filters[name] for name in list(filters)[:fields]}
        explained = await store._database.command("explain", {**command, "filter": first})
        if "COLLSCAN" not in set(stages(explained["queryPlanner"]["winningPlan"])):
            return True
    return False


async def ask_everything(clients: list[Client], found: list[Route], known: Mapping[str, str]) -> None:
    for route in found:
        path = re.sub(r"\{(\w+)[^}]*\}", lambda named: known.get(named[1], "f" * 24), route.path)
        queries = _QUERIES if route.method == "GET" else [""]
        for client in clients:
            for query in queries:
                body = {"name": "another"} if route.method not in ("GET", "DELETE") else None
                await client(route.method, path + query.format(**known), body)


async def test_every_query_of_every_route_is_answered_from_an_index(
    api: Client, deps: Deps, ledger: MongoLedger, store: MongoStore, listener: Listener
) -> None:
    reader = await add_person(api, ledger)
    model = await api.model()
    known = {"model": model["id"], "version": model["activeVersion"]["id"], "project": model["projectId"]}
    known |= {"environment": model["environmentId"], "owner": ADMINISTRATOR, "projectName": "iris"}
    known |= {"label": "latest", "key": WORKERS, "sha256": "f" * 64, "path": "notes.txt", "person": "f" * 24}
    await api.ok("POST", f"{V1}/modelApis", model_body(model["projectId"], name="second"))
    found = [route for route in routes(deps) if not route.path.endswith(("/verification", "openIdConnect"))]
    await ask_everything([api, reader], found, known)
    assert len(listener.asked) > 25
    unindexed = []
    for asked, command in dict(listener.asked).items():
        if asked.collection not in WHOLE and not await is_indexed(store, command):
            unindexed.append(f"{asked.collection}: {asked.shape}")
    unindexed = [each for each in unindexed if not each.startswith(tuple(WITHOUT_INDEX))]
    assert "\n".join(unindexed) == "", "\n".join(unindexed)
