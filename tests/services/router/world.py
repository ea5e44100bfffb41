"""This file is the router as its own process, and the rest of the platform as far as it hears of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import (
    Candidate,
    Epoch,
    Health,
    Instance,
    InstancePhase,
    Placement,
    PlacementPhase,
    Removed,
    Route,
    RouterReport,
)
from services.core.routing import Server
from services.core.subjects import EPOCH, Bucket, version_key
from services.kit.bus import Bus
from services.kit.clock import now
from tests.parts import NatsServer, Process, wait_until_async
from tests.services.router.parts import MODEL, TOKEN, VERSION, Place, StandIn, free_port, token_hash

REPOSITORY = Path(__file__).parents[3]


class RouterProcess(Process):
    def __init__(self, place: Place, nats_server: NatsServer, router_id: str = "router-1") -> None:
        super().__init__([sys.executable, "-m", "services.router"], REPOSITORY, place.folder / "router.log")
        self.router_id = router_id
        self.environment = {
            **place.environment,
            "NATS_URL": nats_server.url,
            "NATS_USER": "router",
            "NATS_PASSWORD": "any",
            "SERVICE_ID": router_id,
            "HEALTH_PORT": str(free_port()),
        }

    def start(self) -> None:
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            super().start()
        finally:
            os.environ.clear()
            os.environ.update(before)


class World:
    """What the other services say on the bus, and what routers report."""

    def __init__(self, bus: Bus, stand_in: StandIn) -> None:
        self.bus = bus
        self._routes = bus.bucket(Bucket.ROUTES, Route)
        self._placements = bus.bucket(Bucket.PLACEMENTS, Placement)
        self._health = bus.bucket(Bucket.HEALTH, Health)
        self._reports = bus.bucket(Bucket.ROUTERS, RouterReport)
        self._stand_in = stand_in
        self.revision = 0

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    async def fill(self) -> None:
        await self._routes.put(EPOCH, Epoch(revision=1))

    async def route(self, *, labels: bool = True, tokens: tuple[str, ...] = (TOKEN,)) -> int:
        return await self.lead({"latest": VERSION} if labels else {}, tokens=tokens)

    async def lead(
        self,
        labels: dict[str, VersionId | None],
        *,
        model: AggregateId = MODEL,
        tokens: tuple[str, ...] = (TOKEN,),
        is_restricted: bool = True,
        candidates: dict[str, Candidate] | None = None,
    ) -> int:
        route = Route(
            revision=self._next(),
            model_id=model,
            labels=labels,
            candidates=candidates or {},
            is_restricted=is_restricted,
            token_hashes=tuple(token_hash(each) for each in tokens),
            request_timeout_s=5.0,
        )
        assert await self._routes.put(model, route)
        return route.revision

    async def remove_route(self) -> int:
        assert await self._routes.put(MODEL, Removed(revision=self._next()))
        return self.revision

    async def place(self, phase: InstancePhase = InstancePhase.RUNNING) -> int:
        return await self.run(VERSION, (instance(each, phase) for each in self._stand_in.servers))

    async def run(
        self, version: VersionId, instances: Iterable[Instance], *, model: AggregateId = MODEL, generation: int = 1
    ) -> int:
        placement = Placement(
            revision=self._next(),
            deployer_id="local",
            model_id=model,
            version_id=version,
            generation=generation,
            desired_revision=1,
            phase=PlacementPhase.RUNNING,
            instances=tuple(instances),
        )
        assert await self._placements.put(version_key("local", version), placement)
        return placement.revision

    async def judge(self, name: str, *, is_ready: bool) -> None:
        health = Health(
            revision=self._next(), instance_id=InstanceId(name), version_id=VERSION, is_ready=is_ready, failures=0
        )
        assert await self._health.put(name, health)

    async def report(self, router_id: str = "router-1") -> RouterReport | None:
        report = await self._reports.get(router_id)
        assert not isinstance(report, Removed)
        return report

    async def reported(
        self,
        *,
        route: int = 0,
        placement: int = 0,
        model: AggregateId = MODEL,
        version: VersionId = VERSION,
        router_id: str = "router-1",
    ) -> RouterReport:
        """The first report that shows these revisions in effect."""
        reports: list[RouterReport] = []

        async def is_there() -> bool:
            report = await self.report(router_id)
            if report is not None:
                reports.append(report)
            return bool(reports) and (
                reports[-1].routes.get(model, 0) >= route and reports[-1].placements.get(version, 0) >= placement
            )

        await wait_until_async(is_there, 15, what=f"route {route} and placement {placement} are in effect")
        return reports[-1]


def instance(server: Server, phase: InstancePhase = InstancePhase.RUNNING) -> Instance:
    """The instance whose first and only worker is `server`."""
    name = InstanceId(server.name.partition(".")[0])
    return Instance(instance_id=name, phase=phase, addresses=(server.address,), started_at=now())


def draining(one: Instance) -> Instance:
    return replace(one, phase=InstancePhase.DRAINING)
