"""This file is the deployer: it makes what runs on its machine be what is desired, look by look.

Every look is whole: what is desired, healthy, routed and running now; core/placement decides; everything done is an
`ensure`, so that a crash at any moment is made up by the next look of the next process.
"""

from __future__ import annotations

import time
from collections import defaultdict

import msgspec
import structlog
from msgspec.structs import replace

from services.core.draining import Routers
from services.core.errors import Unavailable, WorkloadRejected
from services.core.ids import VersionId
from services.core.placement import Decision, Forget, Start, Stop, decide
from services.core.ports import Observed, Runtime
from services.core.progress import (
    Progress,
    Wanted,
    World,
    begin,
    clear_trouble,
    note_trouble,
    published,
    reject,
    resume,
    wanted_from,
)
from services.core.records import Desired, Health, Heartbeat, Placement, PlacementPhase, Removed, RouterReport
from services.core.subjects import version_key
from services.deployer.actions import Actions
from services.deployer.logs import DeploymentLog, InstanceLogs
from services.kit import process
from services.kit.bucket import KeyValue
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.mirror import Mirror
from services.kit.producer import Producer
from services.kit.wake import Wake

log = structlog.get_logger()

LOOK_EVERY_S = 0.25
QUIET_EVERY_S = 2.0  # with nothing that could end or fall due by itself: the mirrors ring for all else
SWEEP_EVERY_S = 2.0
MEMORY_STEP_BYTES = 16 << 20  # smaller changes of an instance's memory are not worth telling
OVERDUE_S = 30.0  # without a look something is wrong with this process
_AT_REST = (PlacementPhase.STOPPED, PlacementPhase.FAILED)
MAX_ENDED = 8  # of one version, waiting for their output to be read; beyond that it is given up


class Mirrors(msgspec.Struct, frozen=True, kw_only=True):
    """What the bus tells, as far as it is known here."""

    desired: Mirror[Desired]
    health: Mirror[Health]
    routers: Mirror[RouterReport]
    heartbeats: Mirror[Heartbeat]

    def are_whole(self) -> bool:
        return all(each.is_whole for each in (self.desired, self.health, self.routers, self.heartbeats))


