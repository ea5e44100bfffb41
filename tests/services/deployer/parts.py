"""This file is a deployer and a monitor as processes of their own, with the test in the place of api and router."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import (
    Desired,
    Epoch,
    Health,
    Heartbeat,
    Instance,
    InstancePhase,
    LogLine,
    Placement,
    Removed,
    RouterReport,
    Target,
)
from services.core.subjects import EPOCH, Bucket, LogKind, heartbeat_key, log, version_key
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.producer import Counter
from services.kit.read_log import read_log
from tests.instances import Bench
from tests.makers import MODEL_ID
from tests.parts import NatsServer, Process, wait_until_async

ROOT = Path(__file__).parents[3]


class Service(Process):
    """`python -m services.<name>` with an environment of its own."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__([sys.executable, "-m", f"services.{name}"], ROOT, folder / f"{name}.log")
        self._environment = {"PATH": os.environ["PATH"], "HEALTH_PORT": "0", **environment}

    def set(self, **environment: str) -> None:
        """Added to its environment from the next start on."""
        self._environment |= environment

    def start(self) -> None:
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                self.command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )


class Platform:
    """What api and a router would write, and what they would read."""

    def __init__(self, bus: Bus, nats: NatsServer, bench: Bench, folder: Path) -> None:
        self.bus = bus
        self.bench = bench
        common = {"NATS_URL": nats.url, "NATS_PASSWORD": "none"}
        folders = {
            "BLOBS_URL": bench.blobs_url,
            "INSTANCES_DIR": str(bench.instances_dir),
            "VERSIONS_DIR": str(bench.versions_dir),
            "ENVIRONMENTS_DIR": str(bench.environments_dir),
            "SOCKETS_DIR": str(bench.sockets_dir),
            "VARIABLE_KEYS": bench.variable_keys,
        }
        self.deployer = Service("deployer", folder, {**common, **folders, "NATS_USER": "deployer"})
        self.monitor = Service("monitor", folder, {**common, "NATS_USER": "monitor"})
        self.desired = bus.bucket(Bucket.DESIRED, Desired)
        self._placements = bus.bucket(Bucket.PLACEMENTS, Placement)
        self._health = bus.bucket(Bucket.HEALTH, Health)
        self._routers = bus.bucket(Bucket.ROUTERS, RouterReport)
        self._heartbeats = bus.bucket(Bucket.HEARTBEATS, Heartbeat)
        self._counter = Counter()

    async def start(self) -> None:
        await self.desired.put(EPOCH, Epoch(revision=1))
        self.deployer.start()
        self.monitor.start()

    async def want(self, desired: Desired) -> None:
        assert await self.desired.put(version_key("local", desired.version_id), desired)

    async def want_stopped(self, desired: Desired, *, routed_out_at: int = 0) -> None:
        stopped = replace(desired, revision=desired.revision + 1, target=Target.STOPPED, routed_out_at=routed_out_at)
        await self.want(stopped)

    async def remove(self, desired: Desired) -> None:
        tombstone = Removed(revision=desired.revision + 10)
        assert await self.desired.put(version_key("local", desired.version_id), tombstone)

    async def placement(self, desired: Desired) -> Placement | None:
        found = await self._placements.get(version_key("local", desired.version_id))
        return found if isinstance(found, Placement) else None

    async def is_forgotten(self, desired: Desired) -> bool:
        found = await self._placements.get(version_key("local", desired.version_id))
        return isinstance(found, Removed)

    async def health(self, instance_id: InstanceId) -> Health | None:
        found = await self._health.get(instance_id)
        return found if isinstance(found, Health) else None

    async def until(
        self, desired: Desired, holds: Callable[[Placement], bool], *, what: str, deadline_s: float = 20.0
    ) -> Placement:
        """The placement once `holds` is true of it."""

        async def check() -> bool:
            placement = await self.placement(desired)
            return placement is not None and holds(placement)

        await wait_until_async(check, deadline_s, what=what)
        placement = await self.placement(desired)
        assert placement is not None
        return placement

    async def report(
        self,
        router: str = "router-1",
        *,
        routes: dict[AggregateId, int] | None = None,
        placements: dict[VersionId, int] | None = None,
        in_flight: dict[InstanceId, int] | None = None,
    ) -> None:
        """Say what a living router has in effect."""
        report = RouterReport(
            revision=self._counter.next(),
            router_id=router,
            routes=routes or {},
            placements=placements or {},
            in_flight=in_flight or {},
            waiting={},
        )
        assert await self._routers.put(router, report)
        beat = Heartbeat(revision=self._counter.next(), service="router", service_id=router, at=now(), started_at=now())
        assert await self._heartbeats.put(heartbeat_key("router", router), beat)

    async def follow(self, desired: Desired, seen: list[Placement], stop: asyncio.Event) -> None:
        """Be a router that has every placement in effect soon, and remember what was in effect, until `stop`."""
        while not stop.is_set():
            placement = await self.placement(desired)
            if placement is not None and (not seen or placement.revision > seen[-1].revision):
                seen.append(placement)
                await self.report(placements={desired.version_id: placement.revision})
            await asyncio.sleep(0.02)

    async def deployment_log(self, desired: Desired, *until: str) -> list[str]:
        """The log, once it tells all of `until`: lines take another way than placements."""
        subject = log(LogKind.DEPLOYMENT, MODEL_ID, desired.version_id)
        said: list[str] = []

        async def has_told() -> bool:
            said[:] = [line.text for line in await read_log(self.bus, subject, limit=1000)]
            return all(any(each in line for line in said) for each in until)

        await wait_until_async(has_told, 20, what=f"the deployment log tells {until}")
        return said

    async def instance_log(self, desired: Desired, instance_id: InstanceId) -> list[LogLine]:
        subject = log(LogKind.INSTANCE, MODEL_ID, desired.version_id, instance_id)
        return [*await read_log(self.bus, subject, limit=10_000)]


def alive(placement: Placement) -> list[Instance]:
    return [each for each in placement.instances if each.phase is not InstancePhase.EXITED]


def ready(placement: Placement) -> list[InstanceId]:
    return [each.instance_id for each in placement.instances if each.phase is InstancePhase.RUNNING]
