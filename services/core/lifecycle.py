"""This file is a version's life: what is decided of one, how events move it, and the status that people are shown.

Two decided phases make a version: of its build and of its deployment. What people see is derived from them and from
what is observed right now, and never stored:

    Preparing to build -> Building -> Ready to run -> Starting -> Running -> Stopped
    and Failed, Stalled (start deadline passed, still trying), Unreachable (was ready, nothing answers now)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from services.core.events import (
    BuildCancelled,
    BuildCompleted,
    BuildFailed,
    BuildStarted,
    DeploymentOrdered,
    Event,
    LabelMoved,
    LabelPromised,
    RestartFailed,
    RestartOrdered,
    Source,
    StopOrdered,
    VersionBecameReady,
    VersionFailed,
    VersionStalled,
    VersionStopped,
)
from services.core.ids import Digest, VersionId
from services.core.records import BuildPhase
from services.core.settings import Defaults


class DeploymentPhase(StrEnum):
    NONE = "none"  # not ordered to run, now or ever
    STARTING = "starting"  # ordered to run; runs once it is built
    STALLED = "stalled"
    READY = "ready"  # was wholly ready in this generation
    RESTARTING = "restarting"  # was wholly ready in an older generation, whose instances are being replaced
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


UNBUILT = (BuildPhase.PENDING, BuildPhase.BUILDING)  # a report, or a person, may still end it
SERVING = frozenset({DeploymentPhase.READY, DeploymentPhase.RESTARTING})
WANTED_TO_RUN = SERVING | {DeploymentPhase.STARTING, DeploymentPhase.STALLED}


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version of a model, with what was decided about it since."""

    id: VersionId
    number: int
    source: Source
    description: str
    logs_requests: bool
    monitoring_enabled: bool
    records_invocations: bool
    example_input: str = ""
    created_at: datetime
    created_by: str
    build: BuildPhase = BuildPhase.PENDING
    artifact: Digest | None = None
    deployment: DeploymentPhase = DeploymentPhase.NONE
    generation: int = 0  # of its instances; grows with every order to run or to restart
    defaults: Defaults = Defaults()  # that its newest generation was ordered with
    promised: tuple[str, ...] = ()  # labels that lead to it once it is ready
    ordered_at: int = 0  # the model's revision of the newest order to run; the later order wins a label
    routed_at: int = 0  # the model's revision at which it last got a label; 0: never had one
    unrouted_at: int = 0  # the model's revision at which it last lost a label; 0: never did
    reason: str = ""  # why it failed or stalled, one sentence

    @property
    def is_built(self) -> bool:
        return self.build is BuildPhase.COMPLETE

    @property
    def is_unbuilt(self) -> bool:
        return self.build in UNBUILT

    @property
    def is_wanted(self) -> bool:
        return self.deployment in WANTED_TO_RUN

    @property
    def is_serving(self) -> bool:
        """Was wholly ready and is not told to stop: labels may lead to it."""
        return self.deployment in SERVING

    @property
    def is_deployed(self) -> bool:
        """Instances of it run, or may."""
        return self.is_built and (self.is_wanted or self.deployment is DeploymentPhase.STOPPING)


Move = Callable[[Version, Any, int], Version]  # the table pairs each with its own event type


def _ordered(version: Version, event: DeploymentOrdered, revision: int) -> Version:
    return replace(
        version,
        deployment=DeploymentPhase.STARTING,
        generation=event.generation,
        ordered_at=revision,
        promised=event.promised,
        reason="" if version.build is not BuildPhase.FAILED else version.reason,
    )


def _stop_ordered(version: Version, event: StopOrdered, revision: int) -> Version:
    unstarted = DeploymentPhase.NONE if not version.is_built else DeploymentPhase.STOPPING
    return replace(version, deployment=unstarted, promised=())


def _became_ready(version: Version, event: VersionBecameReady, revision: int) -> Version:
    return replace(version, deployment=DeploymentPhase.READY, promised=(), reason="")


def _restart_ordered(version: Version, event: RestartOrdered, revision: int) -> Version:
    phase = DeploymentPhase.RESTARTING if version.is_serving else DeploymentPhase.STARTING
    return replace(version, deployment=phase, generation=event.generation, reason="")


def _restart_failed(version: Version, event: RestartFailed, revision: int) -> Version:
    return replace(version, deployment=DeploymentPhase.READY, reason=event.reason)


def _stalled(version: Version, event: VersionStalled, revision: int) -> Version:
    return replace(version, deployment=DeploymentPhase.STALLED, reason=event.reason)


def _failed(version: Version, event: VersionFailed, revision: int) -> Version:
    return replace(version, deployment=DeploymentPhase.FAILED, promised=(), reason=event.reason)


def _stopped(version: Version, event: VersionStopped, revision: int) -> Version:
    return replace(version, deployment=DeploymentPhase.STOPPED)


_AT_REST = (DeploymentPhase.NONE, DeploymentPhase.STOPPING, DeploymentPhase.STOPPED, DeploymentPhase.FAILED)

