"""This file is what a deployer knows of one version: what is asked, what is seen, and what it remembers in between."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core import deadlines
from services.core.draining import Drain, Routers
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.ports import Observed
from services.core.records import (
    Desired,
    Health,
    InstancePhase,
    Placement,
    PlacementPhase,
    Removed,
    Target,
)

UNKNOWN_GENERATION = 0
DEFAULT_DRAIN_S = 65.0  # of a removed version whose settings are not known any more
MAX_EARLY_EXITS = 5  # before a generation is whole; then it is given up


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
    advanced_at: datetime  # this generation began, or one more of it became ready: the start deadline counts from here
    early_exits: int = 0  # of this generation in a row: before they were ready, or soon after
    streak: int = 0  # the same, and starts that could not even be tried: the next start waits longer for each
    last_exit_at: datetime | None = None
    trouble: str = ""  # why an instance could not even be started, for now
    announced: dict[InstanceId, int] = {}  # those that run, and the first revision of the placement that says so
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
    phases = {each.instance_id: each.phase for each in placement.instances}
    started_at = [each.started_at for each in world.observed if _still_starts(each, phases, placement)]
    exits = 0 if placement.phase is PlacementPhase.RUNNING else placement.exits
    return Progress(
        placement=placement,
        advanced_at=min((*started_at, world.now)),
        early_exits=min(exits, MAX_EARLY_EXITS - 1),
        streak=exits,
        announced={each: placement.revision for each, phase in phases.items() if phase is InstancePhase.RUNNING},
        drains={
            each: Drain(since=world.now, marked_at=placement.revision)
            for each, phase in phases.items()
            if phase is InstancePhase.DRAINING
        },
    )


def _still_starts(seen: Observed, phases: Mapping[InstanceId, InstancePhase], placement: Placement) -> bool:
    is_current = generation_of(seen.instance_id) == placement.generation
    phase = phases.get(seen.instance_id, InstancePhase.STARTING)
    return seen.is_alive and is_current and phase is InstancePhase.STARTING


def published(progress: Progress, revision: int) -> Progress:
    """`progress` once its placement is on the bus at `revision`: routers can be held to it from now on."""
    running = (each.instance_id for each in progress.placement.instances if each.phase is InstancePhase.RUNNING)
    return replace(
        progress,
        placement=replace(progress.placement, revision=revision),
        announced=dict.fromkeys(running, revision) | progress.announced,
        drains={each: drain.marked(revision) for each, drain in progress.drains.items()},
    )


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
    return Progress(placement=fresh, advanced_at=now, announced=progress.announced, drains=progress.drains)


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
