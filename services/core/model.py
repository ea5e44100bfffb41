"""This file is the Model API aggregate: its state, and how what happened changes it."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core.errors import NotFound
from services.core.events import (
    AccessTokenCreated,
    AccessTokenRegenerated,
    AccessTokenRevoked,
    CanaryEnded,
    CanarySet,
    CollaboratorKind,
    CollaboratorRemoved,
    CollaboratorSet,
    DefaultsPickedUp,
    DeploymentOrdered,
    Entry,
    InstancesScaled,
    InstancesSet,
    LabelMoved,
    LabelPromised,
    ModelArchived,
    ModelCreated,
    ModelDescribed,
    ModelRestored,
    ModelRole,
    OwnershipTransferred,
    RestartOrdered,
    RestrictionSet,
    RolloutMeasured,
    SettingsChanged,
    VersionPublished,
    VisibilitySet,
)
from services.core.ids import AggregateId, VersionId
from services.core.lifecycle import Version, evolve_version, promise, relabel
from services.core.records import Rollout
from services.core.settings import Defaults, RoutingMode, Settings, request_timeout_s, workers

LATEST = "latest"
PROD = "prod"
MAX_ROLLOUTS = 20


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that opens a restricted model. Its secret is not here: only its SHA-256."""

    id: str
    name: str
    token_hash: str
    created_at: datetime
    created_by: str
    generated_at: datetime
    generated_by: str
    is_internal: bool = False  # the platform's own, for calls on behalf of collaborators


