"""This file is publishing a directory: from files on this machine to a version that answers calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelway.environments import ensure_environment
from modelway.errors import NotFound, Rejected, TemporaryFailure
from modelway.files import ProjectFile, read_directory
from modelway.following import Followed, await_route, endpoint_of, follow_up
from modelway.models import (
    create_model,
    create_version,
    default_token,
    find_model,
    list_versions,
    update_model,
)
from modelway.patience import Patience
from modelway.progress import (
    FilesRead,
    FileUploaded,
    OnProgress,
    PlatformAwaited,
    VersionPublished,
    ignore,
)
from modelway.projects import commit, ensure_project, upload
from modelway.records import Environment, Json, Model, Status, Version
from modelway.transport import SERVING, Transport

_COMING = {Status.PREPARING, Status.BUILDING, Status.READY_TO_RUN, Status.STARTING}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to publish. `None` keeps what the model API has, or takes the platform's default for a new one."""

    directory: Path
    name: str
    file: str
    function: str
    requirements: str | None = None  # the text of a requirements file
    instances: int | None = None
    memory_bytes: int | None = None
    description: str | None = None
    project: str | None = None  # by default the directory's name


@dataclass(frozen=True, kw_only=True)
class Published:
    """A version that runs, and where to call it. `token` is None when the model API needs none."""

    model: Model
    version: Version
    endpoint: str
    token: str | None


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What a version is made of, as the platform knows it."""

    project_id: str
    commit_id: str
    environment: Environment | None  # None: the one that the model API has


def publish(transport: Transport, plan: Plan, *, timeout_s: float, on_progress: OnProgress = ignore) -> Published:
    """Publish and follow until the version runs and takes traffic.

    The platform must be there at first; when it goes away later, everything is tried again until `timeout_s`
    is over. Doing it again after an interruption uploads only what lacks, and follows the very same version
    if that is still on its way. Raises VersionFailed with the reason and the end of the log that tells more.
    """
    files = read_directory(plan.directory)
    on_progress(FilesRead(files=len(files), size_bytes=sum(file.size_bytes for file in files)))
    owner = transport.get(f"{SERVING}/whoami", lambda answer: str(answer["userName"]))

    def on_wait(failure: TemporaryFailure) -> None:
        on_progress(PlatformAwaited(reason=failure.reason))

    patient = transport.patient(Patience(timeout_s, on_wait))
    content = _bring(patient, plan, owner, files, on_progress)
    model, version = _ensure_version(patient, plan, content, on_progress)
    followed = Followed(
        transport=patient, model=model, version_id=version.id, on_progress=on_progress, tells_build=True
    )
    version = follow_up(followed)
    await_route(followed)
    return Published(
        model=model,
        version=version,
        endpoint=endpoint_of(patient, model),
        token=default_token(patient, model),
    )


def _bring(
    transport: Transport, plan: Plan, owner: str, files: Sequence[ProjectFile], on_progress: OnProgress
) -> _Content:
    def on_upload(done: int, total: int, size_bytes: int, total_bytes: int) -> None:
        on_progress(FileUploaded(files=done, files_total=total, size_bytes=size_bytes, size_bytes_total=total_bytes))

    project_id = ensure_project(transport, plan.project or plan.directory.resolve().name, owner=owner)
    upload(transport, project_id, files, on_upload)
    commit_id = commit(transport, project_id, files)
    environment = None
    if plan.requirements is not None or find_model(transport, plan.name, project_id=project_id) is None:
        environment = ensure_environment(transport, plan.name, plan.requirements or "")
    return _Content(project_id=project_id, commit_id=commit_id, environment=environment)


def _ensure_version(
    transport: Transport, plan: Plan, content: _Content, on_progress: OnProgress
) -> tuple[Model, Version]:
    """The model API and the version to follow: made now, or one that was on its way already."""
    model = find_model(transport, plan.name, project_id=content.project_id)
    found = None
    if model is None:
        model = create_model(transport, _model_body(plan, content))
        version = _first_version(transport, model)
    else:
        earlier = list_versions(transport, model.id)
        found = next((each for each in earlier[:1] if _is_on_its_way(each, plan, content, model)), None)
        version = found or _add_version(transport, plan, content, model, earlier)
    on_progress(VersionPublished(model_name=model.name, number=version.number, is_found=found is not None))
    return model, version


def _first_version(transport: Transport, model: Model) -> Version:
    if model.active is not None:
        return model.active
    versions = list_versions(transport, model.id)
    if not versions:
        raise NotFound(f"{model.name} was created without a version.")
    return versions[-1]


def _add_version(
    transport: Transport, plan: Plan, content: _Content, model: Model, earlier: Sequence[Version]
) -> Version:
    if _changes_settings(plan, model):
        changed = update_model(transport, model.id, _settings_body(plan, model))
        if _changes_settings(plan, changed):
            text = f"The platform keeps {model.name} at {changed.replicas} instances of {changed.memory_bytes} bytes"
            raise Rejected(f"{text}: publish without other instances or memory, or under another name.")
    newest = max((version.number for version in earlier), default=0)
    return create_version(transport, model.id, _version_body(plan, content), newer_than=newest)


def _is_on_its_way(version: Version, plan: Plan, content: _Content, model: Model) -> bool:
    """True when this publish was begun before and interrupted: another version would be the same again."""
    environment = content.environment
    has_environment = environment is None or environment.revision_id == version.environment_revision_id
    wanted = (content.project_id, content.commit_id, plan.file, plan.function, plan.description or "")
    has = (version.project_id, version.commit_id, version.file, version.function, version.description)
    is_coming = version.is_pending and version.status in _COMING
    return is_coming and has_environment and wanted == has and not _changes_settings(plan, model)


def _changes_settings(plan: Plan, model: Model) -> bool:
    has = {"replicas": model.replicas, "memoryBytes": model.memory_bytes}
    return any(has[name] != value for name, value in _settings(plan).items())


def _settings(plan: Plan) -> Json:
    """The settings that the plan names."""
    named = {"replicas": plan.instances, "memoryBytes": plan.memory_bytes}
    return {name: value for name, value in named.items() if value is not None}


def _settings_body(plan: Plan, model: Model) -> Json:
    return {
        "name": model.name,
        "description": model.description,
        "environmentId": model.environment_id,
        "replicas": model.replicas,
        **_settings(plan),
    }


def _model_body(plan: Plan, content: _Content) -> Json:
    return {
        "name": plan.name,
        "description": plan.description or "",
        "environmentId": content.environment.id if content.environment else "",
        "environmentVariables": [],
        "isAsync": False,
        "strictNodeAntiAffinity": False,
        **_settings(plan),
        "version": _version_body(plan, replace(content, environment=None)),
    }


def _version_body(plan: Plan, content: _Content) -> Json:
    body = {
        "projectId": content.project_id,
        "commitId": content.commit_id,
        "source": {"type": "File", "file": plan.file, "function": plan.function, "excludeFiles": []},
        "logHttpRequestResponse": False,
        "monitoringEnabled": False,
        "shouldDeploy": True,
        "description": plan.description or "",
    }
    return body if content.environment is None else {**body, "environmentId": content.environment.id}
