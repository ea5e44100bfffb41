"""HAProxy keeps its connections to instances whose harness holds them, and callers lose nothing by it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from msgspec.structs import replace

from services.core.ids import VersionId
from services.core.routing import RoutingTable, Server
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.versions import IDLE_CONNECTIONS
from tests.harness.instances import INSTANCE, Running
from tests.parts import wait_until_async
from tests.services.router.parts import (
    CONNECTIONS,
    LATEST,
    VERSION,
    Callers,
    HAProxyProcess,
    Outcome,
    Place,
    StandIn,
    open_table,
)
from tests.services.router.test_changes import settle_alone

WORKERS = 3
KILLS = 5
SCRIPT = """
import os
from pathlib import Path
def predict(mark="", kill=0):
    if mark:
        with open("marks", "a") as marks:
            marks.write(mark)
    if kill:
        os.kill(os.getpid(), kill)
    return os.getpid()
"""


@pytest.fixture
def instance(place: Place) -> Iterator[Running]:
    """An instance of the harness."""
    folder = place.folder / "i"
    (folder / "p").mkdir(parents=True)
    (folder / "home").mkdir()
    running = Running(folder)
    running.write(SCRIPT)
    yield running
    running.clean()


def kept(instance: Running, version: VersionId = VERSION) -> RoutingTable:
    """Its workers answer the one model, and connections to them are kept."""
    servers = tuple(
        Server(name=f"{INSTANCE}.{worker}", address=str(path), is_open=True)
        for worker, path in enumerate(instance.sockets)
    )
    table = open_table(*servers)
    return replace(table, backends={version: replace(table.backends[version], keeps_connections=True)})


def marks(instance: Running) -> str:
    path = Path(instance.project / "marks")
    return path.read_text() if path.exists() else ""


async def until_all_answer(instance: Running, client: httpx.AsyncClient) -> None:
    """Until HAProxy has found every worker alive: with none left it has nowhere to send a call again."""
    answered: set[int] = set()

    async def have_answered() -> bool:
        answer = await client.post(LATEST, json={"data": {}})
        if answer.status_code == 200:
            answered.add(answer.json()["result"])
        return answered >= instance.worker_ids() and len(instance.worker_ids()) == WORKERS

    await wait_until_async(have_answered, what="all workers are called")


@asynccontextmanager
async def load(place: Place) -> AsyncIterator[Callable[[], Awaitable[Outcome]]]:
    """Callers that keep their connections; what is given tells what they saw."""
    callers = Callers(place, delay_s=0)

    async def have_called() -> bool:
        return len(psutil.Process(callers.pid).net_connections("tcp")) >= CONNECTIONS

    try:
        await wait_until_async(have_called, what="the callers call")
        yield lambda: asyncio.to_thread(callers.finish)
    finally:
        callers.kill()


async def test_calls_share_connections(
    data_plane: HAProxy, place: Place, instance: Running, client: httpx.AsyncClient
) -> None:
    instance.ready()
    await settle_alone(data_plane, kept(instance))
    for _ in range(50):
        assert (await client.post(LATEST, json={"data": {}})).status_code == 200
    assert connections_of(instance) <= IDLE_CONNECTIONS


def connections_of(instance: Running) -> int:
    listed = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return sum(1 for words in listed if words[5] == "03" and str(instance.folder) in words[-1])


async def test_no_connection_is_shared_to_instances_that_do_not_say_so(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await settle_alone(data_plane, open_table(stand_in.servers[0]))
    for _ in range(2):
        told = (await client.post(LATEST, json={})).json()
        assert told["headers"]["connection"] == "close"


async def test_a_call_that_kills_its_worker_is_told_and_not_repeated(
    data_plane: HAProxy, instance: Running, client: httpx.AsyncClient
) -> None:
    instance.ready(workers=WORKERS)
    await settle_alone(data_plane, kept(instance))
    for number in range(1, 6):
        await until_all_answer(instance, client)
        answer = await client.post(LATEST, json={"data": {"mark": "!", "kill": 9}})
        assert answer.status_code == 502
        assert answer.json()["errors"] == ["the worker ended with signal 9 during the call"]
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
        assert len(marks(instance)) == number


async def test_a_call_that_may_run_again_is_answered_by_another_worker(
    data_plane: HAProxy, instance: Running, client: httpx.AsyncClient
) -> None:
    instance.write(
        "import os\nfrom pathlib import Path\ndef predict(once=False):\n"
        "    if once and not Path('marks').exists():\n        Path('marks').touch()\n        os.kill(os.getpid(), 9)\n"
        "    return os.getpid()\n"
    )
    instance.ready(workers=WORKERS)
    table = kept(instance)
    backends = {VERSION: replace(table.backends[VERSION], has_repeatable_calls=True)}
    await settle_alone(data_plane, replace(table, backends=backends))
    await until_all_answer(instance, client)
    answer = await client.post(LATEST, json={"data": {"once": True}})
    assert (answer.status_code, (instance.project / "marks").exists()) == (200, True)


async def test_workers_that_die_under_load_lose_no_call_that_they_had_not_begun(
    data_plane: HAProxy, place: Place, instance: Running, client: httpx.AsyncClient
) -> None:
    """Who had one is told so; there are at most as many of those as there were deaths."""
    instance.ready(workers=WORKERS)
    await settle_alone(data_plane, kept(instance))

    async with load(place) as finish:
        for number in range(KILLS):
            await until_all_answer(instance, client)
            os.kill(sorted(instance.worker_ids())[number % WORKERS], signal.SIGKILL)
        outcome = await finish()
    assert outcome.failures == {}
    assert set(outcome.statuses) <= {"200", "502"}
    assert outcome.statuses.get("502", 0) <= KILLS


async def test_reloads_under_load_lose_nothing_and_leave_no_old_haproxy_behind(
    data_plane: HAProxy, haproxy: HAProxyProcess, place: Place, instance: Running
) -> None:
    instance.ready(workers=WORKERS)
    table = kept(instance)
    await settle_alone(data_plane, table)
    async with load(place) as finish:
        for number in range(6):
            backends = {VERSION: replace(table.backends[VERSION], request_timeout_s=10.0 + number)}
            await settle_alone(data_plane, replace(table, backends=backends))
        outcome = await finish()
    assert outcome.failures == {}
    assert set(outcome.statuses) == {"200"}


async def test_an_instance_that_leaves_under_load_takes_no_call_along(
    data_plane: HAProxy, place: Place, instance: Running
) -> None:
    """Routed out, and then told to end, as the deployer does it."""
    instance.ready(workers=WORKERS)
    table = kept(instance)
    await settle_alone(data_plane, table)
    async with load(place) as finish:
        backend = table.backends[VERSION]
        closed = tuple(replace(each, is_open=number > 0) for number, each in enumerate(backend.servers))
        await settle_alone(data_plane, replace(table, backends={VERSION: replace(backend, servers=closed)}))
        leaving = instance.call().json()["result"]
        os.kill(leaving, signal.SIGTERM)

        async def is_gone() -> bool:
            return leaving not in instance.worker_ids()

        await wait_until_async(is_gone, what="the worker to end")
        outcome = await finish()
    assert outcome.failures == {}
    assert set(outcome.statuses) == {"200"}
