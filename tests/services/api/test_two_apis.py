"""Two api processes on one database and one bus, one of which is killed now and then: nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from services.api.store.database import connect
from services.api.store.store import MongoStore
from services.api.verify import verify
from services.core import subjects
from services.core.aggregates import MODEL
from services.core.audit import Link
from services.core.events import Entry
from services.core.model import Model
from services.core.records import BuildPhase, BuildReport
from services.core.subjects import Stream
from services.kit.bus import Bus
from tests.makers import ARTIFACT
from tests.parts import Database, NatsServer, wait_until_async
from tests.services.api.http.client import V1, Client
from tests.services.api.processes import KEY, ApiProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NAME = "two"
MODELS, CHANGERS, CHANGES, KILLS = 2, 4, 12, 2
GIVE_UP_S = 90.0


class Both:
    """Either api, as a client reaches them who tries the other one when the first does not answer."""

    def __init__(self, apis: Sequence[ApiProcess], session: aiohttp.ClientSession) -> None:
        self.apis = apis
        self._session = session
        self._turns = itertools.count()

    async def ok(self, method: str, path: str, body: Any = None, *, once: str = "") -> Any:
        """What is answered in the end to a request that is repeated until it is; `once` is its Idempotency-Key."""
        headers = {"X-Domino-Api-Key": KEY, **({"Idempotency-Key": once} if once else {})}
        while True:
            api = self.apis[next(self._turns) % len(self.apis)]
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.request(method, api.url + path, json=body, headers=headers) as answer:
                    content = await answer.read()
                    if answer.status < 500:
                        assert answer.status < 300, (method, path, answer.status, content)
                        return msgspec.json.decode(content) if content else None
            await asyncio.sleep(0.05)  # between two tries of a client, as its Retry-After would have it


@pytest_asyncio.fixture
async def both(tmp_path: Path, database: Database, nats_server: NatsServer) -> AsyncIterator[Both]:
    apis = [ApiProcess(f"api-{number}", tmp_path, database, nats_server, database_name=NAME) for number in (1, 2)]
    try:
        for api in apis:
            api.start(is_ready=False)  # at once: each makes what the other makes
        for api in apis:
            await asyncio.to_thread(api.wait_until_ready)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(15)) as session:
            yield Both(apis, session)
    finally:
        for api in apis:
            api.stop()


async def new_models(both: Both) -> list[dict[str, Any]]:
    """Models that all may change, each with a version that waits to be built."""
    async with aiohttp.ClientSession(both.apis[0].url) as session:
        client = Client(session, KEY)
        project = await client.project_with_code()
        return [await client.model(project, name=f"model-{number}") for number in range(MODELS)]


async def change(both: Both, models: Sequence[dict[str, Any]], changer: int) -> list[tuple[str, str]]:
    """Tokens for every model in turn, and a description: model and name of each token that was acknowledged."""
    made = []
    for number in range(CHANGES):
        model = models[(changer + number) % len(models)]
        at, name = f"{V1}/modelApis/{model['id']}", f"token-{changer}-{number}"
        await both.ok("POST", f"{at}/accessTokens", {"name": name}, once=name)
        made.append((model["id"], name))
        body = {"name": model["name"], "description": name, "environmentId": "", "replicas": 1}
        await both.ok("PUT", at, body, once=f"describe-{name}")
    return made


async def kill_in_turn(apis: Sequence[ApiProcess]) -> None:
    for number in range(KILLS):
        victim = apis[number % len(apis)]
        await asyncio.sleep(1.0)  # of work between two deaths: what is tested is that it goes on
        victim.signal(signal.SIGKILL)
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(victim.start)


async def published(bus: Bus) -> list[tuple[str, Entry]]:
    """Every message of EVENTS in its order, by the id that the bus knows it by."""
    async with bus.deadline("read the events", 60) as jetstream:
        last = (await jetstream.stream_info(Stream.EVENTS)).state.last_seq
        messages = [await jetstream.get_msg(Stream.EVENTS, each) for each in range(1, last + 1)]
    return [(message.headers["Nats-Msg-Id"], msgspec.json.decode(message.data, type=Entry)) for message in messages]  # type: ignore


async def stored(store: MongoStore, model_id: str) -> tuple[Model, list[Link]]:
    model = await store.load(MODEL, model_id)
    return model, [link async for link in store.links(model_id, up_to=10**6)]


async def test_under_changes_and_kills_nothing_is_recorded_twice_lost_or_out_of_order(
    both: Both, database: Database, nats_server: NatsServer
) -> None:
    await assert_a_name_that_both_are_asked_for_at_once_is_given_once(both)
    models = await new_models(both)
    client = connect(database.url)
    store, bus = MongoStore(client, client[NAME]), await Bus.connect(nats_server.config("test"))
    try:
        killing = asyncio.create_task(kill_in_turn(both.apis))
        for model in models:
            for phase in (BuildPhase.BUILDING, BuildPhase.COMPLETE):
                version = model["activeVersion"]["id"]
                report = BuildReport(
                    model_id=model["id"], version_id=version, attempt=1, phase=phase, artifact=ARTIFACT
                )
                await bus.publish(subjects.build_fact(version), report)
        made = await asyncio.gather(*(change(both, models, changer) for changer in range(CHANGERS)))
        await killing
        await wait_until_async(lambda: is_recorded(store, models), GIVE_UP_S, what="every fact is recorded")
        await wait_until_async(lambda: is_all_out(store), GIVE_UP_S, what="everything is published")
        await assert_no_update_is_lost(store, models, [each for some in made for each in some])
        await assert_the_stream_is_the_history(store, await published(bus))
        assert (await verify(store.evidence, Nobody())).findings == []
    finally:
        await bus.close()
        client.close()


class Nobody:
    async def seals(self) -> dict[int, frozenset[str]]:
        return {}


async def is_recorded(store: MongoStore, models: Sequence[dict[str, Any]]) -> bool:
    states = [await store.load(MODEL, model["id"]) for model in models]
    return all(version.build is BuildPhase.COMPLETE for state in states for version in state.versions)


async def is_all_out(store: MongoStore) -> bool:
    return not await store.count_unpublished()


async def assert_no_update_is_lost(
    store: MongoStore, models: Sequence[dict[str, Any]], made: Sequence[tuple[str, str]]
) -> None:
    for model in models:
        state, links = await stored(store, model["id"])
        wanted = Counter(name for model_id, name in made if model_id == model["id"])
        created = Counter(getattr(link.entry.event, "name", "") for link in links if _is(link, "AccessTokenCreated"))
        described = Counter(link.entry.event.description for link in links if _is(link, "ModelDescribed"))  # type: ignore
        assert wanted == Counter({name: count for name, count in created.items() if name.startswith("token-")})
        assert described == wanted
        assert wanted.keys() <= {token.name for token in state.tokens}
        builds = Counter(type(link.entry.event).__name__ for link in links)
        assert builds["BuildCompleted"] == 1
        assert builds["BuildStarted"] <= 1  # a fact that comes after a later one is not recorded


def _is(link: Link, kind: str) -> bool:
    return type(link.entry.event).__name__ == kind


async def assert_the_stream_is_the_history(store: MongoStore, messages: Sequence[tuple[str, Entry]]) -> None:
    """Whoever drops what the bus has given an id to already reads each history from its first event to its last."""
    by_aggregate: defaultdict[str, list[Entry]] = defaultdict(list)
    seen: set[str] = set()
    for message_id, entry in messages:
        if message_id not in seen:
            by_aggregate[entry.aggregate_id].append(entry)
        seen.add(message_id)
    for aggregate_id, entries in by_aggregate.items():
        links = [link async for link in store.links(aggregate_id, up_to=10**6)]
        assert [entry.revision for entry in entries] == list(range(1, len(entries) + 1))
        assert [known(entry) for entry in entries] == [known(link.entry) for link in links]
    assert {entry.aggregate for _, entry in messages} >= {"model", "project", "person", "environment"}


def known(entry: Entry) -> tuple[object, ...]:
    """What the bus is told of an entry: all but what is redacted."""
    return entry.id, entry.at, entry.actor, type(entry.event)


async def assert_a_name_that_both_are_asked_for_at_once_is_given_once(both: Both) -> None:
    async def create(api: ApiProcess, session: aiohttp.ClientSession, name: str) -> int:
        headers = {"X-Domino-Api-Key": KEY}
        async with session.post(f"{api.url}/v4/projects", json={"name": name}, headers=headers) as answer:
            return answer.status

    async with aiohttp.ClientSession() as session:
        for number in range(5):
            asked = [create(api, session, f"project-{number}") for api in both.apis for _ in range(3)]
            statuses = Counter(await asyncio.gather(*asked))
            assert statuses.pop(201, 0) == 1
            assert set(statuses) <= {400, 422}
    projects = await both.ok("GET", "/v4/gateway/projects")
    assert len([each for each in projects if each["name"].startswith("project-")]) == 5
