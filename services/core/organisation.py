"""This file is the organisation aggregate: people who collaborate as one."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core.commands import CreateOrganisation, OrganisationCommand, RemoveMember, SetMember
from services.core.errors import NotFound, Refused
from services.core.events import Entry, Event, MemberRemoved, MemberSet, OrganisationCreated
from services.core.ids import AggregateId

MAX_MEMBERS = 1000


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """`is_owner`: may change who the members are."""

    person_id: AggregateId
    is_owner: bool


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of an organisation; one of its members is an owner at least."""

    id: AggregateId
    revision: int
    name: str
    created_at: datetime
    members: tuple[Member, ...] = ()

    def member(self, person_id: str) -> Member | None:
        return next((member for member in self.members if member.person_id == person_id), None)


def decide(organisation: Organisation | None, command: OrganisationCommand) -> tuple[Event, ...]:
    """What `command` brings about; nothing when it is already so."""
    if isinstance(command, CreateOrganisation):
        created = OrganisationCreated(name=command.name, owner_id=command.owner_id)
        return () if organisation is not None else (created,)
    if organisation is None:
        raise NotFound("there is no such organisation")
    member = organisation.member(command.person_id)
    match command:
        case SetMember():
            if member is None and len(organisation.members) >= MAX_MEMBERS:
                raise Refused(f"an organisation has at most {MAX_MEMBERS} members")
            if member is not None and member.is_owner == command.is_owner:
                return ()
            if not command.is_owner:
                _refuse_without_owner(organisation, member)
            return (MemberSet(person_id=command.person_id, is_owner=command.is_owner),)
        case RemoveMember():
            if member is None:
                raise NotFound(f"organisation {organisation.name!r} has no such member")
            _refuse_without_owner(organisation, member)
            return (MemberRemoved(person_id=command.person_id),)


def _refuse_without_owner(organisation: Organisation, leaving: Member | None) -> None:
    owners = [member for member in organisation.members if member.is_owner]
    if leaving is not None and owners == [leaving]:
        raise Refused("an organisation keeps an owner: make another member one first")


def evolve(organisation: Organisation | None, entry: Entry) -> Organisation:
    """Fold one entry into the state."""
    event = entry.event
    if isinstance(event, OrganisationCreated):
        return Organisation(
            id=entry.aggregate_id,
            revision=entry.revision,
            name=event.name,
            created_at=entry.at,
            members=(Member(person_id=event.owner_id, is_owner=True),),
        )
    if organisation is None:
        raise ValueError(f"the history of organisation {entry.aggregate_id} does not begin with its creation")
    match event:
        case MemberSet():
            members = (
                *_without(organisation, event.person_id),
                Member(person_id=event.person_id, is_owner=event.is_owner),
            )
        case MemberRemoved():
            members = _without(organisation, event.person_id)
        case _:
            members = organisation.members
    return replace(organisation, revision=entry.revision, members=members)


def _without(organisation: Organisation, person_id: str) -> tuple[Member, ...]:
    return tuple(member for member in organisation.members if member.person_id != person_id)
