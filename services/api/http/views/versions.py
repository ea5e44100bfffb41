"""This file is how a version looks on the wire, and what is observed of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from services.api.http.shapes import (
    CommitId,
    Created,
    CreatedBy,
    EnvironmentId,
    Id,
    ModelId,
    Number,
    ProjectId,
    VersionId,
    says,
)
from services.api.http.views.wire import ONE_DATA_PLANE, Answer, DataPlaneId, milliseconds
from services.core.lifecycle import Seen, Shown, Status, Version, shown
from services.core.model import Model

See = Callable[[Version], Seen]

ShownStatus = Annotated[Status, says("what people are shown of it; at rest Stopped, Failed or Ready to run")]
IsPending = Annotated[bool, says("whether it is still on its way to another status")]


class Instances(Answer, frozen=True, kw_only=True):
    """How many instances of a version there are."""

    wanted: Annotated[int, says("instances that are to run")]
    ready: Annotated[int, says("instances that take calls")]


class Deployment(Answer, frozen=True, kw_only=True):
    """What a version does right now."""

    status: ShownStatus
    is_pending: IsPending
    reason: Annotated[str, says("why it failed, stalled or lacks an instance, one sentence; empty: all is well")]
    instances: Annotated[Instances, says("how many run")]
    lost_instances: Annotated[int, says("instances that ended although they should run, since the last start")]
    last_exit: Annotated[str, says("how the last of those ended; empty: none did")]


class SourceView(Answer, frozen=True, kw_only=True):
    """What a version calls."""

    type: Annotated[str, says("File: a function in a file of the project")]
    file: Annotated[str, says("the path of the file in the project")]
    function: Annotated[str, says("the name of the function")]
    language: Annotated[str, says("what the file is written in", among=("python", "r"))]
    exclude_files: Annotated[list[str], says("patterns of files that were left out, as in a .gitignore file")]


class VersionMetadata(Answer, frozen=True, kw_only=True):
    """Who made a version, and when."""

    created: Created
    created_by: CreatedBy
    summary: Annotated[str, says("the version's description")]


class ModelApiVersion(Answer, frozen=True, kw_only=True):
    """One immutable version of a Model API."""

    id: VersionId
    number: Number
    model_api_id: ModelId
    project_id: ProjectId
    commit_id: CommitId
    environment_id: EnvironmentId
    environment_revision_id: Annotated[Id, says("the revision of the compute environment that it was built in")]
    data_plane_id: DataPlaneId
    source: Annotated[SourceView, says("what it calls")]
    labels: Annotated[list[str], says("labels whose calls it answers: latest, prod, or both")]
    description: Annotated[str, says("what its publisher wrote about it")]
    example_input: Annotated[Any, says("a whole request body that it answers; null: none was given")]
    log_http_request_response: Annotated[bool, says("as it was asked for when it was published")]
    monitoring_enabled: Annotated[bool, says("as it was asked for when it was published")]
    record_invocation: Annotated[bool, says("as it was asked for when it was published")]
    metadata: Annotated[VersionMetadata, says("who made it, and when")]
    reason: Annotated[str, says("why it failed or stalled, one sentence; empty: it did not")]
    deployment: Annotated[Deployment, says("what it does right now")]


def version(state: Model, each: Version, see: See) -> ModelApiVersion:
    source = each.source
    return ModelApiVersion(
        id=each.id,
        number=each.number,
        model_api_id=state.id,
        project_id=source.project_id,
        commit_id=source.commit_id,
        environment_id=source.environment_id,
        environment_revision_id=source.environment_revision_id,
        data_plane_id=ONE_DATA_PLANE,
        source=SourceView(
            type="File",
            file=source.file,
            function=source.function,
            language=source.written_in,
            exclude_files=list(source.exclude_files),
        ),
        labels=sorted(label for label, labelled in state.labels.items() if labelled == each.id),
        description=each.description,
        example_input=msgspec.Raw(each.example_input.encode()) if each.example_input else None,
        log_http_request_response=each.logs_requests,
        monitoring_enabled=each.monitoring_enabled,
        record_invocation=each.records_invocations,
        metadata=VersionMetadata(
            created=milliseconds(each.created_at), created_by=each.created_by, summary=each.description
        ),
        reason=each.reason,
        deployment=deployment(state, each, see(each)),
    )


def status(state: Model, each: Version, seen: Seen) -> Shown:
    return shown(each, seen, wanted_instances=state.instances)


def deployment(state: Model, each: Version, seen: Seen) -> Deployment:
    now = status(state, each, seen)
    wanted = state.instances if each.is_wanted else 0
    return Deployment(
        status=now.status,
        is_pending=now.is_pending,
        reason=each.reason or _loss(now, wanted, seen),
        instances=Instances(wanted=wanted, ready=seen.ready),
        lost_instances=seen.exits,
        last_exit=seen.last_exit,
    )


def _loss(now: Shown, wanted: int, seen: Seen) -> str:
    """Why a version that should be whole is not, as far as its instances said."""
    is_lacking = now.is_pending and seen.ready < wanted
    return f"an instance was lost: {seen.last_exit}" if is_lacking and seen.last_exit else ""