DEPLOYMENT_MOVES: dict[tuple[DeploymentPhase, type[Event]], Move] = {
    **{(phase, DeploymentOrdered): _ordered for phase in _AT_REST},
    **{(phase, StopOrdered): _stop_ordered for phase in WANTED_TO_RUN},
    **{(phase, RestartOrdered): _restart_ordered for phase in WANTED_TO_RUN},
    (DeploymentPhase.RESTARTING, VersionBecameReady): _became_ready,
    (DeploymentPhase.RESTARTING, RestartFailed): _restart_failed,
    (DeploymentPhase.STARTING, VersionBecameReady): _became_ready,
    (DeploymentPhase.STALLED, VersionBecameReady): _became_ready,
    (DeploymentPhase.STARTING, VersionStalled): _stalled,
    (DeploymentPhase.STARTING, VersionFailed): _failed,
    (DeploymentPhase.STALLED, VersionFailed): _failed,
    (DeploymentPhase.STOPPING, VersionStopped): _stopped,
}


def _build_started(version: Version, event: BuildStarted, revision: int) -> Version:
    return replace(version, build=BuildPhase.BUILDING)


def _build_completed(version: Version, event: BuildCompleted, revision: int) -> Version:
    return replace(version, build=BuildPhase.COMPLETE, artifact=event.artifact)


def _build_failed(version: Version, event: BuildFailed | BuildCancelled, revision: int) -> Version:
    return replace(version, build=BuildPhase.FAILED, deployment=DeploymentPhase.NONE, promised=(), reason=event.reason)


BUILD_MOVES: dict[tuple[BuildPhase, type[Event]], Move] = {
    (BuildPhase.PENDING, BuildStarted): _build_started,
    **{(phase, BuildCompleted): _build_completed for phase in UNBUILT},
    **{(phase, BuildFailed): _build_failed for phase in UNBUILT},
    **{(phase, BuildCancelled): _build_failed for phase in UNBUILT},
}


def evolve_version(version: Version, event: Event, revision: int) -> Version:
    """Fold `event`, which has the model's `revision`, into `version`. What does not apply gives back the same object.

    An event of an older generation does not apply. Raises nothing.
    """
    generation = getattr(event, "generation", version.generation)
    if not isinstance(event, DeploymentOrdered | RestartOrdered) and generation != version.generation:
        return version
    move = BUILD_MOVES.get((version.build, type(event))) or DEPLOYMENT_MOVES.get((version.deployment, type(event)))
    return version if move is None else move(version, event, revision)


def promise(version: Version, event: LabelPromised) -> Version:
    """`version` when `event.label` is promised to one version, and to no other."""
    others = tuple(label for label in version.promised if label != event.label)
    return replace(version, promised=(*others, event.label) if event.version_id == version.id else others)


def relabel(version: Version, event: LabelMoved, revision: int) -> Version:
    """`version` with the mark that routers have to pass before it has traffic, or before it may be drained."""
    if event.version_id == version.id:
        promised = tuple(label for label in version.promised if label != event.label)
        return replace(version, routed_at=revision, promised=promised)
    return replace(version, unrouted_at=revision) if event.previous == version.id else version


class Status(StrEnum):
    """The exact strings of the wire contract."""

    PREPARING = "Preparing to build"
    BUILDING = "Building"
    READY_TO_RUN = "Ready to run"
    STARTING = "Starting"
    RUNNING = "Running"
    STALLED = "Stalled"
    UNREACHABLE = "Unreachable"
    FAILED = "Failed"
    STOPPED = "Stopped"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is observed of one version now. `is_reported` is False while its deployer or the bus is silent."""

    ready: int = 0
    is_reported: bool = True
    exits: int = 0  # instances of this generation that were lost
    last_exit: str = ""  # why the last of them was
    route_in_effect: int | None = None  # the revision of its model's route that every live router has passed


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    status: Status
    is_pending: bool


_BUILD_SHOWN = {
    BuildPhase.PENDING: Shown(status=Status.PREPARING, is_pending=True),
    BuildPhase.BUILDING: Shown(status=Status.BUILDING, is_pending=True),
    BuildPhase.FAILED: Shown(status=Status.FAILED, is_pending=False),
}
_DEPLOYMENT_SHOWN = {
    DeploymentPhase.NONE: Shown(status=Status.READY_TO_RUN, is_pending=False),
    DeploymentPhase.STARTING: Shown(status=Status.STARTING, is_pending=True),
    DeploymentPhase.STALLED: Shown(status=Status.STALLED, is_pending=True),
    DeploymentPhase.STOPPING: Shown(status=Status.STOPPED, is_pending=True),
    DeploymentPhase.STOPPED: Shown(status=Status.STOPPED, is_pending=False),
    DeploymentPhase.FAILED: Shown(status=Status.FAILED, is_pending=False),
}


def shown(version: Version, seen: Seen, *, wanted_instances: int) -> Shown:
    """The status of `version` and whether it still moves. "Stopping" is `Stopped` and pending.

    A version that was ready is `Unreachable` while nothing of it is, or while nobody reports on it; it is `Running` and
    pending while some of its instances are missing or replaced, or while a live router does not yet send calls to it.
    """
    if not version.is_built:
        return _BUILD_SHOWN[version.build]
    if not version.is_serving:
        return _DEPLOYMENT_SHOWN[version.deployment]
    if seen.ready == 0 or not seen.is_reported:
        return Shown(status=Status.UNREACHABLE, is_pending=True)
    is_routed = seen.route_in_effect is None or seen.route_in_effect >= version.routed_at
    moves = version.deployment is DeploymentPhase.RESTARTING or seen.ready < wanted_instances or not is_routed
    return Shown(status=Status.RUNNING, is_pending=moves)
