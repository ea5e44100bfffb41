"""This file shows api instances that nobody runs: placements and verdicts, as a deployer and the monitor put them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.histories import model_of
from services.core.ids import InstanceId
from services.core.records import Health, Instance, InstancePhase, Placement, PlacementPhase
from services.core.subjects import Bucket, version_key
from services.kit.bus import Bus
from services.kit.clock import now
from tests.makers import version_id

DEPLOYER = "local"


class Observed:
    """What is shown of the one version of each model."""

    def __init__(self, bus: Bus, *, instances: int) -> None:
        self._placements = bus.bucket(Bucket.PLACEMENTS, Placement)
        self._health = bus.bucket(Bucket.HEALTH, Health)
        self._instances = instances

    async def show_running(self, number: int, *, generation: int = 1) -> None:
        """All instances of model `number` run and are ready."""
        await self._placements.put(version_key(DEPLOYER, version_id(number)), self._placement(number, generation))
        for verdict in self._verdicts(number, generation):
            await self._health.put(verdict.instance_id, verdict)

    def _placement(self, number: int, generation: int) -> Placement:
        return Placement(
            revision=1,
            deployer_id=DEPLOYER,
            model_id=model_of(number),
            version_id=version_id(number),
            generation=generation,
            desired_revision=1,
            phase=PlacementPhase.RUNNING,
            instances=tuple(
                Instance(
                    instance_id=each,
                    phase=InstancePhase.RUNNING,
                    addresses=(f"/run/{each}/w0.sock",),
                    started_at=now(),
                )
                for each in self._ids(number, generation)
            ),
        )

    def _verdicts(self, number: int, generation: int) -> Iterator[Health]:
        for each in self._ids(number, generation):
            yield Health(revision=1, instance_id=each, version_id=version_id(number), is_ready=True, failures=0)

    def _ids(self, number: int, generation: int) -> list[InstanceId]:
        return [InstanceId(f"{number:08x}-{generation}-{each}") for each in range(self._instances)]
