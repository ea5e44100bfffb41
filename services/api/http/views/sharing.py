"""This file is how a project's people, the files of its commits, and what lies between two of them look on the wire."""

from __future__ import annotations

from typing import Annotated

from services.api.http.shapes import CommitId, Id, Sha256, says
from services.api.http.views import projects as plain
from services.api.http.views.wire import Answer
from services.core import events
from services.core.project import Project, ProjectCollaborator
from services.core.records import FileEntry
from services.core.snapshot_diff import FileChange, SnapshotDiff

ProjectRole = Annotated[
    events.ProjectRole,
    says(
        "Contributor: changes files and publishes; ResultsConsumer: reads files; LauncherUser, ProjectImporter: find it"
    ),
]


class ProjectMember(Answer, frozen=True, kw_only=True):
    """Somebody with a role in a project; its owner is not among them."""

    collaborator: Annotated[Id, says("the person or organisation: 24 lower-case hexadecimal characters")]
    role: ProjectRole
    kind: Annotated[events.CollaboratorKind, says("an organisation: each of its members has the role")]
    name: Annotated[str, says("the user name, or the organisation's name, from when they were invited")]


class ProjectDetails(plain.Project, frozen=True, kw_only=True):
    """A project with its people, and where its files are."""

    collaborators: Annotated[list[ProjectMember], says("who has a role in it, besides its owner")]
    snapshots: Annotated[int, says("how many commits it has")]
    newest_commit_id: Annotated[CommitId | None, says("its newest commit; null: it has no files yet")]


class FileView(Answer, frozen=True, kw_only=True):
    """A file of a commit."""

    path: Annotated[str, says("where it is in the project, folders separated by '/'")]
    sha256: Sha256
    size_bytes: Annotated[int, says("its size, bytes")]
    mode: Annotated[int, says("its permission bits: 420 (octal 644), or 493 (octal 755) when it can be executed")]


class ChangedFile(Answer, frozen=True, kw_only=True):
    """A file that both commits have, with another content or other permission bits."""

    path: Annotated[str, says("where it is in the project, folders separated by '/'")]
    before: Annotated[FileView, says("as it is in the earlier commit")]
    after: Annotated[FileView, says("as it is in the later one")]


class DiffCounts(Answer, frozen=True, kw_only=True):
    """How many files differ, on all pages together."""

    added: Annotated[int, says("files that only the later commit has")]
    removed: Annotated[int, says("files that only the earlier commit has")]
    changed: Annotated[int, says("files that differ")]


class SnapshotDiffView(Answer, frozen=True, kw_only=True, rename={"from_commit": "from", "to_commit": "to"}):
    """What lies between two commits. A file that was moved is one removed and one added."""

    from_commit: Annotated[CommitId | None, says("the earlier commit; null: none, before the first one")]
    to_commit: Annotated[CommitId, says("the later commit")]
    added: Annotated[list[FileView], says("files that only the later commit has, by path")]
    removed: Annotated[list[FileView], says("files that only the earlier commit has, by path")]
    changed: Annotated[list[ChangedFile], says("files that differ, by path")]
    counts: Annotated[DiffCounts, says("how many there are of each, on all pages together")]


def details(state: Project) -> ProjectDetails:
    shown = plain.project(state)
    fields = {name: getattr(shown, name) for name in plain.Project.__struct_fields__}
    return ProjectDetails(
        **fields,
        collaborators=[member(each) for each in state.collaborators],
        snapshots=len(state.snapshots),
        newest_commit_id=state.snapshots[-1].commit_id if state.snapshots else None,
    )


def member(state: ProjectCollaborator) -> ProjectMember:
    return ProjectMember(collaborator=state.id, role=state.role, kind=state.kind, name=state.name)


def file(entry: FileEntry) -> FileView:
    return FileView(path=entry.path, sha256=entry.digest, size_bytes=entry.size_bytes, mode=entry.mode)


def difference(
    shown: SnapshotDiff, whole: SnapshotDiff, *, from_commit: str | None, to_commit: str
) -> SnapshotDiffView:
    """`shown`: the page of `whole` that is answered."""
    return SnapshotDiffView(
        from_commit=from_commit,
        to_commit=to_commit,
        added=[file(entry) for entry in shown.added],
        removed=[file(entry) for entry in shown.removed],
        changed=[_changed(change) for change in shown.changed],
        counts=DiffCounts(added=len(whole.added), removed=len(whole.removed), changed=len(whole.changed)),
    )


def _changed(change: FileChange) -> ChangedFile:
    if change.before is None or change.after is None:
        raise ValueError(f"{change.path} is in one of the commits only")
    return ChangedFile(path=change.path, before=file(change.before), after=file(change.after))
