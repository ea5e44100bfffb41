"""This file is what a command on a Model API brings about.

Basic routing: `latest` goes to the version that was ordered to run last among those that have become wholly ready; the
versions ordered before it are then stopped. So a version that fails to build or to start never touches the one that
serves, and a late, repeated or reordered observation cannot move a label backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from services.core import settings as bounds
from services.core.commands import (
    ArchiveModel,
    CancelBuild,
    CreateAccessToken,
    CreateModel,
    DescribeModel,
    ModelCommand,
    PublishVersion,
    RecordBuild,
    RecordFailed,
    RecordReady,
    RecordStalled,
    RecordStopped,
    RegenerateAccessToken,
    RevokeAccessToken,
    ShowAccessToken,
    StartVersion,
    StopVersion,
)
from services.core.errors import NotFound, Refused
from services.core.events import (
    AccessTokenCreated,
    AccessTokenRegenerated,
    AccessTokenRevoked,
    AccessTokenShown,
    BuildCancelled,
    BuildCompleted,
    BuildFailed,
    BuildStarted,
    DeploymentOrdered,
    Event,
    InstancesSet,
    LabelMoved,
    ModelArchived,
    ModelCreated,
    ModelDescribed,
    StopOrdered,
    VersionBecameReady,
    VersionFailed,
    VersionPublished,
    VersionStalled,
    VersionStopped,
)
from services.core.lifecycle import Version, evolve_version
from services.core.model import LATEST, Model
from services.core.records import BuildPhase


def decide(model: Model | None, command: ModelCommand) -> tuple[Event, ...]:
    """The events that `command` brings about, in order; none when it is already so or came too late.

    Raises NotFound, Refused or Invalid, each with one sentence for the person who asked.
    """
    if isinstance(command, CreateModel):
        return () if model is not None else (_created(command),)
    if model is None:
        raise NotFound("there is no such model")
    return _DECISIONS[type(command)](model, command)


def _created(command: CreateModel) -> Event:
    return ModelCreated(
        name=command.name,
        description=command.description,
        owner_id=command.owner_id,
        project_id=command.project_id,
        environment_id=command.environment_id,
        settings=bounds.check(command.settings),
        is_restricted=command.is_restricted,
    )


def _refuse_archived(model: Model) -> None:
    if model.is_archived:
        raise Refused(f"model {model.name!r} is archived")


def _describe(model: Model, command: DescribeModel) -> tuple[Event, ...]:
    _refuse_archived(model)
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
        bounds.check(replace(model.settings, instances=command.instances))
        events.append(InstancesSet(instances=command.instances))
    return tuple(events)


def _archive(model: Model, command: ArchiveModel) -> tuple[Event, ...]:
    if model.is_archived:
        return ()
    reason = "the model was archived"
    ends = [
        event
        for version in model.versions
        for event in (*_stop_events(model, version, reason), *_cancel_events(version, f"not built: {reason}"))
    ]
    return (*ends, ModelArchived())


def _publish(model: Model, command: PublishVersion) -> tuple[Event, ...]:
    _refuse_archived(model)
    if any(version.id == command.version_id for version in model.versions):
        return ()
    published = VersionPublished(
        version_id=command.version_id,
        number=len(model.versions) + 1,
        source=command.source,
        description=command.description,
        logs_requests=command.logs_requests,
        monitoring_enabled=command.monitoring_enabled,
        records_invocations=command.records_invocations,
    )
    if not command.should_deploy:
        return (published,)
    return (published, DeploymentOrdered(version_id=command.version_id, generation=1))


def _start(model: Model, command: StartVersion) -> tuple[Event, ...]:
    _refuse_archived(model)
    version = model.version(command.version_id)
    if version.build is BuildPhase.FAILED:
        raise Refused(f"version {version.number} cannot start: its build failed: {version.reason}")
    if version.is_wanted:
        return ()
    return (DeploymentOrdered(version_id=version.id, generation=version.generation + 1),)


def _stop(model: Model, command: StopVersion) -> tuple[Event, ...]:
    return _stop_events(model, model.version(command.version_id), "asked for")


def _stop_events(model: Model, version: Version, reason: str) -> tuple[Event, ...]:
    """Routed out first, then stopped: the order that no request may notice."""
    if not version.is_wanted:
        return ()
    unlabel = (
        LabelMoved(label=label, version_id=None, previous=version.id)
        for label, labelled in sorted(model.labels.items())
        if labelled == version.id
    )
    return (*unlabel, StopOrdered(version_id=version.id, reason=reason))


def _cancel_build(model: Model, command: CancelBuild) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    if version.is_built:
        raise Refused(f"version {version.number} is built already: there is no build to cancel")
    return _cancel_events(version, f"the build was cancelled by {command.by}")


def _cancel_events(version: Version, reason: str) -> tuple[Event, ...]:
    return (BuildCancelled(version_id=version.id, reason=reason),) if version.is_unbuilt else ()


def _record_build(model: Model, command: RecordBuild) -> tuple[Event, ...]:
    report = command.report
    version = model.version(report.version_id)
    if not version.is_unbuilt:
        return ()
    match report.phase:
        case BuildPhase.COMPLETE if report.artifact is not None:
            return (BuildCompleted(version_id=version.id, artifact=report.artifact, build_s=report.build_s),)
        case BuildPhase.FAILED:
            return (BuildFailed(version_id=version.id, reason=report.reason),)
        case BuildPhase.BUILDING if version.build is BuildPhase.PENDING:
            return (BuildStarted(version_id=version.id, attempt=report.attempt),)
        case _:
            return ()


def _record_ready(model: Model, command: RecordReady) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    ready = VersionBecameReady(version_id=version.id, generation=command.generation)
    if evolve_version(version, ready, model.revision) is version:
        return ()
    serving = model.labels.get(LATEST)
    if serving is not None and model.version(serving).ordered_at > version.ordered_at:
        return (ready, StopOrdered(version_id=version.id, reason="a version ordered later already serves"))
    switch = LabelMoved(label=LATEST, version_id=version.id, previous=serving)
    superseded = (
        StopOrdered(version_id=other.id, reason=f"version {version.number} took over")
        for other in model.versions
        if other.is_wanted and other.ordered_at < version.ordered_at
    )
    return (ready, switch, *superseded)


def _record_stalled(model: Model, command: RecordStalled) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    event = VersionStalled(version_id=version.id, generation=command.generation, reason=command.reason)
    return _if_it_applies(model, version, event)


def _record_failed(model: Model, command: RecordFailed) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    event = VersionFailed(version_id=version.id, generation=command.generation, reason=command.reason)
    return _if_it_applies(model, version, event)


def _record_stopped(model: Model, command: RecordStopped) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    return _if_it_applies(model, version, VersionStopped(version_id=version.id, generation=command.generation))


def _if_it_applies(model: Model, version: Version, event: Event) -> tuple[Event, ...]:
    return () if evolve_version(version, event, model.revision) is version else (event,)


def _create_token(model: Model, command: CreateAccessToken) -> tuple[Event, ...]:
    _refuse_archived(model)
    if any(token.id == command.token_id for token in model.tokens):
        return ()
    if any(token.name == command.name for token in model.tokens):
        raise Refused(f"model {model.name!r} already has an access token named {command.name!r}")
    return (AccessTokenCreated(token_id=command.token_id, name=command.name, token_hash=command.token_hash),)


def _regenerate_token(model: Model, command: RegenerateAccessToken) -> tuple[Event, ...]:
    token = model.token(command.token_id)
    return (AccessTokenRegenerated(token_id=token.id, token_hash=command.token_hash),)


def _revoke_token(model: Model, command: RevokeAccessToken) -> tuple[Event, ...]:
    return (AccessTokenRevoked(token_id=model.token(command.token_id).id),)


def _show_token(model: Model, command: ShowAccessToken) -> tuple[Event, ...]:
    return (AccessTokenShown(token_id=model.token(command.token_id).id),)


_DECISIONS: dict[type, Callable[[Model, Any], tuple[Event, ...]]] = {
    DescribeModel: _describe,
    ArchiveModel: _archive,
    PublishVersion: _publish,
    StartVersion: _start,
    StopVersion: _stop,
    CancelBuild: _cancel_build,
    RecordBuild: _record_build,
    RecordReady: _record_ready,
    RecordStalled: _record_stalled,
    RecordFailed: _record_failed,
    RecordStopped: _record_stopped,
    CreateAccessToken: _create_token,
    RegenerateAccessToken: _regenerate_token,
    RevokeAccessToken: _revoke_token,
    ShowAccessToken: _show_token,
}
