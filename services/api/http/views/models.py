"""This file is how a Model API looks on the wire."""

from __future__ import annotations

from typing import Annotated

from services.api.http.shapes import (
    Created,
    CreatedBy,
    EnvironmentId,
    Id,
    Milliseconds,
    ModelId,
    Number,
    ProjectId,
    VersionId,
    says,
)
from services.api.http.views.settings import (
    HealthCheckView,
    ScalingView,
    VolumeView,
    health_check,
    scaling,
    volume,
)
from services.api.http.views.settings_fields import MemoryBytes, QuotaId, RepeatableCalls, Replicas, StartDeadline
from services.api.http.views.versions import Deployment, See, deployment
from services.api.http.views.wire import ONE_DATA_PLANE, Answer, DataPlaneId, milliseconds
from services.core import events
from services.core.model import LATEST, AccessToken, Model

Label = Annotated[str, says("latest, or prod")]
Share = Annotated[float, says("percent of the label's calls that it answers", low=0, high=100)]


class Token(Answer, frozen=True, kw_only=True):
    """An access token of a restricted model, without its secret."""

    id: Annotated[Id, says("the access token: 24 lower-case hexadecimal characters")]
    name: Annotated[str, says("the token's name")]
    created: Created
    created_by: CreatedBy
    last_generated: Annotated[Milliseconds, says("when its secret was drawn, epoch milliseconds")]
    last_generated_by: Annotated[str, says("the user name of who had its secret drawn")]


class Access(Answer, frozen=True, kw_only=True):
    """Who finds a model, and what opens it."""

    is_public: Annotated[bool, says("whether anyone with an account can find and view the model")]
    is_restricted: Annotated[bool, says("whether a call needs an access token")]
    access_tokens: Annotated[
        list[Token], says("the tokens that open it while it is restricted; none for who may not see tokens")
    ]


class CollaboratorView(Answer, frozen=True, kw_only=True):
    """Somebody with a role in a model."""

    collaborator: Annotated[Id, says("the person or organisation: 24 lower-case hexadecimal characters")]
    role: Annotated[events.ModelRole, says("what they may do")]
    kind: Annotated[events.CollaboratorKind, says("an organisation: each of its members has the role")]
    name: Annotated[
        str | None,
        says("the user name, or the organisation's name, from when they were invited; null in a model: its owner's"),
    ]
    is_owner: Annotated[bool, says("whether this is the one person who owns the model")]


class ModelMetadata(Answer, frozen=True, kw_only=True):
    """Who made a model, and when it was changed last."""

    created: Created
    created_by: CreatedBy
    last_modified: Annotated[Milliseconds, says("when it was changed last, epoch milliseconds")]


class ActiveVersion(Answer, frozen=True, kw_only=True):
    """The version that latest leads to, else the last one it led to, else the newest."""

    id: VersionId
    number: Number
    data_plane_id: DataPlaneId
    deployment: Annotated[Deployment, says("what it does right now")]


class CanaryOfLabel(Answer, frozen=True, kw_only=True):
    """A version that is tried on a share of a label's calls."""

    label: Label
    version_id: VersionId
    share: Share


class ModelApi(Answer, frozen=True, kw_only=True):
    """A Model API: a function behind an address, with its versions."""

    id: ModelId
    name: Annotated[str, says("the model's name")]
    description: Annotated[str, says("what its owner wrote about it")]
    project_id: ProjectId
    owner_id: Annotated[Id, says("the person who owns it: 24 lower-case hexadecimal characters")]
    is_archived: Annotated[bool, says("whether it is archived: nothing of it runs")]
    is_async: Annotated[bool, says("false: calls are answered while the caller waits")]
    environment_id: EnvironmentId
    hardware_tier_id: Annotated[None, says("always null: see resourceQuotaId")]
    resource_quota_id: QuotaId
    replicas: Replicas
    scaling: Annotated[ScalingView | None, says("null: replicas is fixed")]
    worker_count: Annotated[int, says("worker processes of an instance: the calls it works on at once")]
    memory_bytes: MemoryBytes
    routing_mode: Annotated[
        str, says("Basic: the route latest; Advanced: also labels/prod", among=("Basic", "Advanced"))
    ]
    repeatable_calls: RepeatableCalls
    strict_node_anti_affinity: Annotated[bool, says("false: all instances run on one machine")]
    override_request_timeout_secs: Annotated[float, says("time a call may take, waiting included, seconds")]
    request_timeout_seconds: Annotated[float, says("time a call may take, waiting included, seconds")]
    start_deadline_seconds: StartDeadline
    health_check: Annotated[HealthCheckView, says("how instances are probed")]
    volumes: Annotated[
        list[VolumeView], says("folders of the host that instances see; none for who may not see settings")
    ]
    is_restricted: Annotated[bool, says("whether a call needs an access token")]
    access: Annotated[Access, says("who finds it, and what opens it")]
    collaborators: Annotated[list[CollaboratorView], says("who has a role in it")]
    metadata: Annotated[ModelMetadata, says("who made it, and when it was changed last")]
    active_version: Annotated[ActiveVersion | None, says("null: it has no version yet")]
    labels: Annotated[dict[str, VersionId], says("label -> the version that answers its calls")]
    canaries: Annotated[list[CanaryOfLabel], says("versions that are tried on a share of a label's calls")]
    endpoints: Annotated[dict[str, str], says("label -> the address its calls go to")]


