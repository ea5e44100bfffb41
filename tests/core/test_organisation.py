"""An organisation: what commands bring about, and that it always has an owner."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.aggregates import ORGANISATION
from services.core.commands import Command, CreateOrganisation, OrganisationCommand, RemoveMember, SetMember
from services.core.errors import NotFound, PermanentError, Refused
from services.core.events import MemberRemoved, MemberSet, OrganisationCreated, OrganisationEvent
from services.core.ids import AggregateId
from services.core.organisation import MAX_MEMBERS, decide
from tests.core.lives import Life

ADA, GRACE = AggregateId("ada"), AggregateId("grace")
CREATE = CreateOrganisation(name="navy", owner_id=ADA)


def member(who: AggregateId = GRACE, *, is_owner: bool = False) -> SetMember:
    return SetMember(person_id=who, is_owner=is_owner)


def without(who: AggregateId = GRACE) -> RemoveMember:
    return RemoveMember(person_id=who)


@pytest.mark.parametrize(
    ("before", "command", "brings"),
    [
        ([], CREATE, []),
        ([], member(), [MemberSet(person_id=GRACE, is_owner=False)]),
        ([member()], member(), []),
        ([member()], member(is_owner=True), [MemberSet(person_id=GRACE, is_owner=True)]),
        ([member(is_owner=True)], member(ADA), [MemberSet(person_id=ADA, is_owner=False)]),
        ([], member(ADA, is_owner=True), []),
        ([member()], without(), [MemberRemoved(person_id=GRACE)]),
        ([member(is_owner=True)], without(ADA), [MemberRemoved(person_id=ADA)]),
    ],
)
def test_what_a_command_brings_about(before: list[Command], command: Command, brings: list[Any]) -> None:
    assert Life(ORGANISATION, CREATE, *before).do(command) == brings


@pytest.mark.parametrize(
    ("before", "command", "kind"),
    [
        ([], without(), NotFound),
        ([member()], without(ADA), Refused),
        ([member()], member(ADA), Refused),
        ([member(AggregateId(f"{number}")) for number in range(MAX_MEMBERS - 1)], member(), Refused),
    ],
)
def test_what_is_refused(before: list[Command], command: Command, kind: type[PermanentError]) -> None:
    life = Life(ORGANISATION, CREATE, *before)
    with pytest.raises(kind):
        life.do(command)


@pytest.mark.parametrize("command", [member(), without()])
def test_nothing_happens_to_an_organisation_that_does_not_exist(command: OrganisationCommand) -> None:
    with pytest.raises(NotFound):
        decide(None, command)


def test_who_makes_one_is_its_first_member_and_owner() -> None:
    assert [(each.person_id, each.is_owner) for each in Life(ORGANISATION, CREATE).state.members] == [(ADA, True)]


EVENTS = st.one_of([st.builds(kind) for kind in get_args(OrganisationEvent)])


@given(st.lists(EVENTS, max_size=6), EVENTS)
def test_every_event_can_happen_to_every_state(before: list[Any], event: Any) -> None:
    life = Life(ORGANISATION, CREATE)
    for each in before:
        life.happens(each)
    organisation = life.happens(event)
    assert organisation.revision == len(life.entries)
    ids = [each.person_id for each in organisation.members]
    assert len(ids) == len(set(ids))
    assert isinstance(event, OrganisationCreated | MemberSet) or event.person_id not in ids


PEOPLE = st.sampled_from([ADA, GRACE, AggregateId("alan")])
COMMANDS = st.one_of(st.builds(SetMember, person_id=PEOPLE), st.builds(RemoveMember, person_id=PEOPLE))


@settings(max_examples=200)
@given(st.lists(COMMANDS, max_size=20))
def test_whatever_people_do_an_owner_remains(commands: list[Any]) -> None:
    life = Life(ORGANISATION, CREATE)
    for command in commands:
        before = life.state
        try:
            is_changed = bool(life.do(command))
        except (Refused, NotFound):
            is_changed = False
        assert is_changed or life.state is before
        assert any(each.is_owner for each in life.state.members)
