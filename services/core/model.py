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
    Entry,
    InstancesSet,
    LabelMoved,
    ModelArchived,
    ModelCreated,
    ModelDescribed,
    VersionPublished,
)
from services.core.ids import AggregateId, VersionId
from services.core.lifecycle import Version, evolve_version, relabel
from services.core.settings import Settings

LATEST = "latest"


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that opens a restricted model. Its secret is not here: only its SHA-256."""

    id: str
    name: str
    token_hash: str
    created_at: datetime
    created_by: str
    generated_at: datetime
    generated_by: str


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
    is_restricted: bool
    created_at: datetime
    created_by: str
    changed_at: datetime
    is_archived: bool = False
    labels: dict[str, VersionId] = {}
    versions: tuple[Version, ...] = ()
    tokens: tuple[AccessToken, ...] = ()

    def version(self, version_id: str) -> Version:
        """The version with this id; `NotFound` if the model has none."""
        for version in self.versions:
            if version.id == version_id:
                return version
        raise NotFound(f"model {self.name!r} has no version {version_id}")

    @property
    def active(self) -> Version | None:
        """The version that `latest` points to, else the last one it pointed to, else the newest."""
        if LATEST in self.labels:
            return self.version(self.labels[LATEST])
        return max(self.versions, key=lambda version: (version.routed_at, version.number), default=None)

    def token(self, token_id: str) -> AccessToken:
        """The live access token with this id; `NotFound` if it never was or is revoked."""
        for token in self.tokens:
            if token.id == token_id:
                return token
        raise NotFound(f"model {self.name!r} has no access token {token_id}")


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
        case ModelArchived():
            return replace(model, is_archived=True)
        case VersionPublished():
            return replace(model, versions=(*model.versions, _new_version(event, entry)))
        case LabelMoved():
            return _move_label(model, event, entry.revision)
        case AccessTokenCreated() | AccessTokenRegenerated() | AccessTokenRevoked():
            return replace(model, tokens=_tokens(model.tokens, event, entry))
        case _ if (version_id := getattr(event, "version_id", None)) is not None:
            return replace(
                model,
                versions=tuple(
                    evolve_version(version, event, entry.revision) if version.id == version_id else version
                    for version in model.versions
                ),
            )
        case _:
            return model


def _new_version(event: VersionPublished, entry: Entry) -> Version:
    return Version(
        id=event.version_id,
        number=event.number,
        source=event.source,
        description=event.description,
        logs_requests=event.logs_requests,
        monitoring_enabled=event.monitoring_enabled,
        records_invocations=event.records_invocations,
        created_at=entry.at,
        created_by=entry.actor.name,
    )


def _move_label(model: Model, event: LabelMoved, revision: int) -> Model:
    others = {label: version for label, version in model.labels.items() if label != event.label}
    labels = others if event.version_id is None else {**others, event.label: event.version_id}
    versions = tuple(relabel(version, event, revision) for version in model.versions)
    return replace(model, labels=labels, versions=versions)


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