class Collaborator(msgspec.Struct, frozen=True, kw_only=True):
    """A person or an organisation with a role. `name`: as it was called when it was invited."""

    id: AggregateId
    kind: CollaboratorKind
    name: str
    role: ModelRole


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """A version that answers `share` percent of a label's calls once it is ready."""

    version_id: VersionId
    share: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of one Model API. `versions` are in the order of their numbers, from 1 without gaps."""

    id: AggregateId
    revision: int
    name: str
    description: str
    owner_id: AggregateId
    project_id: AggregateId
    environment_id: AggregateId
    settings: Settings
    defaults: Defaults = Defaults()
    is_restricted: bool
    created_at: datetime
    created_by: str
    changed_at: datetime
    is_archived: bool = False
    is_public: bool = False
    collaborators: tuple[Collaborator, ...] = ()
    labels: dict[str, VersionId] = {}
    versions: tuple[Version, ...] = ()
    previous: dict[str, VersionId] = {}  # label -> the version it led to before
    canaries: dict[str, Canary] = {}  # label -> its candidate
    scaled_to: int = 0  # by the platform, while `settings.scaling` is set; 0: not yet
    rollouts: tuple[Rollout, ...] = ()  # the last `MAX_ROLLOUTS`, newest last
    tokens: tuple[AccessToken, ...] = ()

    @property
    def request_timeout_s(self) -> float:
        return request_timeout_s(self.settings, self.defaults)

    @property
    def workers(self) -> int:
        return workers(self.settings, self.defaults)

    @property
    def known_labels(self) -> tuple[str, ...]:
        """The labels that callers may name, wherever they lead."""
        return (LATEST, PROD) if self.settings.routing_mode is RoutingMode.ADVANCED else (LATEST,)

    @property
    def instances(self) -> int:
        """How many each running version should have now."""
        scaling = self.settings.scaling
        if scaling is None:
            return self.settings.instances
        return min(max(self.scaled_to or self.settings.instances, scaling.min_instances), scaling.max_instances)

    def version(self, version_id: str) -> Version:
        """The version with this id; `NotFound` if the model has none."""
        for version in self.versions:
            if version.id == version_id:
                return version
        raise NotFound(f"model {self.name!r} has no version {version_id}")

    @property
    def active(self) -> Version | None:
        """The version that `latest` points to, else the last one it pointed to, else the newest."""
        known = self.labels.get(LATEST) or self.previous.get(LATEST)
        return self.version(known) if known is not None else (self.versions[-1] if self.versions else None)

    def collaborator(self, collaborator_id: str) -> Collaborator | None:
        return next((each for each in self.collaborators if each.id == collaborator_id), None)

    def token(self, token_id: str) -> AccessToken:
        """The live access token of people with this id; `NotFound` if it never was or is revoked."""
        for token in self.listed_tokens:
            if token.id == token_id:
                return token
        raise NotFound(f"model {self.name!r} has no access token {token_id}")

    @property
    def listed_tokens(self) -> tuple[AccessToken, ...]:
        """Those of people: all that anybody is told of."""
        return tuple(token for token in self.tokens if not token.is_internal)

    @property
    def internal_token(self) -> AccessToken | None:
        """What the platform itself calls with, on behalf of collaborators."""
        return next((token for token in self.tokens if token.is_internal), None)


def evolve(model: Model | None, entry: Entry) -> Model:
    """Fold one entry into the state: the only place where a model changes. Entries come in order of revision."""
    event = entry.event
    if isinstance(event, ModelCreated):
        return Model(
            id=entry.aggregate_id,
            revision=entry.revision,
            name=event.name,
            description=event.description,
            owner_id=event.owner_id,
            project_id=event.project_id,
            environment_id=event.environment_id,
            settings=event.settings,
            is_restricted=event.is_restricted,
            created_at=entry.at,
            created_by=entry.actor.name,
            changed_at=entry.at,
        )
    if model is None:
        raise ValueError(f"the history of model {entry.aggregate_id} does not begin with its creation")
    return replace(_apply(model, entry), revision=entry.revision, changed_at=entry.at)


def _apply(model: Model, entry: Entry) -> Model:
    event = entry.event
    match event:
        case ModelDescribed():
            return replace(model, name=event.name, description=event.description, environment_id=event.environment_id)
        case InstancesSet():
            return replace(model, settings=replace(model.settings, instances=event.instances))
        case SettingsChanged():
            return replace(model, settings=event.settings, scaled_to=model.scaled_to if event.settings.scaling else 0)
        case DefaultsPickedUp():
            return replace(model, defaults=event.defaults)
        case InstancesScaled():
            return replace(model, scaled_to=event.instances)
        case ModelArchived() | ModelRestored():
            return replace(model, is_archived=isinstance(event, ModelArchived))
        case VisibilitySet():
            return replace(model, is_public=event.is_public)
        case RestrictionSet():
            return replace(model, is_restricted=event.is_restricted)
        case CollaboratorSet() | CollaboratorRemoved() | OwnershipTransferred():
            return _share(model, event)
        case CanarySet():
            canary = Canary(version_id=event.version_id, share=event.share)
            return replace(model, canaries=model.canaries | {event.label: canary})
        case CanaryEnded():
            others = {label: each for label, each in model.canaries.items() if label != event.label}
            return replace(model, canaries=others)
        case RolloutMeasured():
            return replace(model, rollouts=(*model.rollouts, event.rollout)[-MAX_ROLLOUTS:])
        case LabelPromised():
            return replace(model, versions=tuple(promise(version, event) for version in model.versions))
        case VersionPublished():
            return replace(model, versions=(*model.versions, _new_version(event, entry)))
        case LabelMoved():
            return _move_label(model, event, entry.revision)
        case AccessTokenCreated() | AccessTokenRegenerated() | AccessTokenRevoked():
            return replace(model, tokens=_tokens(model.tokens, event, entry))
        case _ if (version_id := getattr(event, "version_id", None)) is not None:
            versions = (
                _evolve_version(model, version, entry) if version.id == version_id else version
                for version in model.versions
            )
            return replace(model, versions=tuple(versions))
        case _:
            return model


def _share(model: Model, event: CollaboratorSet | CollaboratorRemoved | OwnershipTransferred) -> Model:
    match event:
        case CollaboratorSet():
            invited = Collaborator(id=event.collaborator_id, kind=event.kind, name=event.name, role=event.role)
            return replace(model, collaborators=(*_others(model, invited.id), invited))
        case CollaboratorRemoved():
            return replace(model, collaborators=_others(model, event.collaborator_id))
        case OwnershipTransferred():
            stays = Collaborator(
                id=event.previous_id,
                kind=CollaboratorKind.PERSON,
                name=event.previous_name,
                role=ModelRole.EDITOR,
            )
            return replace(model, owner_id=event.owner_id, collaborators=(*_others(model, event.owner_id), stays))


def _others(model: Model, collaborator_id: str) -> tuple[Collaborator, ...]:
    return tuple(each for each in model.collaborators if each.id != collaborator_id)


def _evolve_version(model: Model, version: Version, entry: Entry) -> Version:
    after = evolve_version(version, entry.event, entry.revision)
    if isinstance(entry.event, DeploymentOrdered | RestartOrdered):
        return replace(after, defaults=model.defaults)
    return after


def _new_version(event: VersionPublished, entry: Entry) -> Version:
    return Version(
        id=event.version_id,
        number=event.number,
        source=event.source,
        description=event.description,
        logs_requests=event.logs_requests,
        monitoring_enabled=event.monitoring_enabled,
        records_invocations=event.records_invocations,
        example_input=event.example_input,
        created_at=entry.at,
        created_by=entry.actor.name,
    )


def _move_label(model: Model, event: LabelMoved, revision: int) -> Model:
    others = {label: version for label, version in model.labels.items() if label != event.label}
    labels = others if event.version_id is None else {**others, event.label: event.version_id}
    versions = tuple(relabel(version, event, revision) for version in model.versions)
    previous = model.previous if event.previous is None else model.previous | {event.label: event.previous}
    return replace(model, labels=labels, previous=previous, versions=versions)


def _tokens(
    tokens: tuple[AccessToken, ...],
    event: AccessTokenCreated | AccessTokenRegenerated | AccessTokenRevoked,
    entry: Entry,
) -> tuple[AccessToken, ...]:
    who = entry.actor.name
    match event:
        case AccessTokenCreated():
            created = AccessToken(
                id=event.token_id,
                name=event.name,
                token_hash=event.token_hash,
                created_at=entry.at,
                created_by=who,
                generated_at=entry.at,
                generated_by=who,
                is_internal=event.is_internal,
            )
            return (*tokens, created)
        case AccessTokenRegenerated():
            return tuple(
                replace(token, token_hash=event.token_hash, generated_at=entry.at, generated_by=who)
                if token.id == event.token_id
                else token
                for token in tokens
            )
        case AccessTokenRevoked():
            return tuple(token for token in tokens if token.id != event.token_id)
