"""This file is the project aggregate: a person's files, frozen into snapshots (commits) that never change."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core.commands import CommitSnapshot, CreateProject, ProjectCommand
from services.core.errors import NotFound
from services.core.events import Entry, Event, ProjectCreated, SnapshotCommitted
from services.core.ids import AggregateId, Digest


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One commit; `snapshot` is the digest of its `Manifest` document."""

    commit_id: str
    snapshot: Digest
    files: int
    size_bytes: int
    message: str
    committed_at: datetime
    committed_by: str


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of a project; `snapshots` in the order they were committed."""

    id: AggregateId
    revision: int
    owner_id: AggregateId
    owner_name: str
    name: str
    description: str
    visibility: str
    created_at: datetime
    snapshots: tuple[Snapshot, ...] = ()

    def snapshot(self, commit_id: str | None) -> Snapshot:
        """The snapshot with this commit id, or the newest for None; `NotFound` names what is missing."""
        if not self.snapshots:
            raise NotFound(f"project {self.name!r} has no files yet: commit a snapshot first")
        if commit_id is None:
            return self.snapshots[-1]
        for snapshot in self.snapshots:
            if snapshot.commit_id == commit_id:
                return snapshot
        raise NotFound(f"project {self.name!r} has no commit {commit_id}")


def decide(project: Project | None, command: ProjectCommand) -> tuple[Event, ...]:
    """What `command` brings about. Committing what the newest snapshot holds already brings about nothing."""
    match command:
        case CreateProject():
            return () if project is not None else (_created(command),)
        case CommitSnapshot():
            if project is None:
                raise NotFound("there is no such project")
            if project.snapshots and project.snapshots[-1].snapshot == command.snapshot:
                return ()
            return (_committed(command),)


def _created(command: CreateProject) -> Event:
    return ProjectCreated(
        owner_id=command.owner_id,
        owner_name=command.owner_name,
        name=command.name,
        description=command.description,
        visibility=command.visibility,
    )


def _committed(command: CommitSnapshot) -> Event:
    return SnapshotCommitted(
        commit_id=command.commit_id,
        snapshot=command.snapshot,
        files=command.files,
        size_bytes=command.size_bytes,
        message=command.message,
    )


def evolve(project: Project | None, entry: Entry) -> Project:
    """Fold one entry into the state."""
    event = entry.event
    if isinstance(event, ProjectCreated):
        return Project(
            id=entry.aggregate_id,
            revision=entry.revision,
            owner_id=event.owner_id,
            owner_name=event.owner_name,
            name=event.name,
            description=event.description,
            visibility=event.visibility,
            created_at=entry.at,
        )
    if project is None:
        raise ValueError(f"the history of project {entry.aggregate_id} does not begin with its creation")
    if not isinstance(event, SnapshotCommitted):
        return replace(project, revision=entry.revision)
    snapshot = Snapshot(
        commit_id=event.commit_id,
        snapshot=event.snapshot,
        files=event.files,
        size_bytes=event.size_bytes,
        message=event.message,
        committed_at=entry.at,
        committed_by=entry.actor.name,
    )
    return replace(project, revision=entry.revision, snapshots=(*project.snapshots, snapshot))
