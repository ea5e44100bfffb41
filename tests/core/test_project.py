"""What a project promises about its people, by example."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from msgspec.structs import replace

from services.core.aggregates import PROJECT, entries, fold
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
from services.core.events import CollaboratorKind, Entry, ProjectRole, Tag
from services.core.ids import AggregateId, CommandId, Digest
from services.core.project import MAX_COLLABORATORS, MAX_TAGS, Project, decide
from tests.makers import PERSON, START

ADA, GRACE, LAB = AggregateId(PERSON.id), AggregateId("1" * 24), AggregateId("2" * 24)


def creation(*collaborators: SetProjectCollaborator, tags: tuple[Tag, ...] = ()) -> CreateProject:
    return CreateProject(owner_id=ADA, owner_name="ada", name="iris", collaborators=collaborators, tags=tags)


def invite(who: AggregateId = GRACE, role: ProjectRole = ProjectRole.CONTRIBUTOR) -> SetProjectCollaborator:
    return SetProjectCollaborator(collaborator_id=who, kind=CollaboratorKind.PERSON, name="grace", role=role)


def commit(number: int) -> CommitSnapshot:
    return CommitSnapshot(commit_id=f"{number:024x}", snapshot=Digest(f"{number:064x}"), files=1, size_bytes=number)


def after(*commands: ProjectCommand) -> tuple[Project, list[Entry]]:
    """A project and its history, as api's ledger would write it."""
    project: Project | None = None
    history: list[Entry] = []
    for number, command in zip(count(1), commands, strict=False):
        fresh = entries(
            "project",
            AggregateId("c" * 24),
            decide(project, command),
            after_revision=len(history),
            command_id=CommandId(f"command-{number}"),
            at=START + timedelta(seconds=number),
            actor=PERSON,
        )
        project = fold(PROJECT, fresh, project)
        history += fresh
    assert project is not None
    return project, history


def test_a_project_is_made_with_its_people_and_tags_in_one_command() -> None:
    tags = (Tag(id="a", name="flowers"), Tag(id="b", name="flowers"), Tag(id="c", name="2024"))
    project, history = after(creation(invite(), invite(LAB, ProjectRole.RESULTS_CONSUMER), tags=tags))
    assert [(each.id, each.role) for each in project.collaborators] == [
        (GRACE, "Contributor"),
        (LAB, "ResultsConsumer"),
    ]
    assert [tag.name for tag in project.tags] == ["flowers", "2024"]
    assert {entry.id.rpartition(".")[0] for entry in history} == {"command-1"}
    assert project.revision == len(history) == 4


def test_making_it_again_brings_about_nothing() -> None:
    assert len(after(creation(), creation(invite()))[1]) == 1


def test_what_will_not_do_makes_no_project() -> None:
    with pytest.raises(Refused, match="grace owns project 'iris' and needs no role in it"):
        after(creation(invite(ADA)))
    many = tuple(invite(AggregateId(f"{n:024x}")) for n in range(MAX_COLLABORATORS + 1))
    with pytest.raises(Refused, match="at most 500 collaborators"):
        after(creation(*many))
    with pytest.raises(Refused, match="at most 100 tags"):
        after(creation(tags=tuple(Tag(id=str(n), name=str(n)) for n in range(MAX_TAGS + 1))))


def test_a_collaborator_has_the_last_role_they_were_given() -> None:
    project, history = after(creation(), invite(), invite(), invite(role=ProjectRole.LAUNCHER_USER))
    assert [(each.id, each.role) for each in project.collaborators] == [(GRACE, "LauncherUser")]
    assert len(history) == 3
    removal = RemoveProjectCollaborator(collaborator_id=GRACE)
    assert after(creation(), invite(), removal)[0].collaborators == ()
    with pytest.raises(NotFound, match="has no collaborator"):
        after(creation(), removal)


def test_the_owner_needs_no_role() -> None:
    with pytest.raises(Refused, match="owns project 'iris'"):
        after(creation(), invite(ADA))


