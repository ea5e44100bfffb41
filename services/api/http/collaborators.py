"""This file finds whom a request means by a user name, an e-mail address, an organisation's name, or an id."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Protocol, TypeVar

import msgspec

from services.api.http.shapes import says
from services.api.ports import Store
from services.core.aggregates import ORGANISATION, PERSON
from services.core.errors import Invalid, NotFound, Refused
from services.core.events import CollaboratorKind
from services.core.ids import AggregateId, is_object_id
from services.core.names import shortened
from services.core.person import Person

R = TypeVar("R", bound=StrEnum)

_LONGEST = 320  # an e-mail address has no more

Who = Annotated[
    str, msgspec.Meta(max_length=_LONGEST), says("a user name, an e-mail address, an organisation's name, or an id")
]
WhichPerson = Annotated[str, msgspec.Meta(max_length=_LONGEST), says("a user name, an e-mail address, or an id")]


class Invitee(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may be given a role."""

    id: AggregateId
    kind: CollaboratorKind
    name: str


class Known:
    """The people and organisations of the platform, by what others call them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def anyone(self, text: str, *, field: str) -> Invitee:
        """The one person or organisation that `text` means.

        Raises `Invalid` when it means nobody, or several, and Refused for a person whose account is disabled.
        """
        people, organisations = await self._people(text), await self._organisations(text)
        if not people and not organisations:
            raise _nobody(text, field, "a user name, an e-mail address, an organisation's name, or the id of either")
        _refuse_several([*map(_invitee, people), *organisations], text, field)
        return _invitee(_enabled(people[0])) if people else organisations[0]

    async def person(self, text: str, *, field: str) -> Person:
        """Likewise, of people only."""
        people = await self._people(text)
        if not people:
            raise _nobody(text, field, "a person's user name, e-mail address or id")
        _refuse_several([_invitee(each) for each in people], text, field)
        return _enabled(people[0])

    async def _people(self, text: str) -> list[Person]:
        named = await self._store.find_person_by_name(text)
        if named is not None:
            return [named]
        if "@" in text:
            found = await self._store.find_people_by_email(text.lower())
            return [each for each in found if not each.is_disabled] or found
        try:
            return [await self._store.load(PERSON, text)] if is_object_id(text) else []
        except NotFound:
            return []

    async def _organisations(self, text: str) -> list[Invitee]:
        found = await self._store.find_organisation(name=text)
        try:
            if found is None and is_object_id(text):
                found = await self._store.load(ORGANISATION, text)
        except NotFound:
            return []
        return [] if found is None else [Invitee(id=found.id, kind=CollaboratorKind.ORGANISATION, name=found.name)]


class Named(Protocol):
    @property
    def id(self) -> AggregateId: ...
    @property
    def name(self) -> str: ...


def id_among(collaborators: Iterable[Named], text: str) -> AggregateId:
    """`text` if it is an id, of whomever; else that of the only one of `collaborators` with this name."""
    if is_object_id(text):
        return AggregateId(text)
    found = [each.id for each in collaborators if each.name == text]
    if len(found) > 1:
        raise Invalid(f"several collaborators are called {shortened(text)}: give an id", field="collaborator")
    if not found:
        raise NotFound(f"there is no collaborator {shortened(text)}")
    return found[0]


def role_of(text: str, roles: type[R], *, field: str = "role") -> R:
    """The role called `text`. Raises `Invalid` with those there are."""
    try:
        return roles(text)
    except ValueError:
        raise Invalid(f"{field} must be one of {', '.join(roles)}, got {shortened(text)}", field=field) from None


def _nobody(text: str, field: str, allowed: str) -> Invalid:
    return Invalid(f"{field} must be {allowed}, and nobody here is called {shortened(text)}", field=field)


def _refuse_several(found: list[Invitee], text: str, field: str) -> None:
    if len(found) > 1:
        several = ", ".join(f"the {each.kind} {each.name} ({each.id})" for each in found[:5])
        raise Invalid(f"{field}: {shortened(text)} may be {several}: give the id", field=field)


def _invitee(person: Person) -> Invitee:
    return Invitee(id=person.id, kind=CollaboratorKind.PERSON, name=person.user_name)


def _enabled(person: Person) -> Person:
    if person.is_disabled:
        raise Refused(f"the account of {person.user_name} is disabled")
    return person
