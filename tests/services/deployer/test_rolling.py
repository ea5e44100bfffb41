"""A new generation in place of an older one, with a real bus, deployer and monitor, and a router that follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from services.core.ids import InstanceId
from services.core.progress import generation_of
from services.core.records import Desired, InstancePhase, Placement, PlacementPhase
from services.deployer.runtimes.process.processors import this_machine
from tests.services.deployer.parts import Platform, alive, ready

SCRIPT = "import os\nif os.environ['COLOUR'] == 'none': raise ValueError('no colour')\n"


async def coloured(platform: Platform, colour: str, **changes: object) -> Desired:
    return await platform.bench.desired(
        SCRIPT, environment_variables=platform.bench.sealed(COLOUR=colour), instances=2, **changes
    )


@asynccontextmanager
async def routed(platform: Platform, wanted: Desired) -> AsyncIterator[list[Placement]]:
    """All that a router had in effect, one after the other."""
    seen: list[Placement] = []
    stop = asyncio.Event()
    router = asyncio.create_task(platform.follow(wanted, seen, stop))
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.wait_for(router, 20)


def is_whole(generation: int) -> Callable[[Placement], bool]:
    def holds(placement: Placement) -> bool:
        ours = [each for each in ready(placement) if generation_of(each) == generation]
        return placement.phase is PlacementPhase.RUNNING and len(ours) == len(alive(placement)) == 2

    return holds


def first(seen: list[Placement], instance: InstanceId, phase: InstancePhase) -> int:
    """The place in `seen` of the first placement in which the instance has this phase."""
    return next(
        place
        for place, placement in enumerate(seen)
        if any(each.instance_id == instance and each.phase is phase for each in placement.instances)
    )


async def test_a_restart_exchanges_one_instance_at_a_time_and_never_has_fewer_ready(platform: Platform) -> None:
    wanted = await coloured(platform, "red", cpu_limit=1.0)
    async with routed(platform, wanted) as seen:
        await platform.want(wanted)
        old = ready(await platform.until(wanted, is_whole(1), what="it runs"))
        await platform.want(
            replace(wanted, revision=2, generation=2, environment_variables=platform.bench.sealed(COLOUR="blue"))
        )
        new = ready(await platform.until(wanted, is_whole(2), what="the new one is alone"))
    rolled = [placement for placement in seen if placement.generation == 2]
    assert min(len(ready(placement)) for placement in rolled) == 2
    assert max(len(alive(placement)) for placement in rolled) == 3
    became_ready = sorted(first(rolled, each, InstancePhase.RUNNING) for each in new)
    drained = sorted(first(rolled, each, InstancePhase.DRAINING) for each in old)
    assert became_ready[0] < drained[0] < became_ready[1] < drained[1]
    assert rolled[-1].exits == 0
    said = await platform.deployment_log(wanted, f"instance {new[-1]} started")
    assert sum("processors are not limited here" in line for line in said) == (2 if this_machine() is None else 0)


async def test_a_restart_that_fails_leaves_the_older_instances_serving_until_the_next_one(platform: Platform) -> None:
    wanted = await coloured(platform, "red")
    async with routed(platform, wanted):
        await platform.want(wanted)
        old = ready(await platform.until(wanted, is_whole(1), what="it runs"))
        broken = replace(wanted, revision=2, generation=2, environment_variables=platform.bench.sealed(COLOUR="none"))
        await platform.want(broken)
        await platform.until(wanted, lambda p: p.phase is PlacementPhase.FAILED, what="it is given up")
        failed = await platform.until(wanted, lambda p: len(p.instances) == 2, what="nothing new is left")
        assert failed.reason == "predict.py cannot be imported: no colour"
        assert ready(failed) == old

        platform.deployer.kill()
        platform.deployer.start()
        again = await platform.until(wanted, lambda p: p.revision > failed.revision, what="the next one reports")
        assert (again.phase, ready(again)) == (PlacementPhase.FAILED, old)

        await platform.want(replace(wanted, revision=3, generation=3))
        await platform.until(wanted, is_whole(3), what="the next generation takes over")
