"""This file is publishing a directory: from files on this machine to a version that answers calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelway.environments import ensure_environment
from modelway.errors import NotFound, TemporaryFailure
from modelway.files import ProjectFile, read_directory
from modelway.following import Followed, await_route, endpoint_of, follow_build, follow_up
from modelway.models import (
    create_model,
    create_version,
    default_token,
    find_model,
    list_versions,
)
from modelway.patience import Patience
from modelway.plan import Plan, completed
from modelway.progress import (
    FilesRead,
    FileUploaded,
    OnProgress,
    PlatformAwaited,
    VersionPublished,
    ignore,
)
from modelway.projects import commit, ensure_project, upload
from modelway.quotas import Quotas
from modelway.records import Environment, Json, Model, Status, Version
from modelway.settings import change_settings, read_settings, with_variables
from modelway.transport import SERVING, Transport

_COMING = {Status.PREPARING, Status.BUILDING, Status.READY_TO_RUN, Status.STARTING}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A version that runs, or is built if that was all, and where it is called. `token` None: it needs none."""

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
    """Publish and follow until the version runs and takes traffic, or until it is built where that is all.

    The platform must be there at first; when it goes away later, everything is tried again until `timeout_s`
    is over. Doing it again after an interruption uploads only what lacks, and follows the very same version
    if that is still on its way. Raises VersionFailed with the reason and the end of the log that tells more.
    """
    plan = completed(plan)
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
    if plan.deploys:
        version = follow_up(followed)
        await_route(followed)
    else:
        version = follow_build(followed)
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
        model = create_model(transport, _model_body(transport, plan, content))
        version = _first_version(transport, model)
    else:
        _ensure_settings(transport, plan, model)
        earlier = list_versions(transport, model.id)
        found = next((each for each in earlier[:1] if _is_on_its_way(each, plan, content)), None)
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


def _is_on_its_way(version: Version, plan: Plan, content: _Content) -> bool:
    """True when this publish was begun before and interrupted: another version would be the same again."""
    environment = content.environment
    has_environment = environment is None or environment.revision_id == version.environment_revision_id
    wanted = (content.project_id, content.commit_id, plan.file, plan.function, plan.description or "")
    has = (version.project_id, version.commit_id, version.file, version.function, version.description)
    has_language = plan.language in (None, version.language)
    is_coming = version.is_pending and version.status in _COMING
    return is_coming and has_environment and has_language and wanted == has


def _add_version(
    transport: Transport, plan: Plan, content: _Content, model: Model, earlier: Sequence[Version]
) -> Version:
    newest = max((version.number for version in earlier), default=0)
    return create_version(transport, model.id, _version_body(plan, content), newer_than=newest)


def _ensure_settings(transport: Transport, plan: Plan, model: Model) -> None:
    """Changes only what differs: some settings restart what runs. The values of variables cannot be compared."""
    wanted = _settings(transport, plan)
    if not wanted and plan.variables is None:
        return
    has = read_settings(transport, model.id)
    changes = {name: value for name, value in wanted.items() if has.values.get(name) != value}
    if plan.variables is not None:
        changes |= with_variables(has, plan.variables)
    if changes:
        change_settings(transport, model.id, changes)


def _settings(transport: Transport, plan: Plan) -> dict[str, Json]:
    """The settings that the plan names, but for the variables."""
    named = {
        "replicas": plan.instances,
        "memoryBytes": plan.memory_bytes,
        "workerCount": plan.workers,
        "recycleAfterCalls": plan.recycle_after_calls,
        "preload": plan.preload,
        "requestTimeoutSeconds": plan.request_timeout_s,
        "routingMode": plan.routing_mode,
        "resourceQuotaId": None if plan.quota is None else Quotas(transport).find(plan.quota).id,
    }
    return {name: value for name, value in named.items() if value is not None}


def _model_body(transport: Transport, plan: Plan, content: _Content) -> Json:
    return {
        "name": plan.name,
        "description": plan.description or "",
        "environmentId": content.environment.id if content.environment else "",
        "environmentVariables": [{"key": key, "value": value} for key, value in (plan.variables or {}).items()],
        "isAsync": False,
        "strictNodeAntiAffinity": False,
        **_settings(transport, plan),
        "version": _version_body(plan, replace(content, environment=None)),
    }


def _version_body(plan: Plan, content: _Content) -> Json:
    said = {} if plan.language is None else {"language": plan.language}
    body = {
        "projectId": content.project_id,
        "commitId": content.commit_id,
        "source": {"type": "File", "file": plan.file, "function": plan.function, "excludeFiles": [], **said},
        "logHttpRequestResponse": False,
        "monitoringEnabled": False,
        "shouldDeploy": plan.deploys,
        "description": plan.description or "",
    }
    if plan.example is not None:
        body["exampleInput"] = plan.example
    return body if content.environment is None else {**body, "environmentId": content.environment.id}
