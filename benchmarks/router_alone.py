"""This file is the router with the bus and HAProxy, between many models that nobody runs: what it does by itself."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.exchange import Exchange, request_bytes
from benchmarks.processes import REPOSITORY, standing_in, started, usage
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import (
    Epoch,
    Health,
    Instance,
    InstancePhase,
    Placement,
    PlacementPhase,
    Route,
    RouterReport,
)
from services.core.subjects import EPOCH, Bucket, version_key
from services.embedded.parts import find_haproxy
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.setup import create_all
from tests.parts import NatsServer, free_port, running

TOKEN = "t" * 64
OTHER_TOKEN = "u" * 64
ROUTER = "router-1"
DEPLOYER = "local"
READY_S = 120.0
_AT_ONCE = 100
Behind = Callable[[Sequence[str]], AbstractContextManager[None]]


def hashed(*tokens: str) -> tuple[str, ...]:
    return tuple(hashlib.sha256(each.encode()).hexdigest() for each in tokens)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """So many models, each of one version with so many instances of one worker, behind so many sockets."""

    models: int
    instances: int
    sockets: int


@dataclass
class RouterAlone:
    """One platform's data plane in `folder`, which has to be short. Made by `serving`."""

    folder: Path
    crowd: Crowd
    bus: Bus
    port: int
    processes: dict[str, psutil.Process]
    _revision: int = 1
    _kept: Exchange | None = None

    def __post_init__(self) -> None:
        self._routes = self.bus.bucket(Bucket.ROUTES, Route)
        self._placements = self.bus.bucket(Bucket.PLACEMENTS, Placement)
        self._health = self.bus.bucket(Bucket.HEALTH, Health)
        self._reports = self.bus.bucket(Bucket.ROUTERS, RouterReport)

    async def fill(self) -> None:
        """All models, and the word that these are all."""
        for first in range(0, self.crowd.models, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, self.crowd.models))
            await asyncio.gather(*(self.add_model(number) for number in numbers))
        await self._routes.put(EPOCH, Epoch(revision=1))

    async def add_model(self, number: int) -> None:
        """In the order in which a new model's entries come: placed, ready, routed."""
        version_id = version_of(number)
        await self.place(number, range(self.crowd.instances))
        await asyncio.gather(*(self.judge(number, each, is_ready=True) for each in range(self.crowd.instances)))
        await self.route(number, version_id)

    async def route(
        self,
        number: int,
        version_id: VersionId | None = None,
        *,
        prod: VersionId | None = None,
        tokens: Sequence[str] = (TOKEN, OTHER_TOKEN),
    ) -> None:
        """`latest` of a model leads to a version, by default its first; there is a `prod` where it is named."""
        route = Route(
            revision=self._next(),
            model_id=model_of(number),
            labels={"latest": version_id or version_of(number), **({} if prod is None else {"prod": prod})},
            is_restricted=True,
            token_hashes=hashed(*tokens),
            request_timeout_s=60.0,
        )
        await _put(self._routes.put(model_of(number), route))

    async def place(self, number: int, instances: Sequence[int], *, version: int = 1) -> None:
        version_id = version_of(number, version)
        placement = Placement(
            revision=self._next(),
            deployer_id=DEPLOYER,
            model_id=model_of(number),
            version_id=version_id,
            generation=1,
            desired_revision=1,
            phase=PlacementPhase.RUNNING,
            instances=tuple(self._instance(number, each, version) for each in instances),
        )
        await _put(self._placements.put(version_key(DEPLOYER, version_id), placement))

    async def judge(self, number: int, instance: int, *, is_ready: bool, version: int = 1) -> None:
        name = instance_of(number, instance, version)
        health = Health(
            revision=self._next(),
            instance_id=name,
            version_id=version_of(number, version),
            is_ready=is_ready,
            failures=0,
        )
        await _put(self._health.put(name, health))

    async def call(self, number: int, token: str = TOKEN, place: str = "latest") -> tuple[int, str]:
        """The status, and the instance that answered."""
        if self._kept is None or not self._kept.is_open:
            self._kept = await Exchange.connect(f"127.0.0.1:{self.port}")
        request = request_bytes(
            "POST", f"/models/{model_of(number)}/{place}/model", {"Authorization": f"Bearer {token}"}, b"{}"
        )
        async with asyncio.timeout(10):
            status = await self._kept.call(request)
        return status, self._kept.body.decode().rpartition(".")[0] if status == 200 else ""

    def usage(self) -> dict[str, tuple[float, int]]:
        """Seconds of CPU so far and bytes of memory of each part, children included."""
        return {name: usage(process) for name, process in self.processes.items()}

    def _instance(self, number: int, instance: int, version: int) -> Instance:
        at = (number * self.crowd.instances + instance) % self.crowd.sockets
        return Instance(
            instance_id=instance_of(number, instance, version),
            phase=InstancePhase.RUNNING,
            addresses=(str(self.folder / f"{at}.sock"),),
            started_at=now(),
            keeps_connections=True,
        )

    def _next(self) -> int:
        self._revision += 1
        return self._revision


