"""This file folds what is observed of a version's instances into what its deployer knows, and counts their ends."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from services.core.ports import Observed
from services.core.progress import Progress, World, generation_of
from services.core.records import Instance, InstancePhase

STEADY_S = 60.0  # an instance that was ready and lived this long was no part of a crash loop
UNKNOWN_EXIT = "ended for an unknown reason"


def notice(progress: Progress, world: World) -> tuple[Progress, list[str]]:
    """Fold what is observed into the placement's instances, count the ends that are news, and tell what happened.

    An ended instance stays in the placement as EXITED until it is forgotten, so that no end is counted twice.
    """
    known = {each.instance_id: each for each in progress.placement.instances}
    said: list[str] = []
    instances: list[Instance] = []
    for seen in world.observed:
        before = known.pop(seen.instance_id, None)
        instance = _look_at(seen, before, progress, world, said)
        phase_before = InstancePhase.STARTING if before is None else before.phase
        if instance.phase is not phase_before:
            progress = _advance(progress, instance, phase_before, seen.was_stopped, world.now, said)
        instances.append(instance)
    for vanished in known.values():
        if vanished.phase is not InstancePhase.EXITED:
            progress = _count(progress, vanished, vanished.phase, False, world.now, said)
    alive = {each.instance_id for each in world.observed if each.is_alive}
    in_order = tuple(sorted(instances, key=lambda each: (each.started_at, each.instance_id)))
    return replace(
        progress,
        placement=replace(progress.placement, instances=in_order),
        announced={each: revision for each, revision in progress.announced.items() if each in alive},
        drains={each: drain for each, drain in progress.drains.items() if each in alive},
        condemned={each: reason for each, reason in progress.condemned.items() if each in alive},
    ), said


def _look_at(seen: Observed, before: Instance | None, progress: Progress, world: World, said: list[str]) -> Instance:
    phase, reason = InstancePhase.STARTING if before is None else before.phase, ""
    if not seen.is_alive:
        condemned = progress.condemned.get(seen.instance_id)
        reason = condemned.reason if condemned is not None else seen.exit_reason or UNKNOWN_EXIT
        reason = before.exit_reason if before is not None and before.exit_reason else reason
        phase = InstancePhase.EXITED
    elif seen.instance_id in progress.drains:
        phase = InstancePhase.DRAINING
    else:
        if before is None:
            said.append(f"instance {seen.instance_id} started")
        verdict = world.health.get(seen.instance_id)
        if phase is not InstancePhase.RUNNING and verdict is not None and verdict.is_ready:
            phase = InstancePhase.RUNNING
            took_s = max(0.0, (world.now - seen.started_at).total_seconds())
            said.append(f"instance {seen.instance_id} is ready after {took_s:.1f} s")
    return Instance(
        instance_id=seen.instance_id,
        phase=phase,
        addresses=seen.addresses,
        started_at=seen.started_at,
        keeps_connections=seen.keeps_connections,
        memory_bytes=seen.memory_bytes,
        exit_reason=reason,
    )


def _advance(
    progress: Progress, instance: Instance, before: InstancePhase, was_stopped: bool, now: datetime, said: list[str]
) -> Progress:
    """`progress` once `instance` has come from the phase `before` to the one it has."""
    match instance.phase:
        case InstancePhase.EXITED:
            return _count(progress, instance, before, was_stopped, now, said)
        case InstancePhase.RUNNING if generation_of(instance.instance_id) == progress.placement.generation:
            return replace(progress, advanced_at=now)
        case _:
            return progress


def _count(
    progress: Progress, ended: Instance, before: InstancePhase, was_stopped: bool, now: datetime, said: list[str]
) -> Progress:
    """Count the end of an instance; one that was asked for, or of an older generation, is told and not counted."""
    reason = ended.exit_reason or UNKNOWN_EXIT
    placement = progress.placement
    is_asked_for = was_stopped and ended.instance_id not in progress.condemned
    if is_asked_for or ended.instance_id in progress.drains:
        said.append(f"instance {ended.instance_id} stopped")
        return progress
    said.append(f"instance {ended.instance_id} exited: {reason}")
    if generation_of(ended.instance_id) != placement.generation:
        return progress
    is_early = before is InstancePhase.STARTING or now - ended.started_at <= timedelta(seconds=STEADY_S)
    return replace(
        progress,
        placement=replace(placement, exits=placement.exits + 1, last_exit=reason),
        early_exits=progress.early_exits + 1 if is_early else 0,
        streak=progress.streak + 1 if is_early else 1,
        last_exit_at=now,
    )