class Deployer:
    """Converges what one runtime runs. `wake` is rung by the mirrors."""

    def __init__(
        self,
        deployer_id: str,
        *,
        runtime: Runtime,
        bus: Bus,
        mirrors: Mirrors,
        placements: KeyValue[Placement],
        instance_logs: InstanceLogs,
        deployment_log: DeploymentLog,
        wake: Wake,
    ) -> None:
        self._deployer_id = deployer_id
        self._runtime = runtime
        self._bus = bus
        self._mirrors = mirrors
        self._placements = placements
        self._producer = Producer(placements)
        self._instance_logs = instance_logs
        self._deployment_log = deployment_log
        self._wake = wake
        self._found: dict[str, Placement] | None = None  # what an earlier deployer had published
        self._progress: dict[VersionId, Progress] = {}
        self._last_desired: dict[VersionId, Desired] = {}
        self._told: dict[VersionId, Placement] = {}
        self._conceded: dict[VersionId, int] = {}  # the generation of which it was said what is not held here
        self._actions = Actions(runtime, wake)
        self._is_bus_silent = False
        self._runs_anything = True  # until a look has found nothing
        self._looked_at = time.monotonic()

    def check(self) -> str | None:
        """For `/healthz`."""
        waited_s = time.monotonic() - self._looked_at
        return f"no look for {waited_s:.0f} s" if waited_s > OVERDUE_S else None

    async def run(self, stop: process.Stop) -> None:
        """Look again at every change and a few times a second, until `stop`; what runs goes on running then."""
        try:
            while not stop.is_set:
                try:
                    await self.look()
                except Unavailable as error:
                    log.warning("look_put_off", reason=error.reason)
                    await stop.wait_for(error.retry_after_s)
                self._looked_at = time.monotonic()
                await self._wake.wait_or(stop, self._next_look_s())
        finally:
            self._actions.cancel()

    async def sweep(self, stop: process.Stop) -> None:
        """Put placements again that the bucket has lost."""
        while not await stop.wait_for(SWEEP_EVERY_S):
            try:
                await self._producer.sweep()
            except Unavailable as error:
                log.debug("sweep_put_off", reason=error.reason)

    async def look(self) -> None:
        """One look at every version. Raises `Unavailable` when the runtime, or our own past, cannot be seen."""
        # Before observing: what a start that ends meanwhile has made would be missing in what was observed.
        for version_id, outcome in self._actions.finished().items():
            self._learn(version_id, outcome)
        self._is_bus_silent = False
        observed = await self._runtime.observe()
        self._runs_anything = bool(observed)
        self._instance_logs.follow(observed)
        if self._found is None:
            listed = await self._placements.list() if self._mirrors.desired.has_listed else None
            if listed is None:
                return
            self._found = {key: each for key, each in listed.items() if isinstance(each, Placement)}
        by_version: dict[VersionId, list[Observed]] = defaultdict(list)
        for each in observed:
            by_version[each.version_id].append(each)
        world = self._world()
        for version_id in self._versions(by_version):
            if not self._actions.is_starting(version_id):
                await self._look_at(version_id, replace(world, observed=tuple(by_version[version_id])))

    def _next_look_s(self) -> float:
        is_at_rest = all(each.placement.phase in _AT_REST for each in self._progress.values())
        return QUIET_EVERY_S if is_at_rest and not self._runs_anything else LOOK_EVERY_S

    def _learn(self, version_id: VersionId, outcome: WorkloadRejected | Unavailable | None) -> None:
        progress = self._progress[version_id]
        match outcome:
            case WorkloadRejected(reason=reason):
                placement = progress.placement
                self._deployment_log.say(placement.model_id, version_id, f"failed: {reason}")
                progress = reject(progress, reason)
            case Unavailable(reason=reason):
                progress = note_trouble(progress, reason, now())
            case None:
                progress = clear_trouble(progress)
        self._progress[version_id] = progress

    def _versions(self, running: dict[VersionId, list[Observed]]) -> list[VersionId]:
        prefix = version_key(self._deployer_id, VersionId(""))
        keys = (*self._mirrors.desired.entries, *(self._found or ()))
        mine = {VersionId(key.removeprefix(prefix)) for key in keys if key.startswith(prefix)}
        return sorted(mine | running.keys() | self._progress.keys())

    async def _look_at(self, version_id: VersionId, world: World) -> None:
        key = version_key(self._deployer_id, version_id)
        desired = self._mirrors.desired.entries.get(key) or self._mirrors.desired.removed.get(key)
        if desired is None:
            return  # nobody says anything about it: what runs is kept
        if isinstance(desired, Desired):
            self._last_desired[version_id] = desired
        wanted = wanted_from(desired, self._last_desired.get(version_id))
        progress = self._progress.get(version_id) or self._recall(version_id, desired, wanted, world)
        if progress is None:
            return
        decision = decide(wanted, progress, world)
        self._progress[version_id] = decision.progress
        await self._tell(version_id, decision)
        is_over = decision.progress.placement.phase is PlacementPhase.STOPPED and not world.observed
        if is_over and isinstance(desired, Removed):
            await self._let_go(version_id)
        self._act(desired, decision)

    def _world(self) -> World:
        """What all versions have in common."""
        beats = self._mirrors.heartbeats.entries.values()
        routers = Routers(
            reports=self._mirrors.routers.entries,
            live=frozenset(each.service_id for each in beats if each.service == "router"),
        )
        return World(
            now=now(),
            observed=(),
            health={each.instance_id: each for each in self._mirrors.health.entries.values()},
            routers=routers,
            may_remove=self._bus.is_connected and self._mirrors.are_whole(),
        )

    def _recall(
        self, version_id: VersionId, desired: Desired | Removed, wanted: Wanted, world: World
    ) -> Progress | None:
        """What was going on with this version, as far as can be told; None when it is gone and nothing is left."""
        placement = (self._found or {}).pop(version_key(self._deployer_id, version_id), None)
        if placement is not None:
            return resume(placement, world)
        if isinstance(desired, Desired):
            return begin(self._deployer_id, desired.model_id, version_id, wanted, world)
        if world.observed:
            return begin(self._deployer_id, world.observed[0].model_id, version_id, wanted, world)
        return None

    async def _tell(self, version_id: VersionId, decision: Decision) -> None:
        """Publish the placement when it is news, and hold routers to its revision from then on."""
        placement = decision.progress.placement
        for text in decision.said:
            log.info("deployment", version=version_id, said=text)
            self._deployment_log.say(placement.model_id, version_id, text)
        if self._is_bus_silent or _gist(placement) == self._told.get(version_id):
            return
        key = version_key(self._deployer_id, version_id)
        try:
            sent = await self._producer.publish(key, lambda revision: replace(placement, revision=revision))
        except Unavailable as error:
            log.debug("placement_put_off", version=version_id, reason=error.reason)
            self._is_bus_silent = True  # the other versions of this look do not wait for it too
            return
        self._told[version_id] = _gist(placement)
        self._progress[version_id] = published(decision.progress, sent.revision)

    async def _let_go(self, version_id: VersionId) -> None:
        """The version is removed and nothing of it is left: leave a tombstone, remember nothing."""
        try:
            await self._producer.remove(version_key(self._deployer_id, version_id))
        except Unavailable:
            return
        for memory in (self._progress, self._last_desired, self._told, self._conceded):
            memory.pop(version_id, None)

    def _act(self, desired: Desired | Removed, decision: Decision) -> None:
        starts = sum(isinstance(action, Start) for action in decision.actions)
        if starts and isinstance(desired, Desired):
            self._concede(desired)
            self._actions.start(desired, starts)
        ended = [action for action in decision.actions if isinstance(action, Forget)]
        for action in decision.actions:
            if isinstance(action, Stop):
                self._actions.stop(action)
        for action in ended:
            if self._instance_logs.is_drained(action.instance_id) or action in ended[:-MAX_ENDED]:
                self._actions.forget(action)

    def _concede(self, desired: Desired) -> None:
        """Say, once a generation, what of it the runtime will not hold."""
        if self._conceded.get(desired.version_id) != desired.generation:
            self._conceded[desired.version_id] = desired.generation
            for sentence in self._runtime.concessions(desired):
                self._deployment_log.say(desired.model_id, desired.version_id, sentence)


def _gist(placement: Placement) -> Placement:
    """The placement without what changes all the time: two with the same gist need not both be told."""
    coarse = tuple(
        replace(each, memory_bytes=each.memory_bytes - each.memory_bytes % MEMORY_STEP_BYTES)
        for each in placement.instances
    )
    return replace(placement, revision=0, instances=coarse)
