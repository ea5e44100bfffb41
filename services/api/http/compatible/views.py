"""This file is how models, versions and files look to the programs that know the older routes."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET, UnsetType, field

from services.api.http.shapes import (
    CommitId,
    Created,
    Id,
    Milliseconds,
    ModelId,
    Number,
    PersonId,
    ProjectId,
    Sha256,
    UserName,
    VersionId,
    says,
)
from services.api.http.views import LogLine, ModelApi, See, milliseconds, status
from services.api.http.views.versions import IsPending, ShownStatus
from services.api.http.views.wire import ONE_DATA_PLANE, Answer, DataPlaneId
from services.core import project as projects
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.person import Person
from services.core.quota import Quota
from services.core.records import BuildPhase, FileEntry

_BUILD = {
    BuildPhase.PENDING: "preparing",
    BuildPhase.BUILDING: "building",
    BuildPhase.COMPLETE: "complete",
    BuildPhase.FAILED: "failed",
}

BLOB_KEY = re.compile(r"(?P<commit>[0-9a-f]{24})(?P<digest>[0-9a-f]{16})")

ModelName = Annotated[str, says("the model's name")]
Logs = Annotated[list[LogLine] | UnsetType, says("lines of the log, oldest first; told where logs are asked for")]


class OwnerView(Answer, frozen=True, kw_only=True):
    """Who owns a model."""

    id: PersonId
    name: UserName
    full_name: Annotated[str, says("the person's full name, or else the user name")]


class ManagedModel(Answer, frozen=True, kw_only=True):
    """A model as operators' scripts list it. Without a version, all that is said of its active one is null."""

    id: ModelId
    name: ModelName
    description: Annotated[str, says("what its owner wrote about it")]
    active_model_version_id: Annotated[VersionId | None, says("the version that latest leads to, or led to last")]
    active_version_number: Annotated[int | None, says("its number")]
    active_version_status: Annotated[str | None, says("its status, as in Running")]
    active_version_data_plane_id: Annotated[DataPlaneId | None, says("where it runs: local")]
    last_modified: Annotated[Milliseconds, says("when the model was changed last, epoch milliseconds")]
    project_id: ProjectId
    project_name: Annotated[str, says("the project's name")]
    project_owner_username: UserName
    owners: Annotated[list[OwnerView], says("who owns the model")]
    is_async: Annotated[bool, says("false: calls are answered while the caller waits")]


class Creator(Answer, frozen=True, kw_only=True):
    """Who published a version."""

    name: UserName


class DeploymentStatus(Answer, frozen=True, kw_only=True):
    """What a version does."""

    name: ShownStatus
    is_pending: IsPending


class ManagedVersion(Answer, frozen=True, kw_only=True):
    """A version as operators' scripts read it."""

    id: VersionId
    number: Number
    model_id: ModelId
    project_id: ProjectId
    commit_id: CommitId
    file: Annotated[str, says("the path of the file that holds its function")]
    function: Annotated[str, says("the name of the function")]
    summary: Annotated[str, says("what its publisher wrote about it")]
    created: Created
    creator: Annotated[Creator, says("who published it")]
    deployment_status: Annotated[DeploymentStatus, says("what it does right now")]


class ManagedVersions(Answer, frozen=True, kw_only=True):
    """One page of a model's versions."""

    results: Annotated[list[ManagedVersion], says("newest first; empty past the end")]


class ManagedVersionResult(Answer, frozen=True, kw_only=True):
    """One version, wrapped as scripts expect it."""

    result: Annotated[ManagedVersion, says("the version")]


class Deployed(Answer, frozen=True, kw_only=True):
    """What a version does."""

    model_id: ModelId
    model_version_id: VersionId
    status: ShownStatus
    is_pending: IsPending
    logs: Logs = UNSET


class Built(Answer, frozen=True, kw_only=True):
    """How far the build of a version is."""

    model_id: ModelId
    model_version_id: VersionId
    status: Annotated[str, says("how far it is", among=tuple(_BUILD.values()))]
    logs: Logs = UNSET


class File(Answer, frozen=True, kw_only=True):
    """A file of a commit."""

    path: Annotated[str, says("its path in the project, with forward slashes")]
    key: Annotated[str, says("opens its content; another one in each commit: 40 characters", pattern="^[0-9a-f]{40}$")]
    sha256: Annotated[Sha256, says("the SHA-256 of its content: 64 lower-case hexadecimal characters")]
    size: Annotated[int, says("size, bytes")]
    last_modified: Annotated[Milliseconds, says("when the commit was made, epoch milliseconds")]
    commit_id: Annotated[CommitId | UnsetType, says("the commit that it is in; told where a file is uploaded")] = UNSET


