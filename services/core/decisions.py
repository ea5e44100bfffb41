"""This file is what a command on a Model API brings about.

core/promotion decides who answers its labels, core/tuning what a change of settings does, core/takeover in which order,
core/sharing who may reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from services.core import promotion, sharing, tokens, tuning
from services.core import settings as bounds
from services.core.commands import (
    ArchiveModel,
    CancelBuild,
    ChangeSettings,
    CompleteCanary,
    CreateAccessToken,
    CreateModel,
    DemoteVersion,
    DescribeModel,
    ModelCommand,
    PromoteVersion,
    PublishVersion,
    RecordBuild,
    RecordFailed,
    RecordReady,
    RecordRollout,
    RecordStalled,
    RecordStopped,
    RegenerateAccessToken,
    RemoveCollaborator,
    RestartVersion,
    RestoreModel,
    RevokeAccessToken,
    RollBack,
    ScaleInstances,
    SetCanary,
    SetCollaborator,
    SetRestriction,
    SetVisibility,
    ShowAccessToken,
    StartVersion,
    StopVersion,
    TransferOwnership,
    WithdrawCanary,
)
from services.core.errors import NotFound, Refused
from services.core.events import (
    BuildCancelled,
    BuildCompleted,
    BuildFailed,
    BuildStarted,
    DefaultsPickedUp,
    DeploymentOrdered,
    Event,
    InstancesSet,
    ModelArchived,
    ModelCreated,
    ModelDescribed,
    ModelRestored,
    RestartFailed,
    RolloutMeasured,
    VersionFailed,
    VersionPublished,
    VersionStalled,
    VersionStopped,
    VisibilitySet,
)
from services.core.lifecycle import DeploymentPhase, Version, evolve_version
from services.core.model import LATEST, PROD, Model
from services.core.promotion import order, pick_up, refuse_archived
from services.core.records import BuildPhase
from services.core.settings import Defaults
from services.core.takeover import end_canaries_of, stop, stop_all


def decide(model: Model | None, command: ModelCommand) -> tuple[Event, ...]:
    """The events that `command` brings about, in order; none when it is already so or came too late.

    Raises NotFound, Refused or Invalid, each with one sentence for the person who asked.
    """
    if isinstance(command, CreateModel):
        return () if model is not None else _created(command)
    if model is None:
        raise NotFound("there is no such model")
    return _DECISIONS[type(command)](model, command)


def _created(command: CreateModel) -> tuple[Event, ...]:
    created = ModelCreated(
        name=command.name,
        description=command.description,
        owner_id=command.owner_id,
        project_id=command.project_id,
        environment_id=command.environment_id,
        settings=bounds.check(command.settings, command.defaults),
        is_restricted=command.is_restricted,
    )
    picked_up = () if command.defaults == Defaults() else (DefaultsPickedUp(defaults=command.defaults),)
    public = (VisibilitySet(is_public=True),) if command.is_public else ()
    return (created, *picked_up, *public)


def _describe(model: Model, command: DescribeModel) -> tuple[Event, ...]:
    refuse_archived(model)
    events: list[Event] = []
    described = ModelDescribed(
        name=command.name, description=command.description, environment_id=command.environment_id
    )
    if (model.name, model.description, model.environment_id) != (
        command.name,
        command.description,
        command.environment_id,
    ):
        events.append(described)
    if command.instances != model.settings.instances:
        bounds.check(replace(model.settings, instances=command.instances), command.defaults)
        events.append(InstancesSet(instances=command.instances))
    return tuple(events)


def _archive(model: Model, command: ArchiveModel) -> tuple[Event, ...]:
    if model.is_archived:
        return ()
    reason = "the model was archived"
    cancelled = (event for version in model.versions for event in _cancel_events(version, f"not built: {reason}"))
    return (*stop_all(model, reason), *cancelled, ModelArchived())


def _restore(model: Model, command: RestoreModel) -> tuple[Event, ...]:
    """Nothing runs yet: what should is started by hand."""
    return (ModelRestored(),) if model.is_archived else ()


def _publish(model: Model, command: PublishVersion) -> tuple[Event, ...]:
    refuse_archived(model)
    if any(version.id == command.version_id for version in model.versions):
        return ()
    bounds.check_memory(model.settings, command.source.written_in)
    bounds.check_effect(model.settings, command.source.written_in)
    published = VersionPublished(
        version_id=command.version_id,
        number=len(model.versions) + 1,
        source=command.source,
        description=command.description,
        logs_requests=command.logs_requests,
        monitoring_enabled=command.monitoring_enabled,
        records_invocations=command.records_invocations,
        example_input=command.example_input,
    )
    if not command.should_deploy:
        return (published,)
    ordered = DeploymentOrdered(version_id=command.version_id, generation=1)
    return (published, *pick_up(model, command.defaults), ordered)


def _start(model: Model, command: StartVersion) -> tuple[Event, ...]:
    refuse_archived(model)
    version = model.version(command.version_id)
    return () if version.is_wanted else order(model, version, _due(model, version), command.defaults)


def _due(model: Model, version: Version) -> tuple[str, ...]:
    """The labels that a version gets by being started: in basic mode `latest`; in advanced mode what it had when it was
    stopped, and `latest` if it is the newest. One that gets none is there to be promoted.
    """
    if PROD not in model.known_labels:
        return (LATEST,)
    had = tuple(
        label for label in model.known_labels if label not in model.labels and model.previous.get(label) == version.id
    )
    serving = model.labels.get(LATEST)
    is_newest = serving is None or model.version(serving).number < version.number
    return tuple(sorted({*had, LATEST})) if is_newest and PROD not in had else had


def _stop(model: Model, command: StopVersion) -> tuple[Event, ...]:
    return stop(model, model.version(command.version_id), "asked for")


def _cancel_build(model: Model, command: CancelBuild) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    if version.is_built:
        raise Refused(f"version {version.number} is built already: there is no build to cancel")
    cancelled = _cancel_events(version, f"the build was cancelled by {command.by}")
    return (*cancelled, *(_failed_canaries(model, version) if cancelled else ()))


def _cancel_events(version: Version, reason: str) -> tuple[Event, ...]:
    return (BuildCancelled(version_id=version.id, reason=reason),) if version.is_unbuilt else ()


def _failed_canaries(model: Model, version: Version) -> tuple[Event, ...]:
    return end_canaries_of(model, version, f"version {version.number} failed")


def _record_build(model: Model, command: RecordBuild) -> tuple[Event, ...]:
    report = command.report
    version = model.version(report.version_id)
    if not version.is_unbuilt:
        return ()
    match report.phase:
        case BuildPhase.COMPLETE if report.artifact is not None:
            return (BuildCompleted(version_id=version.id, artifact=report.artifact, build_s=report.build_s),)
        case BuildPhase.FAILED:
            return (
                BuildFailed(version_id=version.id, reason=report.reason),
                *_failed_canaries(model, version),
            )
        case BuildPhase.BUILDING if version.build is BuildPhase.PENDING:
            return (BuildStarted(version_id=version.id, attempt=report.attempt),)
        case _:
            return ()


def _record_stalled(model: Model, command: RecordStalled) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    if version.deployment is DeploymentPhase.RESTARTING:
        return _restart_failed(model, version, command)
    event = VersionStalled(version_id=version.id, generation=command.generation, reason=command.reason)
    return _if_it_applies(model, version, event)


def _record_failed(model: Model, command: RecordFailed) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    if version.deployment is DeploymentPhase.RESTARTING:
        return _restart_failed(model, version, command)
    event = VersionFailed(version_id=version.id, generation=command.generation, reason=command.reason)
    failed = _if_it_applies(model, version, event)
    return (*failed, *(_failed_canaries(model, version) if failed else ()))


def _restart_failed(model: Model, version: Version, command: RecordStalled | RecordFailed) -> tuple[Event, ...]:
    """What runs with the old settings serves on."""
    event = RestartFailed(version_id=version.id, generation=command.generation, reason=command.reason)
    return _if_it_applies(model, version, event)


def _record_stopped(model: Model, command: RecordStopped) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    return _if_it_applies(model, version, VersionStopped(version_id=version.id, generation=command.generation))


def _if_it_applies(model: Model, version: Version, event: Event) -> tuple[Event, ...]:
    return () if evolve_version(version, event, model.revision) is version else (event,)


def _record_rollout(model: Model, command: RecordRollout) -> tuple[Event, ...]:
    rollout = command.rollout
    known = {version.id for version in model.versions}
    is_known = any(each.id == rollout.id for each in model.rollouts)
    return () if is_known or rollout.version_id not in known else (RolloutMeasured(rollout=rollout),)


_DECISIONS: dict[type, Callable[[Model, Any], tuple[Event, ...]]] = {
    DescribeModel: _describe,
    ChangeSettings: tuning.change_settings,
    ScaleInstances: tuning.scale,
    ArchiveModel: _archive,
    RestoreModel: _restore,
    SetVisibility: sharing.set_visibility,
    SetRestriction: sharing.set_restriction,
    SetCollaborator: sharing.set_collaborator,
    RemoveCollaborator: sharing.remove_collaborator,
    TransferOwnership: sharing.transfer,
    PublishVersion: _publish,
    StartVersion: _start,
    StopVersion: _stop,
    RestartVersion: tuning.restart,
    PromoteVersion: promotion.promote,
    DemoteVersion: promotion.demote,
    RollBack: promotion.roll_back,
    SetCanary: promotion.set_canary,
    CompleteCanary: promotion.complete_canary,
    WithdrawCanary: promotion.withdraw_canary,
    RecordRollout: _record_rollout,
    CancelBuild: _cancel_build,
    RecordBuild: _record_build,
    RecordReady: promotion.record_ready,
    RecordStalled: _record_stalled,
    RecordFailed: _record_failed,
    RecordStopped: _record_stopped,
    CreateAccessToken: tokens.create,
    RegenerateAccessToken: tokens.regenerate,
    RevokeAccessToken: tokens.revoke,
    ShowAccessToken: tokens.show,
}
