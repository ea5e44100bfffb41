"""This file is how accounts look on the wire: people with their keys and sessions, and organisations. No hash shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated

from msgspec import structs

from services.api.http.shapes import Created, Id, Milliseconds, PersonId, UserName, says
from services.api.http.views.wire import Answer, milliseconds
from services.core import events
from services.core import organisation as organisations
from services.core import person as people

OrganisationId = Annotated[Id, says("the organisation: 24 lower-case hexadecimal characters")]
OrganisationName = Annotated[str, says("its name: letters, digits, '.', '_' and '-', at most 100")]
KeyName = Annotated[str, says("what its owner calls it")]
LastUsed = Annotated[int | None, says("when it was used last, to the minute, epoch milliseconds; null: never")]
Method = Annotated[events.SignInMethod, says("how the person proved who they are")]
Expires = Annotated[Milliseconds, says("when it ends by itself, epoch milliseconds")]


class Account(Answer, frozen=True, kw_only=True):
    """A person of the platform."""

    id: PersonId
    user_name: UserName
    email: Annotated[str, says("the person's e-mail address; empty: none was given")]
    full_name: Annotated[str, says("the person's full name; empty: none was given")]
    is_administrator: Annotated[bool, says("whether the person may do everything")]
    is_disabled: Annotated[bool, says("whether nothing of the person's opens anything: password, keys, sessions")]
    created: Created
    has_password: Annotated[
        bool | None, says("whether the person can sign in with a password; null: not for the caller to know")
    ]
    identity: Annotated[
        str | None,
        says("the OpenID Connect issuer that the person signs in with; null: none, or not for the caller to know"),
    ]


class Accounts(Answer, frozen=True, kw_only=True):
    """A page of people, by user name."""

    items: Annotated[tuple[Account, ...], says("the people of this page")]
    total_count: Annotated[int, says("how many there are on all pages together", low=0)]


class Key(Answer, frozen=True, kw_only=True):
    """An API key, without its secret."""

    id: Annotated[Id, says("the key: 24 lower-case hexadecimal characters")]
    name: KeyName
    created: Created
    last_used: LastUsed


class NewKey(Key, frozen=True, kw_only=True):
    """An API key that was just made. Its secret is in this answer and in no other."""

    key: Annotated[str, says("the secret, for the header X-Domino-Api-Key: 64 letters and digits")]


class Keys(Answer, frozen=True, kw_only=True):
    """All API keys of a person, oldest first."""

    items: Annotated[tuple[Key, ...], says("the keys, at most 100")]


class BrowserSession(Answer, frozen=True, kw_only=True):
    """A browser in which a person is signed in."""

    id: Annotated[Id, says("the session: 24 lower-case hexadecimal characters")]
    method: Method
    address: Annotated[str, says("the IP address from which it began")]
    created: Created
    expires: Expires
    is_current: Annotated[bool, says("whether this request came with it")]


class BrowserSessions(Answer, frozen=True, kw_only=True):
    """All sessions of a person that have not ended, oldest first."""

    items: Annotated[tuple[BrowserSession, ...], says("the sessions, at most 20")]


class CurrentSession(Answer, frozen=True, kw_only=True):
    """The session that the cookie belongs to."""

    person: Annotated[Account, says("who is signed in")]
    csrf_token: Annotated[
        str, says("what every request of this session that changes something has to send as X-CSRF-Token")
    ]
    expires: Expires
    method: Method


class Provider(Answer, frozen=True, kw_only=True):
    """An OpenID Connect provider."""

    name: Annotated[str, says("what the platform calls it")]


class SignInMethods(Answer, frozen=True, kw_only=True):
    """How one can sign in here."""

    password: Annotated[bool, says("whether a user name and a password can")]
    open_id_connect: Annotated[Provider | None, says("the provider that can vouch for people; null: none")]


class Organisation(Answer, frozen=True, kw_only=True):
    """People who collaborate as one."""

    id: OrganisationId
    name: OrganisationName
    created: Created
    member_count: Annotated[int, says("how many members it has", low=1)]
    is_member: Annotated[bool, says("whether the caller is one")]


class Member(Answer, frozen=True, kw_only=True):
    """A member of an organisation."""

    id: PersonId
    user_name: UserName
    full_name: Annotated[str, says("the person's full name; empty: none was given")]
    is_owner: Annotated[bool, says("whether the member may change who the members are")]


class OrganisationWithMembers(Organisation, frozen=True, kw_only=True):
    """An organisation with its members."""

    members: Annotated[tuple[Member, ...], says("the members, by user name")]


class Organisations(Answer, frozen=True, kw_only=True):
    """A page of organisations, by name."""

    items: Annotated[tuple[Organisation, ...], says("the organisations of this page")]
    total_count: Annotated[int, says("how many there are on all pages together", low=0)]


def account(state: people.Person, *, is_known: bool) -> Account:
    """`is_known`: how the person signs in is shown too, to themselves and to administrators."""
    issuer = None if state.identity is None else state.identity.issuer
    return Account(
        id=state.id,
        user_name=state.user_name,
        email=state.email,
        full_name=state.full_name,
        is_administrator=state.is_administrator,
        is_disabled=state.is_disabled,
        created=milliseconds(state.created_at),
        has_password=state.has_password if is_known else None,
        identity=issuer if is_known else None,
    )


def keys(states: Iterable[people.ApiKey], uses: Mapping[str, datetime]) -> Keys:
    return Keys(
        items=tuple(
            Key(
                id=each.id,
                name=each.name,
                created=milliseconds(each.created_at),
                last_used=milliseconds(uses[each.id]) if each.id in uses else None,
            )
            for each in states
        )
    )


def new_key(state: people.ApiKey, secret: str) -> NewKey:
    return NewKey(id=state.id, name=state.name, created=milliseconds(state.created_at), last_used=None, key=secret)


def browser_session(state: people.Session, *, is_current: bool) -> BrowserSession:
    return BrowserSession(
        id=state.id,
        method=state.method,
        address=state.address,
        created=milliseconds(state.created_at),
        expires=milliseconds(state.expires_at),
        is_current=is_current,
    )


def current_session(person: people.Person, session: people.Session, csrf_token: str) -> CurrentSession:
    return CurrentSession(
        person=account(person, is_known=True),
        csrf_token=csrf_token,
        expires=milliseconds(session.expires_at),
        method=session.method,
    )


def organisation(state: organisations.Organisation, caller_id: str) -> Organisation:
    return Organisation(
        id=state.id,
        name=state.name,
        created=milliseconds(state.created_at),
        member_count=len(state.members),
        is_member=state.member(caller_id) is not None,
    )


def with_members(
    state: organisations.Organisation, members: Iterable[people.Person], caller_id: str
) -> OrganisationWithMembers:
    """`members`: the people behind its members' ids."""
    owners = {each.person_id for each in state.members if each.is_owner}
    shown = (
        Member(id=each.id, user_name=each.user_name, full_name=each.full_name, is_owner=each.id in owners)
        for each in sorted(members, key=lambda person: person.user_name)
    )
    return OrganisationWithMembers(**structs.asdict(organisation(state, caller_id)), members=tuple(shown))