def test_collaborators_are_bounded_and_those_there_are_can_still_be_changed() -> None:
    full = [invite(AggregateId(f"{n:024x}")) for n in range(MAX_COLLABORATORS)]
    after(creation(), *full, invite(AggregateId(f"{1:024x}"), ProjectRole.RESULTS_CONSUMER))
    with pytest.raises(Refused, match="invite an organisation"):
        after(creation(), *full, invite())


def test_describing_changes_what_is_named_and_nothing_else() -> None:
    project, history = after(creation(), DescribeProject(description="flowers"), DescribeProject(visibility="Public"))
    assert (project.description, project.visibility, len(history)) == ("flowers", "Public", 3)
    assert len(after(creation(), DescribeProject(visibility="Private"), DescribeProject())[1]) == 1


def test_an_archived_project_keeps_its_files_and_takes_no_more_until_it_is_restored() -> None:
    project, _ = after(creation(), commit(1), ArchiveProject(), ArchiveProject())
    assert (project.is_archived, len(project.snapshots), project.revision) == (True, 1, 3)
    with pytest.raises(Refused, match="archived: restore it first"):
        after(creation(), commit(1), ArchiveProject(), commit(2))
    restored, _ = after(creation(), commit(1), ArchiveProject(), RestoreProject(), commit(2), AddTags(tags=()))
    assert (restored.is_archived, len(restored.snapshots)) == (False, 2)


def tagging(*names: str) -> AddTags:
    return AddTags(tags=tuple(Tag(id=f"id of {name}", name=name) for name in names))


def test_commits_are_kept_in_their_order_and_the_newest_is_meant_by_default() -> None:
    project, _ = after(creation(), commit(1), commit(2))
    assert [each.commit_id for each in project.snapshots] == [commit(1).commit_id, commit(2).commit_id]
    assert project.snapshot(None).commit_id == commit(2).commit_id
    assert project.snapshot(commit(1).commit_id).committed_by == "ada"
    with pytest.raises(NotFound, match="has no commit"):
        project.snapshot("f" * 24)
    with pytest.raises(NotFound, match="has no files yet"):
        after(creation())[0].snapshot(None)


def test_committing_what_the_newest_snapshot_holds_makes_no_other_commit() -> None:
    same = replace(commit(1), commit_id="f" * 24)
    assert len(after(creation(), commit(1), same)[0].snapshots) == 1
    assert len(after(creation(), commit(1), commit(2), same)[0].snapshots) == 3


def test_a_word_is_given_once_and_keeps_its_tag() -> None:
    project, history = after(
        creation(), tagging("a", "b"), AddTags(tags=(Tag(id="another", name="a"), Tag(id="c", name="c"))), tagging("a")
    )
    assert [(tag.id, tag.name) for tag in project.tags] == [("id of a", "a"), ("id of b", "b"), ("c", "c")]
    assert len(history) == 3


def test_tags_are_bounded() -> None:
    full = tagging(*(f"tag {number}" for number in range(MAX_TAGS)))
    after(creation(), full, tagging("tag 0"))
    with pytest.raises(Refused, match="at most 100 tags"):
        after(creation(), full, tagging("one more"))


def test_a_tag_is_taken_away_by_its_id() -> None:
    removal = RemoveTag(tag_id="id of a")
    assert [tag.name for tag in after(creation(), tagging("a", "b"), removal)[0].tags] == ["b"]
    with pytest.raises(NotFound, match="has no tag id of a"):
        after(creation(), tagging("a"), removal, removal)


@pytest.mark.parametrize(
    "command",
    [commit(1), DescribeProject(description="e"), invite(), tagging("a"), RemoveTag(tag_id="a"), ArchiveProject()],
    ids=lambda command: type(command).__name__,
)
def test_a_project_that_is_not_there_is_not_found(command: ProjectCommand) -> None:
    with pytest.raises(NotFound, match="there is no such project"):
        decide(None, command)
