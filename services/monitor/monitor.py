"""This file is the monitor: it watches every instance that a placement names, and publishes what it holds of it.

It starts and stops nothing. What was held before a restart is held until it has been probed anew: nothing flaps.
"""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import structlog

from services.core.errors import Unavailable
from services.core.health import Verdict
from services.core.ids import InstanceId, VersionId
from services.core.records import Desired, Health, HealthCheck, Instance, InstancePhase, Placement
from services.kit.bucket import KeyValue
from services.kit.mirror import Mirror
from services.kit.process import Stop
from services.kit.producer import Producer
from services.kit.wake import Wake
from services.monitor.watch import Watch, held_from

log = structlog.get_logger()

LOOK_EVERY_S = 2.0
SWEEP_EVERY_S = 2.0
_PROBED = frozenset({InstancePhase.STARTING, InstancePhase.RUNNING})


class Mirrors(msgspec.Struct, frozen=True, kw_only=True):
    """What the bus tells, as far as it is known here."""

    desired: Mirror[Desired]
    placements: Mirror[Placement]


class Monitor:
    """One task an instance. `wake` is rung by the mirrors."""

    def __init__(self, *, mirrors: Mirrors, health: KeyValue[Health], wake: Wake, probes_at_once: int = 64) -> None:
        self._mirrors = mirrors
        self._health = health
        self._producer = Producer(health)
        self._wake = wake
        self._turns = asyncio.Semaphore(probes_at_once)
        self._held: dict[InstanceId, Health] | None = None  # published by us, or by an earlier monitor
        self._watches: dict[InstanceId, asyncio.Task[None]] = {}
        self._ending: list[asyncio.Task[None]] = []

    async def run(self, stop: Stop) -> None:
        """Watch what placements name, until `stop`."""
        try:
            while not stop.is_set:
                try:
                    await self._look()
                except Unavailable as error:
                    log.warning("look_put_off", reason=error.reason)
                    await stop.wait_for(error.retry_after_s)
                await self._wake.wait_or(stop, LOOK_EVERY_S)
        finally:
            for task in (*self._watches.values(), *self._ending):
                task.cancel()

    async def sweep(self, stop: Stop) -> None:
        """Put verdicts that the bucket has lost, or that could not be put when they were made."""
        while not await stop.wait_for(SWEEP_EVERY_S):
            try:
                await self._producer.sweep()
            except Unavailable as error:
                log.debug("sweep_put_off", reason=error.reason)

    async def _look(self) -> None:
        if not self._mirrors.desired.has_listed:
            return  # how to probe is not known yet
        if self._held is None:
            listed = await self._health.list()
            self._held = {each.instance_id: each for each in listed.values() if isinstance(each, Health)}
        probed: set[InstanceId] = set()
        for key, placement in self._mirrors.placements.entries.items():
            for instance in placement.instances:
                if instance.phase in _PROBED:
                    probed.add(instance.instance_id)
                    self._watch(key, placement.version_id, instance, self._held.get(instance.instance_id))
        self._ending += [self._watches.pop(instance_id) for instance_id in self._watches.keys() - probed]
        self._ending = [task for task in self._ending if not task.done()]
        for task in self._ending:
            task.cancel()  # at every look: a reply that comes at this very moment swallows it (asyncio before 3.12)
        for instance_id in self._gone(self._held):
            await self._producer.remove(instance_id)
            self._producer.drop(instance_id)
            del self._held[instance_id]

    def _watch(self, key: str, version_id: VersionId, instance: Instance, held: Health | None) -> None:
        task = self._watches.get(instance.instance_id)
        if task is not None:
            if task.done():
                task.result()  # an error nobody foresaw ends the process, visibly
            return
        watch = Watch(
            instance,
            held_from(held, instance.phase),
            check=partial(self._check, key),
            turns=self._turns,
            say=partial(self._say, instance.instance_id, version_id),
        )
        self._watches[instance.instance_id] = asyncio.create_task(watch.run())

    def _check(self, key: str) -> HealthCheck:
        desired = self._mirrors.desired.entries.get(key)
        return HealthCheck() if desired is None else desired.health_check

    async def _say(self, instance_id: InstanceId, version_id: VersionId, verdict: Verdict) -> None:
        def health(revision: int) -> Health:
            return Health(
                revision=revision,
                instance_id=instance_id,
                version_id=version_id,
                is_ready=verdict.is_ready,
                failures=verdict.failures,
                is_unrecoverable=verdict.is_unrecoverable,
                reason=verdict.reason,
            )

        if self._held is not None:
            self._held[instance_id] = health(0)
        try:
            await self._producer.publish(instance_id, health)
        except Unavailable as error:  # the sweep puts it
            log.debug("health_put_off", instance=instance_id, reason=error.reason)

    def _gone(self, held: dict[InstanceId, Health]) -> list[InstanceId]:
        """Instances that their version's placement does not name any more. A missing placement says nothing."""
        named: dict[VersionId, set[InstanceId]] = {}
        for placement in self._mirrors.placements.entries.values():
            alive = (each.instance_id for each in placement.instances if each.phase is not InstancePhase.EXITED)
            named.setdefault(placement.version_id, set()).update(alive)
        for key in self._mirrors.placements.removed:
            named.setdefault(VersionId(key.rpartition(".")[2]), set())
        return [each for each, health in held.items() if each not in named.get(health.version_id, {each})]