async def _put(putting: Awaitable[bool]) -> None:
    if not await putting:
        raise RuntimeError("the bus has something newer")


def model_of(number: int) -> AggregateId:
    return AggregateId(f"a{number:023x}")


def version_of(number: int, version: int = 1) -> VersionId:
    return VersionId(f"{version}{number:023x}")


def instance_of(number: int, instance: int, version: int = 1) -> InstanceId:
    return InstanceId(f"{number:x}-{version}-{instance}")


@asynccontextmanager
async def serving(folder: Path, crowd: Crowd, *, behind: Behind | None = None) -> AsyncIterator[RouterAlone]:
    """All of it runs inside, and every model answers: a stand-in, or what `behind` starts on the sockets.

    Whether that answers yet is for who gave it to find out.
    """
    with ExitStack() as parts:
        nats = NatsServer(folder / "nats")
        parts.enter_context(running(nats))
        parts.enter_context((behind or standing_in)([str(folder / f"{each}.sock") for each in range(crowd.sockets)]))
        bus = await Bus.connect(nats.config("bench"))
        try:
            await create_all(bus)
            alone = RouterAlone(folder=folder, crowd=crowd, bus=bus, port=free_port(), processes={})
            await alone.fill()
            environment = _environment(folder, nats, alone.port)
            commands = {
                "haproxy": _haproxy(folder, environment),
                "router": [sys.executable, "-m", "services.router"],
            }
            for name, command in commands.items():
                alone.processes[name] = started(parts, folder / f"{name}.log", command, environment)
            if behind is None:
                await _until_all_answer(alone)
            yield alone
        finally:
            await bus.close()


async def _until_all_answer(alone: RouterAlone) -> None:
    end = time.monotonic() + READY_S
    for number in range(alone.crowd.models):
        while await _status(alone, number) != 200:
            if time.monotonic() > end:
                raise TimeoutError(f"model {number} does not answer within {READY_S:g} s")
            await asyncio.sleep(0.05)


async def _status(alone: RouterAlone, number: int) -> int:
    try:
        return (await alone.call(number))[0]
    except OSError:
        return 0


def _haproxy(folder: Path, environment: dict[str, str]) -> list[str]:
    (folder / "haproxy").mkdir()
    subprocess.run(
        [sys.executable, "-m", "services.router", "--initial"], env=environment, check=True, cwd=REPOSITORY, timeout=30
    )
    binary = environment["HAPROXY_BINARY"]
    master = environment["HAPROXY_MASTER_SOCKET"]
    return [binary, "-W", "-db", "-S", f"{master},mode,600", "-f", str(folder / "haproxy" / "haproxy.cfg")]


def _environment(folder: Path, nats: NatsServer, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HAPROXY_DIR": str(folder / "haproxy"),
        "HAPROXY_MASTER_SOCKET": str(folder / "master.sock"),
        "HAPROXY_BINARY": str(find_haproxy()),
        "PUBLIC_HOST": "127.0.0.1",
        "PUBLIC_PORT": str(port),
        "API_ADDRESS": f"127.0.0.1:{free_port()}",
        "NATS_URL": nats.url,
        "NATS_USER": "router",
        "NATS_PASSWORD": "any",
        "SERVICE_ID": ROUTER,
        "LOG_LEVEL": "warning",
        "HEALTH_HOST": "127.0.0.1",
        "HEALTH_PORT": str(free_port()),
    }
