"""This file is the environment aggregate: named lists of packages, in revisions that never change."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core.commands import ArchiveEnvironment, CreateEnvironment, EnvironmentCommand, ReviseEnvironment
from services.core.errors import NotFound, Refused
from services.core.events import Entry, EnvironmentArchived, EnvironmentCreated, EnvironmentRevised, Event
from services.core.ids import AggregateId
from services.core.names import DEFAULT_ENVIRONMENT


class EnvironmentRevision(msgspec.Struct, frozen=True, kw_only=True):
    """`requirements` is the text of a requirements file; its lock is made at the first build that uses it."""

    id: str
    number: int
    requirements: str
    created_at: datetime
    created_by: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of an environment; it has at least one revision."""

    id: AggregateId
    revision: int
    owner_id: AggregateId
    name: str
    visibility: str
    created_at: datetime
    is_archived: bool = False
    revisions: tuple[EnvironmentRevision, ...] = ()

    @property
    def latest(self) -> EnvironmentRevision:
        return self.revisions[-1]


def decide(environment: Environment | None, command: EnvironmentCommand) -> tuple[Event, ...]:
    """What `command` brings about. Revising to what the latest revision says already brings about nothing."""
    match command:
        case CreateEnvironment():
            if environment is not None:
                return ()
            created = EnvironmentCreated(owner_id=command.owner_id, name=command.name, visibility=command.visibility)
            return (created, _revised(command, number=1))
        case ReviseEnvironment():
            if environment is None:
                raise NotFound("there is no such environment")
            if environment.is_archived:
                raise Refused(f"environment {environment.name!r} is archived")
            if environment.latest.requirements == command.requirements:
                return ()
            return (_revised(command, number=len(environment.revisions) + 1),)
        case ArchiveEnvironment():
            if environment is None:
                raise NotFound("there is no such environment")
            if environment.name == DEFAULT_ENVIRONMENT:
                raise Refused(f"environment {environment.name!r} is for models that name none: it cannot be archived")
            return () if environment.is_archived else (EnvironmentArchived(),)


def _revised(command: CreateEnvironment | ReviseEnvironment, *, number: int) -> Event:
    return EnvironmentRevised(revision_id=command.revision_id, number=number, requirements=command.requirements)


def evolve(environment: Environment | None, entry: Entry) -> Environment:
    """Fold one entry into the state."""
    event = entry.event
    if isinstance(event, EnvironmentCreated):
        return Environment(
            id=entry.aggregate_id,
            revision=entry.revision,
            owner_id=event.owner_id,
            name=event.name,
            visibility=event.visibility,
            created_at=entry.at,
        )
    if environment is None:
        raise ValueError(f"the history of environment {entry.aggregate_id} does not begin with its creation")
    if isinstance(event, EnvironmentArchived):
        return replace(environment, revision=entry.revision, is_archived=True)
    if not isinstance(event, EnvironmentRevised):
        return replace(environment, revision=entry.revision)
    revision = EnvironmentRevision(
        id=event.revision_id,
        number=event.number,
        requirements=event.requirements,
        created_at=entry.at,
        created_by=entry.actor.name,
    )
    return replace(environment, revision=entry.revision, revisions=(*environment.revisions, revision))
