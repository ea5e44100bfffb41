"""Api as a process, while bus and database come and go: it says what is away, keeps what was changed, and goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from services.core.events import Entry, what_happened
from services.core.records import BuildOrder, Route
from services.core.subjects import Bucket, Stream
from services.kit.bus import Bus
from tests.parts import Database, NatsServer, wait_until_async
from tests.services.api.http.client import V1, Answer, Client
from tests.services.api.processes import KEY, ApiProcess

pytestmark = pytest.mark.timeout(120)


class Scene:
    """One api process with all it stands on."""

    def __init__(self, api: ApiProcess, client: Client, bus: NatsServer, database: Database) -> None:
        self.api, self.client, self.bus, self.database = api, client, bus, database

    async def ready(self) -> tuple[int, dict[str, str]]:
        answer: Answer = await self.client("GET", "/readyz")
        return answer.status, answer.body

    async def until(self, status: int, **said: str) -> None:
        """Returns once `/readyz` answers `status` and says this; `/livez` is well all the time."""

        async def is_so() -> bool:
            assert (await self.client("GET", "/livez")).status == 200
            found, body = await self.ready()
            return found == status and all(text in body[name] for name, text in said.items())

        await wait_until_async(is_so, 30, what=f"/readyz is {status} with {said}")

    async def outbox(self) -> int:
        return int((await self.client.ok("GET", f"{V1}/platform"))["outbox"]["waiting"])

    async def is_all_out(self) -> bool:
        return await self.outbox() == 0


@pytest_asyncio.fixture
async def scene(tmp_path: Path, database: Database, nats_server: NatsServer) -> AsyncIterator[Scene]:
    api = ApiProcess("api-1", tmp_path, database, nats_server, database_name=f"outages_{tmp_path.name}"[:60])
    api.start()
    try:
        async with ClientSession(api.url) as session:
            yield Scene(api, Client(session, KEY), nats_server, database)
    finally:
        api.stop()


async def events_of(bus: Bus, model_id: str) -> list[Entry]:
    async with bus.deadline("read the events", 30) as jetstream:
        last = (await jetstream.stream_info(Stream.EVENTS)).state.last_seq
        messages = [await jetstream.get_msg(Stream.EVENTS, each) for each in range(1, last + 1)]
    entries = [msgspec.json.decode(message.data or b"", type=Entry) for message in messages]
    return [entry for entry in entries if entry.aggregate_id == model_id]


async def change_it_all(client: Client, model: dict[str, Any]) -> None:
    at = f"{V1}/modelApis/{model['id']}"
    body = {"name": "iris", "description": "changed", "environmentId": "", "replicas": 2}
    await client.ok("PUT", at, body)
    await client.ok("POST", f"{at}/accessTokens", {"name": "second"})
    await client.ok("PUT", f"{at}/versions/{model['activeVersion']['id']}/targetState", {"isRunning": False})


async def test_without_the_bus_changes_are_taken_and_reach_it_in_order_when_it_is_back(scene: Scene) -> None:
    await scene.until(200, bus="ok", database="ok")
    scene.bus.kill()
    await scene.until(200, bus="the bus does not answer", database="ok")
    model = await scene.client.model()
    await change_it_all(scene.client, model)
    assert await scene.outbox() > 5
    assert scene.api.is_running
    scene.bus.start()
    await scene.until(200, bus="ok", database="ok")
    await wait_until_async(scene.is_all_out, 30, what="the outbox is empty")
    bus = await Bus.connect(scene.bus.config("test"))
    try:
        entries = await events_of(bus, model["id"])
        assert [entry.revision for entry in entries] == list(range(1, len(entries) + 1))
        assert [what_happened(entry.event) for entry in entries][-1] == "version.stop-ordered"
        route = await bus.bucket(Bucket.ROUTES, Route).get(model["id"])
        assert isinstance(route, Route)
        assert len(route.token_hashes) == 2
        async with bus.deadline("read the order") as jetstream:
            order = await jetstream.get_last_msg(Stream.COMMANDS, "command.build.*")
        assert msgspec.json.decode(order.data or b"", type=BuildOrder).version_id == model["activeVersion"]["id"]
    finally:
        await bus.close()


async def test_a_dead_database_is_told_and_the_same_process_goes_on_when_it_is_back(scene: Scene) -> None:
    project = await scene.client.project("before")
    pid = scene.api.pid
    scene.database.kill()
    await scene.until(503, bus="ok", database="the database does not answer")
    for method, path, body in (
        ("GET", f"{V1}/modelApis", None),
        ("GET", f"{V1}/projects/{project}", None),
        ("POST", "/v4/projects", {"name": "meanwhile"}),
    ):
        answer = await scene.client(method, path, body)
        assert (answer.status, int(answer.headers["Retry-After"]) >= 1) == (503, True), (path, answer.raw)
    scene.database.start()
    await scene.until(200, bus="ok", database="ok")
    await scene.client.project("after")
    names = {each["name"] for each in await scene.client.ok("GET", "/v4/gateway/projects")}
    assert {"before", "after"} <= names
    assert "meanwhile" not in names
    await wait_until_async(scene.is_all_out, 30, what="what was changed is published")
    assert (scene.api.is_running, scene.api.pid) == (True, pid)
    await assert_it_waits_for_both_when_it_starts_before_them(scene)


async def assert_it_waits_for_both_when_it_starts_before_them(scene: Scene) -> None:
    scene.api.stop()
    scene.bus.kill()
    scene.database.kill()
    scene.api.start(is_ready=False)
    scene.database.start()
    await wait_until_async(lambda: answers(scene), 30, what="it answers")
    await scene.until(200, bus="the bus does not answer", database="ok")
    scene.bus.start()
    await scene.until(200, bus="ok", database="ok")


async def answers(scene: Scene) -> bool:
    return scene.api.status("/livez") == 200
