"""This file joins what is observed of a model's versions and concludes what should be recorded.

Observations come in any order, late and repeated; the join waits until it is complete, and an observation of another
generation says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.core.commands import ModelCommand, RecordFailed, RecordReady, RecordStalled, RecordStopped
from services.core.ids import InstanceId, VersionId
from services.core.lifecycle import DeploymentPhase, Seen, Version
from services.core.model import Model
from services.core.progress import generation_of
from services.core.records import Health, InstancePhase, Placement, PlacementPhase, RouterReport

_SERVING = (InstancePhase.STARTING, InstancePhase.RUNNING)


def ready_instances(placement: Placement, health: Mapping[InstanceId, Health], *, generation: int | None = None) -> int:
    """How many instances, of this generation or of any, are up and healthy now."""
    return sum(
        1
        for instance in placement.instances
        if instance.phase in _SERVING
        and generation in (None, generation_of(instance.instance_id))
        and (verdict := health.get(instance.instance_id)) is not None
        and verdict.is_ready
    )


def seen(
    version: Version,
    placement: Placement | None,
    health: Mapping[InstanceId, Health],
    live_routers: Iterable[RouterReport],
    *,
    is_fresh: bool,
) -> Seen:
    """What is observed of `version`; `is_fresh` is False while its deployer's heartbeat is missing.

    While a version serves, every instance that does counts; those of an older generation do until they are replaced.
    """
    if placement is None or (placement.generation != version.generation and not version.is_serving):
        return Seen(is_reported=is_fresh)
    in_effect = (report.routes.get(placement.model_id, 0) for report in live_routers)
    return Seen(
        ready=ready_instances(placement, health, generation=None if version.is_serving else placement.generation),
        is_reported=is_fresh,
        exits=placement.exits,
        last_exit=placement.last_exit,
        route_in_effect=min(in_effect, default=None),
    )


def conclude(
    model: Model, placements: Mapping[VersionId, Placement], health: Mapping[InstanceId, Health]
) -> tuple[ModelCommand, ...]:
    """The commands that record what is now certain about the versions of `model`; most often none."""
    commands = (
        _of_version(version, placement, health, wanted_instances=model.instances)
        for version in model.versions
        if (placement := placements.get(version.id)) is not None and placement.generation == version.generation
    )
    return tuple(command for command in commands if command is not None)


def _of_version(
    version: Version, placement: Placement, health: Mapping[InstanceId, Health], *, wanted_instances: int
) -> ModelCommand | None:
    starts = version.deployment in (DeploymentPhase.STARTING, DeploymentPhase.STALLED, DeploymentPhase.RESTARTING)
    key, generation = version.id, version.generation
    if starts and placement.phase is PlacementPhase.FAILED:
        return RecordFailed(version_id=key, generation=generation, reason=placement.reason)
    if starts and ready_instances(placement, health, generation=generation) >= wanted_instances:
        return RecordReady(version_id=key, generation=generation)
    if starts and version.deployment is not DeploymentPhase.STALLED and placement.phase is PlacementPhase.STALLED:
        return RecordStalled(version_id=key, generation=generation, reason=placement.reason)
    if version.deployment is DeploymentPhase.STOPPING and placement.phase is PlacementPhase.STOPPED:
        return RecordStopped(version_id=key, generation=generation)
    return None
