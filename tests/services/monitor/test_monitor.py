"""The monitor with a real bus, probing small servers over Unix sockets and TCP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
from aiohttp import web

from services.core.health import Answer
from services.core.ids import Digest, InstanceId
from services.core.records import Desired, Health, HealthCheck, Instance, InstancePhase, Placement, Removed
from services.core.subjects import Bucket, version_key
from services.kit.bus import Bus
from services.kit.mirror import Mirror
from services.kit.process import Stop
from services.kit.producer import Producer
from services.kit.wake import Wake
from services.monitor.monitor import Mirrors, Monitor
from services.monitor.probe import probe
from tests.instances import desired
from tests.makers import START, placement, version_id
from tests.parts import wait_until, wait_until_async

INSTANCE = InstanceId("00000001-1-a")
VERSION = version_id(1)
KEY = version_key("local", VERSION)
CHECK = HealthCheck(period_s=0.1, timeout_s=0.3, failure_threshold=4)


class Worker:
    """One worker's server; `status` 0 means that it takes the request and does not answer."""

    def __init__(self, address: str, name: str) -> None:
        self.address = address
        self.name = name
        self.status = 200
        self.probes = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/health", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        if self.address.startswith("/"):
            await web.UnixSite(self._runner, self.address).start()
            return
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        self.probes += 1
        if self.status == 0:
            await asyncio.sleep(60)
        is_meant = request.headers["X-Modelway-Server"] == self.name
        return web.json_response({}, status=self.status if is_meant else 421)


class Scene:
    """A monitor that can be ended and begun again, and the bus around it."""

    def __init__(self, bus: Bus, folder: Path) -> None:
        self.bus = bus
        self.workers = [Worker(str(folder / f"w{n}.sock"), f"{INSTANCE}.{n}") for n in range(2)]
        self.placements = Producer(bus.bucket(Bucket.PLACEMENTS, Placement))
        self.bucket = bus.bucket(Bucket.HEALTH, Health)
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = Stop()

    async def begin(self) -> None:
        wake, self._stop = Wake(), Stop()
        mirrors = Mirrors(
            desired=Mirror(self.bus.bucket(Bucket.DESIRED, Desired), wake=wake, list_every_s=0.2),
            placements=Mirror(self.bus.bucket(Bucket.PLACEMENTS, Placement), wake=wake, list_every_s=0.2),
        )
        monitor = Monitor(mirrors=mirrors, health=self.bucket, wake=wake)
        works = (monitor.run, monitor.sweep, mirrors.desired.run, mirrors.placements.run)
        self._tasks = [asyncio.create_task(work(self._stop)) for work in works]

    async def end(self) -> None:
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 10)

    async def place(self, phase: InstancePhase = InstancePhase.STARTING) -> None:
        addresses = tuple(worker.address for worker in self.workers)
        instance = Instance(instance_id=INSTANCE, phase=phase, addresses=addresses, started_at=START)
        await self.placements.publish(KEY, lambda revision: placement(1, instances=[instance], revision=revision))

    async def health(self) -> Health | Removed | None:
        return await self.bucket.get(INSTANCE)

    async def until(self, *, is_ready: bool, is_unrecoverable: bool = False) -> Health:
        async def holds() -> bool:
            health = await self.health()
            return isinstance(health, Health) and (health.is_ready, health.is_unrecoverable) == (
                is_ready,
                is_unrecoverable,
            )

        await wait_until_async(holds, what=f"ready {is_ready}, unrecoverable {is_unrecoverable}")
        found = await self.health()
        assert isinstance(found, Health)
        return found


@pytest_asyncio.fixture
async def scene(bus: Bus) -> AsyncIterator[Scene]:
    with TemporaryDirectory(prefix="mw-") as folder:
        scene = Scene(bus, Path(folder))
        wanted = desired(Digest("d" * 64), health_check=CHECK)
        await bus.bucket(Bucket.DESIRED, Desired).put(KEY, wanted)
        await scene.begin()
        yield scene
        await scene.end()
        for worker in scene.workers:
            await worker.stop()


