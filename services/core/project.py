"""This file is the project aggregate: a person's files, frozen into snapshots (commits) that never change, and who
works on them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from services.core.commands import (
    AddTags,
    ArchiveProject,
    CommitSnapshot,
    CreateProject,
    DescribeProject,
    ProjectCommand,
    RemoveProjectCollaborator,
    RemoveTag,
    RestoreProject,
    SetProjectCollaborator,
)
from services.core.errors import NotFound, Refused
from services.core.events import (
    CollaboratorKind,
    Entry,
    Event,
    ProjectArchived,
    ProjectCollaboratorRemoved,
    ProjectCollaboratorSet,
    ProjectCreated,
    ProjectDescribed,
    ProjectRestored,
    ProjectRole,
    ProjectTagged,
    SnapshotCommitted,
    Tag,
)
from services.core.ids import AggregateId, Digest

MAX_COLLABORATORS = 500
MAX_TAGS = 100


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One commit; `snapshot` is the digest of its `Manifest` document."""

    commit_id: str
    snapshot: Digest
    files: int
    size_bytes: int
    message: str
    committed_at: datetime
    committed_by: str


class ProjectCollaborator(msgspec.Struct, frozen=True, kw_only=True):
    """A person or an organisation that works on the project. `name`: as it was called when it was invited."""

    id: AggregateId
    kind: CollaboratorKind
    name: str
    role: ProjectRole


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of a project; `snapshots` in the order they were committed."""

    id: AggregateId
    revision: int
    owner_id: AggregateId
    owner_name: str
    name: str
    description: str
    visibility: str  # Public, Searchable or Private
    created_at: datetime
    is_archived: bool = False
    collaborators: tuple[ProjectCollaborator, ...] = ()
    tags: tuple[Tag, ...] = ()
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

    def collaborator(self, collaborator_id: str) -> ProjectCollaborator | None:
        return next((each for each in self.collaborators if each.id == collaborator_id), None)


def decide(project: Project | None, command: ProjectCommand) -> tuple[Event, ...]:
    """What `command` brings about; nothing when it is already so."""
    if isinstance(command, CreateProject):
        return () if project is not None else _created(command)
    if project is None:
        raise NotFound("there is no such project")
    return _DECISIONS[type(command)](project, command)


def _created(command: CreateProject) -> tuple[Event, ...]:
    """With whom it is shared from the start. Of a collaborator, or a tag, that is named twice, the last counts."""
    created = ProjectCreated(
        owner_id=command.owner_id,
        owner_name=command.owner_name,
        name=command.name,
        description=command.description,
        visibility=command.visibility,
    )
    invited = {each.collaborator_id: each for each in command.collaborators}
    tags = {tag.name: tag for tag in command.tags}
    if (owner := invited.get(command.owner_id)) is not None:
        raise _owns(owner, command.name)
    _refuse_many(collaborators=len(invited), tags=len(tags))
    tagged = (ProjectTagged(tags=tuple(tags.values())),) if tags else ()
    return (created, *map(_invited, invited.values()), *tagged)


def _commit(project: Project, command: CommitSnapshot) -> tuple[Event, ...]:
    """Committing what the newest snapshot holds already brings about nothing."""
    if project.snapshots and project.snapshots[-1].snapshot == command.snapshot:
        return ()
    _refuse_archived(project)
    committed = SnapshotCommitted(
        commit_id=command.commit_id,
        snapshot=command.snapshot,
        files=command.files,
        size_bytes=command.size_bytes,
        message=command.message,
    )
    return (committed,)


def _describe(project: Project, command: DescribeProject) -> tuple[Event, ...]:
    description = project.description if command.description is None else command.description
    visibility = project.visibility if command.visibility is None else command.visibility
    is_so = (description, visibility) == (project.description, project.visibility)
    return () if is_so else (ProjectDescribed(description=description, visibility=visibility),)


def _set_collaborator(project: Project, command: SetProjectCollaborator) -> tuple[Event, ...]:
    if command.collaborator_id == project.owner_id:
        raise _owns(command, project.name)
    known = project.collaborator(command.collaborator_id)
    if known is not None and known.role is command.role:
        return ()
    _refuse_many(collaborators=len(project.collaborators) + (known is None))
    return (_invited(command),)


def _invited(command: SetProjectCollaborator) -> ProjectCollaboratorSet:
    return ProjectCollaboratorSet(
        collaborator_id=command.collaborator_id, kind=command.kind, name=command.name, role=command.role
    )


def _owns(command: SetProjectCollaborator, project: str) -> Refused:
    return Refused(f"{command.name} owns project {project!r} and needs no role in it")


def _refuse_many(*, collaborators: int = 0, tags: int = 0) -> None:
    if collaborators > MAX_COLLABORATORS:
        raise Refused(f"a project has at most {MAX_COLLABORATORS} collaborators: invite an organisation")
    if tags > MAX_TAGS:
        raise Refused(f"a project has at most {MAX_TAGS} tags")


def _remove_collaborator(project: Project, command: RemoveProjectCollaborator) -> tuple[Event, ...]:
    if project.collaborator(command.collaborator_id) is None:
        raise NotFound(f"project {project.name!r} has no collaborator {command.collaborator_id}")
    return (ProjectCollaboratorRemoved(collaborator_id=command.collaborator_id),)


def _add_tags(project: Project, command: AddTags) -> tuple[Event, ...]:
    known = {tag.name for tag in project.tags}
    added: dict[str, Tag] = {}
    for tag in command.tags:
        if tag.name not in known:
            added.setdefault(tag.name, tag)
    if not added:
        return ()
    _refuse_many(tags=len(project.tags) + len(added))
    return (ProjectTagged(tags=(*project.tags, *added.values())),)


def _remove_tag(project: Project, command: RemoveTag) -> tuple[Event, ...]:
    kept = tuple(tag for tag in project.tags if tag.id != command.tag_id)
    if kept == project.tags:
        raise NotFound(f"project {project.name!r} has no tag {command.tag_id}")
    return (ProjectTagged(tags=kept),)


def _refuse_archived(project: Project) -> None:
    if project.is_archived:
        raise Refused(f"project {project.name!r} is archived: restore it first")


_DECISIONS: dict[type, Callable[[Project, Any], tuple[Event, ...]]] = {
    CommitSnapshot: _commit,
    DescribeProject: _describe,
    SetProjectCollaborator: _set_collaborator,
    RemoveProjectCollaborator: _remove_collaborator,
    AddTags: _add_tags,
    RemoveTag: _remove_tag,
    ArchiveProject: lambda project, command: () if project.is_archived else (ProjectArchived(),),
    RestoreProject: lambda project, command: (ProjectRestored(),) if project.is_archived else (),
}


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
    return replace(_apply(project, entry), revision=entry.revision)


def _apply(project: Project, entry: Entry) -> Project:
    event = entry.event
    match event:
        case SnapshotCommitted():
            return replace(project, snapshots=(*project.snapshots, _snapshot(event, entry)))
        case ProjectDescribed():
            return replace(project, description=event.description, visibility=event.visibility)
        case ProjectCollaboratorSet():
            invited = ProjectCollaborator(id=event.collaborator_id, kind=event.kind, name=event.name, role=event.role)
            return replace(project, collaborators=(*_without(project, invited.id), invited))
        case ProjectCollaboratorRemoved():
            return replace(project, collaborators=_without(project, event.collaborator_id))
        case ProjectTagged():
            return replace(project, tags=event.tags)
        case ProjectArchived() | ProjectRestored():
            return replace(project, is_archived=isinstance(event, ProjectArchived))
        case _:
            return project


def _snapshot(event: SnapshotCommitted, entry: Entry) -> Snapshot:
    return Snapshot(
        commit_id=event.commit_id,
        snapshot=event.snapshot,
        files=event.files,
        size_bytes=event.size_bytes,
        message=event.message,
        committed_at=entry.at,
        committed_by=entry.actor.name,
    )


def _without(project: Project, collaborator_id: str) -> tuple[ProjectCollaborator, ...]:
    return tuple(each for each in project.collaborators if each.id != collaborator_id)