class Pagination(Answer, frozen=True, kw_only=True):
    """Which part of all there are a page is."""

    offset: Annotated[int, says("how many items come before the page")]
    limit: Annotated[int, says("how many items it has at most")]
    total_count: Annotated[int, says("how many items there are in all")]


class PageMetadata(Answer, frozen=True, kw_only=True):
    """What is said of a page."""

    request_id: Annotated[str, says("the request's id, also in the header X-Request-Id")]
    notices: Annotated[list[str], says("always empty")]
    pagination: Annotated[Pagination, says("which part of all it is")]


class ModelApiPage(Answer, frozen=True, kw_only=True):
    """A page of Model APIs."""

    items: Annotated[list[ModelApi], says("in the order that was asked for")]
    metadata: Annotated[PageMetadata, says("which part of all it is")]


class TokenWithSecret(Token, frozen=True, kw_only=True):
    """An access token that was just made."""

    token: Annotated[str, says("its secret: 64 letters and digits")]


class Secret(Answer, frozen=True, kw_only=True):
    """The secret of an access token."""

    token: Annotated[str, says("64 letters and digits")]


def endpoint(public_url: str, model_id: str, label: str = LATEST, thing: str = "model") -> str:
    """Where the version is called that `label` leads to, or where another `thing` of it is."""
    place = label if label == LATEST else f"labels/{label}"
    return f"{public_url.rstrip('/')}/models/{model_id}/{place}/{thing}"


def model(state: Model, see: See, *, public_url: str, is_for_editors: bool = True) -> ModelApi:
    """`is_for_editors`: whether it is for somebody who may see settings and tokens. Others are told of no token, and of
    no folder of the host.
    """
    settings = state.settings
    tokens = state.listed_tokens if is_for_editors else ()
    return ModelApi(
        id=state.id,
        name=state.name,
        description=state.description,
        project_id=state.project_id,
        owner_id=state.owner_id,
        is_archived=state.is_archived,
        is_async=False,
        environment_id=state.environment_id,
        hardware_tier_id=None,
        resource_quota_id=settings.quota_id or None,
        replicas=settings.instances,
        scaling=scaling(settings.scaling),
        worker_count=state.workers,
        memory_bytes=settings.memory_bytes,
        routing_mode=settings.routing_mode.capitalize(),
        repeatable_calls=settings.has_repeatable_calls,
        strict_node_anti_affinity=False,
        override_request_timeout_secs=state.request_timeout_s,
        request_timeout_seconds=state.request_timeout_s,
        start_deadline_seconds=settings.start_deadline_s,
        health_check=health_check(settings.health_check),
        volumes=[volume(each, kind="HostPath") for each in settings.volumes] if is_for_editors else [],
        is_restricted=state.is_restricted,
        access=Access(
            is_public=state.is_public,
            is_restricted=state.is_restricted,
            access_tokens=[token(each) for each in tokens],
        ),
        collaborators=collaborators(state),
        metadata=ModelMetadata(
            created=milliseconds(state.created_at),
            created_by=state.created_by,
            last_modified=milliseconds(state.changed_at),
        ),
        active_version=_active(state, see),
        labels=dict(state.labels),
        canaries=[
            CanaryOfLabel(label=label, version_id=canary.version_id, share=canary.share)
            for label, canary in sorted(state.canaries.items())
        ],
        endpoints={label: endpoint(public_url, state.id, label) for label in state.known_labels},
    )


def collaborators(state: Model, owner_name: str | None = None) -> list[CollaboratorView]:
    """The owner first."""
    owner = CollaboratorView(
        collaborator=state.owner_id,
        role=events.ModelRole.OWNER,
        kind=events.CollaboratorKind.PERSON,
        name=owner_name,
        is_owner=True,
    )
    others = (
        CollaboratorView(collaborator=each.id, role=each.role, kind=each.kind, name=each.name, is_owner=False)
        for each in state.collaborators
    )
    return [owner, *others]


def _active(state: Model, see: See) -> ActiveVersion | None:
    version = state.active
    if version is None:
        return None
    return ActiveVersion(
        id=version.id,
        number=version.number,
        data_plane_id=ONE_DATA_PLANE,
        deployment=deployment(state, version, see(version)),
    )


def token(state: AccessToken) -> Token:
    return Token(
        id=state.id,
        name=state.name,
        created=milliseconds(state.created_at),
        created_by=state.created_by,
        last_generated=milliseconds(state.generated_at),
        last_generated_by=state.generated_by,
    )
