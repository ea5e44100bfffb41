"""Environments: lists of packages in revisions, and what becomes of one that is archived."""

from __future__ import annotations

import pytest

from services.core.aggregates import ENVIRONMENT
from services.core.commands import ArchiveEnvironment, CreateEnvironment, EnvironmentCommand, ReviseEnvironment
from services.core.environment import Environment, decide
from services.core.errors import NotFound, Refused
from services.core.ids import AggregateId
from services.core.names import DEFAULT_ENVIRONMENT
from tests.core.lives import Life
from tests.makers import PERSON


def create(name: str = "sklearn") -> CreateEnvironment:
    return CreateEnvironment(owner_id=AggregateId(PERSON.id), name=name, revision_id="1", requirements="six")


def revise(number: int, requirements: str) -> ReviseEnvironment:
    return ReviseEnvironment(revision_id=str(number), requirements=requirements)


def after(*commands: EnvironmentCommand) -> Environment:
    return Life(ENVIRONMENT, *commands).state


def test_an_environment_begins_with_its_first_revision() -> None:
    environment = after(create())
    assert (environment.name, environment.visibility, environment.is_archived) == ("sklearn", "Private", False)
    assert [(each.number, each.requirements, each.created_by) for each in environment.revisions] == [(1, "six", "ada")]


def test_revisions_are_numbered_and_never_change() -> None:
    environment = after(create(), revise(2, "numpy"), revise(3, "six"))
    assert [(each.id, each.number, each.requirements) for each in environment.revisions] == [
        ("1", 1, "six"),
        ("2", 2, "numpy"),
        ("3", 3, "six"),
    ]
    assert environment.latest.id == "3"


def test_revising_to_what_the_latest_says_makes_no_revision() -> None:
    assert decide(after(create()), revise(2, "six")) == ()


def test_an_archived_environment_keeps_its_revisions_and_takes_no_other() -> None:
    archived = after(create(), ArchiveEnvironment())
    assert (archived.is_archived, archived.latest.requirements) == (True, "six")
    assert decide(archived, ArchiveEnvironment()) == ()
    with pytest.raises(Refused, match="environment 'sklearn' is archived"):
        decide(archived, revise(2, "numpy"))


def test_the_environment_of_models_that_name_none_cannot_be_archived() -> None:
    with pytest.raises(Refused, match="'default' is for models that name none: it cannot be archived"):
        decide(after(create(DEFAULT_ENVIRONMENT)), ArchiveEnvironment())


@pytest.mark.parametrize(
    "command", [revise(2, "six"), ArchiveEnvironment()], ids=lambda command: type(command).__name__
)
def test_an_environment_that_is_not_there_is_not_found(command: EnvironmentCommand) -> None:
    with pytest.raises(NotFound, match="there is no such environment"):
        decide(None, command)