class Files(Answer, frozen=True, kw_only=True):
    """The files in a folder of a commit, and in those below it."""

    object_type: Annotated[str, says("always list")] = "list"
    data: Annotated[list[File], says("the files, by path")]


class PublishedModel(ModelApi, frozen=True, kw_only=True):
    """A Model API that was just published, with the id under both its names."""

    mongo_id: ModelId = field(name="_id")


class Published(Answer, frozen=True, kw_only=True):
    """What publishing a Model API gives."""

    data: Annotated[PublishedModel, says("the Model API")]


class PublishedVersion(Answer, frozen=True, kw_only=True):
    """A version that was just published."""

    id: VersionId
    number: Number


class Tier(Answer, frozen=True, kw_only=True):
    """A size of an instance, as older clients read it."""

    id: Annotated[Id, says("the resource quota: 24 lower-case hexadecimal characters")]
    name: Annotated[str, says("the quota's name")]
    is_default: Annotated[bool, says("whether a new model takes it that names none")]
    cores: Annotated[float, says("processors set aside for an instance, cores")]
    cores_limit: Annotated[float, says("processors an instance may use, cores; 0: no limit")]
    memory_gib: Annotated[float, says("memory set aside for an instance, GiB")] = field(name="memoryInGiB")
    memory_limit_gib: Annotated[float, says("memory an instance may use, GiB")] = field(name="memoryLimitInGiB")


class HardwareTier(Answer, frozen=True, kw_only=True):
    """A resource quota, which is what a hardware tier is here."""

    hardware_tier: Annotated[Tier, says("the resource quota")]


def managed_model(state: Model, project: projects.Project, owner: Person, see: See) -> ManagedModel:
    active = state.active
    return ManagedModel(
        id=state.id,
        name=state.name,
        description=state.description,
        active_model_version_id=None if active is None else active.id,
        active_version_number=None if active is None else active.number,
        active_version_status=None if active is None else status(state, active, see(active)).status,
        active_version_data_plane_id=None if active is None else ONE_DATA_PLANE,
        last_modified=milliseconds(state.changed_at),
        project_id=project.id,
        project_name=project.name,
        project_owner_username=project.owner_name,
        owners=[OwnerView(id=owner.id, name=owner.user_name, full_name=owner.full_name or owner.user_name)],
        is_async=False,
    )


def managed_version(state: Model, each: Version, see: See) -> ManagedVersion:
    now = status(state, each, see(each))
    return ManagedVersion(
        id=each.id,
        number=each.number,
        model_id=state.id,
        project_id=each.source.project_id,
        commit_id=each.source.commit_id,
        file=each.source.file,
        function=each.source.function,
        summary=each.description,
        created=milliseconds(each.created_at),
        creator=Creator(name=each.created_by),
        deployment_status=DeploymentStatus(name=now.status, is_pending=now.is_pending),
    )


def deployed(state: Model, each: Version, see: See, *, logs: Logs = UNSET) -> Deployed:
    now = status(state, each, see(each))
    return Deployed(
        model_id=state.id, model_version_id=each.id, status=now.status, is_pending=now.is_pending, logs=logs
    )


def built(state: Model, each: Version, *, logs: Logs = UNSET) -> Built:
    return Built(model_id=state.id, model_version_id=each.id, status=_BUILD[each.build], logs=logs)


def file(entry: FileEntry, snapshot: projects.Snapshot, *, commit_id: str | UnsetType = UNSET) -> File:
    """A file of a commit."""
    return File(
        path=entry.path,
        key=blob_key(snapshot.commit_id, entry.digest),
        sha256=entry.digest,
        size=entry.size_bytes,
        last_modified=milliseconds(snapshot.committed_at),
        commit_id=commit_id,
    )


def blob_key(commit_id: str, digest: str) -> str:
    """What opens a file of a commit, in the 40 characters that clients insist on.

    Enough of the digest to tell the files of one commit apart; the commit says whose they are.
    """
    return commit_id + digest[:16]


def hardware_tier(state: Quota) -> HardwareTier:
    """A resource quota, which is what a hardware tier is here."""
    return HardwareTier(
        hardware_tier=Tier(
            id=state.id,
            name=state.name,
            is_default=state.is_default,
            cores=state.cpu_requested,
            cores_limit=state.cpu_limit,
            memory_gib=state.memory_requested_bytes / 1024**3,
            memory_limit_gib=state.memory_limit_bytes / 1024**3,
        )
    )
