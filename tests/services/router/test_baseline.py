"""What is counted between a change and the first look at its effect: the counters are read before anything changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Set
from types import SimpleNamespace
from typing import Any

from services.core.effective import Counters, Worker
from services.core.ids import VersionId
from services.core.known import Known, Seen
from services.core.records import InstancePhase, Rollout, Route
from services.core.routing import RoutingTable, Server
from services.kit.clock import now
from services.kit.process import Stop
from services.kit.wake import Wake
from services.router.haproxy.dataplane import State
from services.router.measures import Measures
from services.router.router import Router
from tests.makers import placement
from tests.parts import wait_until
from tests.services.router.parts import MODEL, NEXT_VERSION, VERSION
from tests.services.router.world import instance

ONE, TWO = (Server(name=name, address=f"/{name}.sock", is_open=True) for name in ("one.0", "two.0"))


class Busy:
    """A data plane where one call of the first version ends while the table changes, and none at other times."""

    def __init__(self) -> None:
        self._running = RoutingTable()
        self._ended = 0
        self.converged = 0

    async def look(self, watched: Set[VersionId]) -> tuple[Worker, ...]:
        counters = {VERSION: Counters(requests=self._ended)} if VERSION in watched else {}
        return (Worker(pid=1, running=self._running, is_stopping=False, counters=counters),)

    async def converge(self, wanted: RoutingTable, watched: Set[VersionId]) -> State:
        self._ended += wanted != self._running
        self._running, self.converged = wanted, self.converged + 1
        return State(aimed=wanted, workers=await self.look(watched), is_settled=True, rejected="")


class Bus:
    """What mirrors show, and where receipts go."""

    def __init__(self) -> None:
        self.routes = SimpleNamespace(removed={})
        self.is_whole = True
        self.latest, self.revision = VERSION, 1
        self.receipts: list[Rollout] = []

    @property
    def seen(self) -> Seen:
        route = Route(
            revision=self.revision,
            model_id=MODEL,
            labels={"latest": self.latest},
            is_restricted=False,
            token_hashes=(),
            request_timeout_s=5.0,
        )
        placements = {
            f"local.{version}": placement(
                model_id=MODEL, version_id=version, instances=[instance(server, InstancePhase.RUNNING)]
            )
            for version, server in ((VERSION, ONE), (NEXT_VERSION, TWO))
        }
        return Seen(
            routes={MODEL: route},
            removed_routes={},
            is_whole=True,
            placements=placements,
            removed_placements={},
            health={},
        )

    def add(self, rollouts: Iterable[Rollout]) -> None:
        self.receipts.extend(rollouts)


class Forgetful:
    def recall(self) -> Known | None:
        return None

    def remember(self, known: Known) -> None:
        pass


async def test_a_call_that_ends_while_a_switch_is_brought_about_is_in_its_receipt() -> None:
    bus, plane, wake, stop = Bus(), Busy(), Wake(), Stop()
    shown: Any = bus
    router = Router(
        "router-1",
        mirrors=shown,
        data_plane=plane,
        memory=Forgetful(),
        reports=shown,
        wake=wake,
        measures=Measures("router-1", now),
        rollouts=shown,
    )
    routing = asyncio.create_task(router.route(stop))
    try:
        await wait_until(lambda: plane.converged > 0, what="the router has looked")
        bus.latest, bus.revision = NEXT_VERSION, 2
        wake.ring()
        await wait_until(lambda: bool(bus.receipts), what="the receipt is there")
    finally:
        stop.set()
        await routing
    assert [each.requests for each in bus.receipts] == [1]