async def test_an_instance_is_ready_once_all_its_workers_are(scene: Scene) -> None:
    await scene.place()
    first = await scene.until(is_ready=False)
    assert first.reason == "worker 0 takes no connections"
    await scene.workers[0].start()
    await wait_until_async(lambda: reason_is(scene, "worker 1 takes no connections"), what="the other is waited for")
    await scene.workers[1].start()
    assert (await scene.until(is_ready=True)).failures == 0


async def reason_is(scene: Scene, reason: str) -> bool:
    health = await scene.health()
    return isinstance(health, Health) and health.reason == reason


async def test_it_is_replaced_when_it_fails_too_often_in_a_row(scene: Scene) -> None:
    for worker in scene.workers:
        await worker.start()
    await scene.place()
    await scene.until(is_ready=True)
    scene.workers[1].status = 503
    health = await scene.until(is_ready=False, is_unrecoverable=True)
    assert health.failures >= 4
    scene.workers[1].status = 200
    await scene.until(is_ready=True)


async def test_a_busy_instance_that_is_silent_for_a_moment_stays_ready(scene: Scene) -> None:
    for worker in scene.workers:
        await worker.start()
    await scene.place()
    await scene.until(is_ready=True)
    scene.workers[0].status = 0

    async def is_counted() -> bool:
        health = await scene.health()
        return isinstance(health, Health) and health.failures > 0

    await wait_until_async(is_counted, what="the silence is counted")
    scene.workers[0].status = 200
    assert (await scene.until(is_ready=True)).is_unrecoverable is False


async def test_another_instance_at_the_same_address_is_not_taken_for_it(scene: Scene) -> None:
    scene.workers[1].name = "somebody-else.1"
    for worker in scene.workers:
        await worker.start()
    await scene.place()
    await wait_until_async(
        lambda: reason_is(scene, "another instance answers where worker 1 should"), what="it is found out"
    )


async def test_a_monitor_that_comes_back_holds_what_was_held_until_it_has_probed(scene: Scene) -> None:
    for worker in scene.workers:
        await worker.start()
    await scene.place()
    before = await scene.until(is_ready=True)
    await scene.place(InstancePhase.RUNNING)
    await scene.end()
    for worker in scene.workers:
        worker.status = 0  # the first answer to the next monitor takes its time
    assert await scene.health() == before

    probes = scene.workers[0].probes
    await scene.begin()
    await wait_until(lambda: scene.workers[0].probes > probes, what="it is probed again")
    after = await scene.health()

    assert isinstance(after, Health)
    assert after.is_ready


async def test_the_verdict_on_what_is_explicitly_gone_is_taken_away(scene: Scene) -> None:
    for worker in scene.workers:
        await worker.start()
    await scene.place()
    await scene.until(is_ready=True)
    await scene.placements.publish(KEY, lambda revision: placement(1, revision=revision))

    async def is_gone() -> bool:
        return isinstance(await scene.health(), Removed)

    await wait_until_async(is_gone, what="its health is a tombstone")


async def test_a_verdict_that_the_bucket_lost_comes_back(scene: Scene) -> None:
    for worker in scene.workers:
        await worker.start()
    await scene.place()
    await scene.until(is_ready=True)
    jetstream = scene.bus.client.jetstream()
    await jetstream.purge_stream("KV_health")
    await scene.until(is_ready=True)


async def test_a_worker_is_probed_over_tcp_too() -> None:
    worker = Worker("tcp", f"{INSTANCE}.0")
    await worker.start()
    try:
        assert (await probe(worker.address, INSTANCE, 0, timeout_s=2)).answer is Answer.HEALTHY
        assert (await probe(worker.address, InstanceId("other"), 0, timeout_s=2)).answer is Answer.UNHEALTHY
        worker.status = 0
        silent = await probe(worker.address, INSTANCE, 0, timeout_s=0.1)
        assert silent.reason == "worker 0 did not answer its health check within 0.1 s"
    finally:
        await worker.stop()
    assert (await probe(worker.address, INSTANCE, 0, timeout_s=2)).reason == "worker 0 takes no connections"


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
async def test_an_answer_that_is_none_raises_nothing(answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        found = await probe(f"{host}:{port}", INSTANCE, 0, timeout_s=2)
    assert found.answer in (Answer.SILENT, Answer.HEALTHY)
