"""This file is what a deployer knows of one version: what is asked, what is seen, and what it remembers in between."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from services.core import deadlines
from services.core.draining import Drain, Routers
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.ports import Observed
from services.core.records import (
    Desired,
    Health,
    Instance,
    InstancePhase,
    Placement,
    PlacementPhase,
    Removed,
    Target,
)

UNKNOWN_GENERATION = 0
DEFAULT_DRAIN_S = 65.0  # of a removed version whose settings are not known any more
STEADY_S = 60.0  # an instance that lived this long was no part of a crash loop
UNKNOWN_EXIT = "ended for an unknown reason"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What `Desired` or its tombstone asks for."""

    instances: int  # 0: none is to be left
    generation: int
    desired_revision: int
    memory_bytes: int  # 0: no bound is known
    start_deadline_s: float
    drain_s: float
    routed_out_at: int


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen now. `observed` holds the instances of this version only.

    Absence never means stop: `may_remove` is False while the bus, or a part of what it tells, is away.
    """

    now: datetime
    observed: tuple[Observed, ...]
    health: Mapping[InstanceId, Health]
    routers: Routers
    may_remove: bool


class Condemned(msgspec.Struct, frozen=True):
    """An instance is to be ended and replaced: counted like one that exited for this reason."""

    reason: str
    grace_s: float


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployer remembers between two looks. All but `placement` may be lost at any time."""

    placement: Placement
    began_at: datetime  # of this generation: the start deadline counts from here
    streak: int = 0  # exits in a row that came too early
    last_exit_at: datetime | None = None
    trouble: str = ""  # why an instance could not even be started, for now
    held_since: datetime | None = None  # waiting for routers before anything is drained
    drains: dict[InstanceId, Drain] = {}
    condemned: dict[InstanceId, Condemned] = {}


def wanted_from(desired: Desired | Removed, last: Desired | None = None) -> Wanted:
    """What is asked for; `last` is what was desired before a tombstone came, where that is known."""
    known = desired if isinstance(desired, Desired) else last
    is_running = isinstance(desired, Desired) and desired.target is Target.RUNNING
    return Wanted(
        instances=known.instances if known is not None and is_running else 0,
        generation=UNKNOWN_GENERATION if known is None else known.generation,
        desired_revision=desired.revision,
        memory_bytes=0 if known is None else known.memory_bytes,
        start_deadline_s=0.0 if known is None else known.start_deadline_s,
        drain_s=DEFAULT_DRAIN_S if known is None else deadlines.derive(known.request_timeout_s).drain_s,
        routed_out_at=desired.routed_out_at if isinstance(desired, Desired) else 0,
    )


def begin(deployer_id: str, model_id: AggregateId, version_id: VersionId, wanted: Wanted, world: World) -> Progress:
    """The progress of a version of which no placement is known: what runs already is found by the next `decide`."""
    placement = Placement(
        revision=0,
        deployer_id=deployer_id,
        model_id=model_id,
        version_id=version_id,
        generation=wanted.generation,
        desired_revision=wanted.desired_revision,
        phase=PlacementPhase.STARTING if wanted.instances else PlacementPhase.STOPPING,
    )
    return resume(placement, world)


def resume(placement: Placement, world: World) -> Progress:
    """The progress of a deployer that comes back to its own `placement`: clocks start anew, counts go on."""
    draining = [each.instance_id for each in placement.instances if each.phase is InstancePhase.DRAINING]
    starts = [each.started_at for each in world.observed if each.is_alive]
    return Progress(
        placement=placement,
        began_at=min((*starts, world.now)),
        streak=0 if placement.phase is PlacementPhase.RUNNING else placement.exits,
        drains={each: Drain(since=world.now, marked_at=placement.revision) for each in draining},
    )


def published(progress: Progress, revision: int) -> Progress:
    """`progress` once its placement is on the bus at `revision`: routers can be held to it from now on."""
    drains = {each: drain.marked(revision) for each, drain in progress.drains.items()}
    return replace(progress, placement=replace(progress.placement, revision=revision), drains=drains)


def reject(progress: Progress, reason: str) -> Progress:
    """`progress` once the runtime has said that this workload can never run: given up, for this generation."""
    return replace(progress, placement=replace(progress.placement, phase=PlacementPhase.FAILED, reason=reason))


def note_trouble(progress: Progress, reason: str, now: datetime) -> Progress:
    """`progress` once a start was tried and something was away: tried again with back-off, not counted as an exit."""
    return replace(progress, trouble=reason, streak=progress.streak + 1, last_exit_at=now)


def clear_trouble(progress: Progress) -> Progress:
    return replace(progress, trouble="")


def renew(progress: Progress, wanted: Wanted, now: datetime) -> Progress:
    """A new generation begins with clean counts; what runs of the old one is kept until it is replaced.

    So does one that is stopped before it was ever seen to start: who ordered it waits to hear that it is stopped.
    """
    placement = replace(progress.placement, desired_revision=wanted.desired_revision)
    if wanted.generation in (UNKNOWN_GENERATION, placement.generation):
        return replace(progress, placement=placement)
    phase = PlacementPhase.STARTING if wanted.instances else PlacementPhase.STOPPING
    fresh = replace(placement, generation=wanted.generation, phase=phase, reason="", exits=0, last_exit="")
    return Progress(placement=fresh, began_at=now, drains=progress.drains)


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
        if instance.phase is InstancePhase.EXITED and (before is None or before.phase is not InstancePhase.EXITED):
            progress = _count(progress, instance, seen.was_stopped, world.now, said)
        instances.append(instance)
    for vanished in known.values():
        if vanished.phase is not InstancePhase.EXITED:
            progress = _count(progress, vanished, False, world.now, said)
    alive = {each.instance_id for each in world.observed if each.is_alive}
    in_order = tuple(sorted(instances, key=lambda each: (each.started_at, each.instance_id)))
    return replace(
        progress,
        placement=replace(progress.placement, instances=in_order),
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
        memory_bytes=seen.memory_bytes,
        exit_reason=reason,
    )


def _count(progress: Progress, ended: Instance, was_stopped: bool, now: datetime, said: list[str]) -> Progress:
    """Count the end of an instance; one that was asked for, or of an older generation, is told and not counted."""
    reason = ended.exit_reason or UNKNOWN_EXIT
    placement = progress.placement
    is_asked_for = was_stopped and ended.instance_id not in progress.condemned
    is_old = generation_of(ended.instance_id) != placement.generation
    if is_asked_for or is_old or ended.instance_id in progress.drains:
        said.append(f"instance {ended.instance_id} stopped")
        return progress
    said.append(f"instance {ended.instance_id} exited: {reason}")
    was_steady = now - ended.started_at > timedelta(seconds=STEADY_S)
    return replace(
        progress,
        placement=replace(placement, exits=placement.exits + 1, last_exit=reason),
        streak=1 if was_steady else progress.streak + 1,
        last_exit_at=now,
    )


def generation_of(instance_id: InstanceId) -> int:
    """The generation in an instance's id; 0 when it has none.

    >>> generation_of(InstanceId("1f2e3d4c-7-x8Kq2m9P"))
    7
    """
    parts = instance_id.split("-")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0


def new_instance_id(version_id: VersionId, generation: int, token: str) -> InstanceId:
    """The id of a new instance; `token` is random. Short, since it is a part of a socket's path."""
    return InstanceId(f"{version_id[-8:]}-{generation}-{token}")
