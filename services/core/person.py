"""This file is the person aggregate: who may call the management API, with which keys, and from which browsers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from services.core.commands import (
    AddApiKey,
    AddPerson,
    DescribePerson,
    DisablePerson,
    EnablePerson,
    LinkIdentity,
    PersonCommand,
    RefuseAttempt,
    RefuseSignIn,
    RevokeApiKey,
    SetAdministrator,
    SetPassword,
    SignIn,
    SignOut,
    SignOutEverywhere,
)
from services.core.errors import NotFound, Refused
from services.core.events import (
    AdministratorSet,
    ApiKeyAdded,
    ApiKeyRevoked,
    AttemptRefused,
    Entry,
    Event,
    IdentityLinked,
    PasswordSet,
    PersonAdded,
    PersonDescribed,
    PersonDisabled,
    PersonEnabled,
    SignedIn,
    SignedOut,
    SignedOutEverywhere,
    SignInMethod,
    SignInRefused,
)
from services.core.ids import AggregateId

MAX_API_KEYS = 100
MAX_SESSIONS = 20  # of one person at a time: with one more the oldest ends


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key for the management API; `key_hash` is its SHA-256 (keys are random, so a slow hash would add nothing)."""

    id: str
    name: str
    key_hash: str
    created_at: datetime


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A browser in which the person is signed in; `session_hash` is the SHA-256 of its cookie."""

    id: str
    session_hash: str
    method: SignInMethod
    address: str
    created_at: datetime
    expires_at: datetime


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What an OpenID Connect provider calls the person."""

    issuer: str
    subject: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of a person. The hash of the password is not here, only which entry set it last."""

    id: AggregateId
    revision: int
    user_name: str
    email: str
    full_name: str
    is_administrator: bool
    created_at: datetime
    is_disabled: bool = False
    password_revision: int = 0  # of the entry that set the password; 0: there is none
    api_keys: tuple[ApiKey, ...] = ()
    sessions: tuple[Session, ...] = ()  # also such that have expired
    identity: Identity | None = None

    @property
    def has_password(self) -> bool:
        return self.password_revision > 0

    def session(self, session_hash: str, at: datetime) -> Session | None:
        """The session whose cookie has this hash, while it lasts."""
        if self.is_disabled:
            return None
        found = (each for each in self.sessions if each.session_hash == session_hash and each.expires_at > at)
        return next(found, None)


def decide(person: Person | None, command: PersonCommand) -> tuple[Event, ...]:
    """What `command` brings about; nothing when it is already so."""
    if isinstance(command, AddPerson):
        added = PersonAdded(
            user_name=command.user_name,
            email=command.email,
            full_name=command.full_name,
            is_administrator=command.is_administrator,
        )
        return () if person is not None else (added,)
    if person is None:
        raise NotFound("there is no such person")
    return _DECISIONS[type(command)](person, command)


def _describe(person: Person, command: DescribePerson) -> tuple[Event, ...]:
    email = person.email if command.email is None else command.email
    full_name = person.full_name if command.full_name is None else command.full_name
    is_so = (email, full_name) == (person.email, person.full_name)
    return () if is_so else (PersonDescribed(email=email, full_name=full_name),)


def _set_administrator(person: Person, command: SetAdministrator) -> tuple[Event, ...]:
    is_so = command.is_administrator == person.is_administrator
    return () if is_so else (AdministratorSet(is_administrator=command.is_administrator),)


def _add_key(person: Person, command: AddApiKey) -> tuple[Event, ...]:
    if any(key.key_hash == command.key_hash or key.id == command.key_id for key in person.api_keys):
        return ()
    if len(person.api_keys) >= MAX_API_KEYS:
        raise Refused(f"{person.user_name} has {MAX_API_KEYS} API keys, which is the most: revoke one first")
    return (ApiKeyAdded(key_id=command.key_id, name=command.name, key_hash=command.key_hash),)


def _revoke_key(person: Person, command: RevokeApiKey) -> tuple[Event, ...]:
    if not any(key.id == command.key_id for key in person.api_keys):
        raise NotFound(f"{person.user_name} has no API key {command.key_id}")
    return (ApiKeyRevoked(key_id=command.key_id),)


def _sign_in(person: Person, command: SignIn) -> tuple[Event, ...]:
    if person.is_disabled:
        raise Refused(f"{person.user_name} is disabled: an administrator can enable the account")
    signed_in = SignedIn(
        session_id=command.session_id,
        session_hash=command.session_hash,
        method=command.method,
        expires_at=command.expires_at,
    )
    return (signed_in,)


def _sign_out(person: Person, command: SignOut) -> tuple[Event, ...]:
    if not any(session.id == command.session_id for session in person.sessions):
        raise NotFound(f"{person.user_name} has no session {command.session_id}")
    return (SignedOut(session_id=command.session_id),)


def _link(person: Person, command: LinkIdentity) -> tuple[Event, ...]:
    linked = Identity(issuer=command.issuer, subject=command.subject)
    if person.identity == linked:
        return ()
    if person.identity is not None:
        raise Refused(f"{person.user_name} is linked to another identity of {person.identity.issuer}")
    return (IdentityLinked(issuer=command.issuer, subject=command.subject),)


def _refuse_attempt(person: Person, command: RefuseAttempt) -> tuple[Event, ...]:
    refused = AttemptRefused(action=command.action, method=command.method, path=command.path, about_id=command.about_id)
    return (refused,)


_DECISIONS: dict[type, Callable[[Person, Any], tuple[Event, ...]]] = {
    DescribePerson: _describe,
    SetAdministrator: _set_administrator,
    DisablePerson: lambda person, command: () if person.is_disabled else (PersonDisabled(),),
    EnablePerson: lambda person, command: (PersonEnabled(),) if person.is_disabled else (),
    SetPassword: lambda person, command: (PasswordSet(kept_session_id=command.kept_session_id),),
    LinkIdentity: _link,
    SignIn: _sign_in,
    SignOut: _sign_out,
    SignOutEverywhere: lambda person, command: (SignedOutEverywhere(),) if person.sessions else (),
    RefuseSignIn: lambda person, command: (SignInRefused(method=command.method, reason=command.reason),),
    RefuseAttempt: _refuse_attempt,
    AddApiKey: _add_key,
    RevokeApiKey: _revoke_key,
}


def evolve(person: Person | None, entry: Entry) -> Person:
    """Fold one entry into the state."""
    event = entry.event
    if isinstance(event, PersonAdded):
        return Person(
            id=entry.aggregate_id,
            revision=entry.revision,
            user_name=event.user_name,
            email=event.email,
            full_name=event.full_name,
            is_administrator=event.is_administrator,
            created_at=entry.at,
        )
    if person is None:
        raise ValueError(f"the history of person {entry.aggregate_id} does not begin with its creation")
    return replace(_apply(person, entry), revision=entry.revision)


def _apply(person: Person, entry: Entry) -> Person:
    event = entry.event
    match event:
        case PersonDescribed():
            return replace(person, email=event.email, full_name=event.full_name)
        case AdministratorSet():
            return replace(person, is_administrator=event.is_administrator)
        case PersonDisabled():
            return replace(person, is_disabled=True, sessions=())
        case PersonEnabled():
            return replace(person, is_disabled=False)
        case PasswordSet():
            kept = tuple(each for each in person.sessions if each.id == event.kept_session_id)
            return replace(person, password_revision=entry.revision, sessions=kept)
        case IdentityLinked():
            return replace(person, identity=Identity(issuer=event.issuer, subject=event.subject))
        case SignedIn():
            return replace(person, sessions=_with_session(person, event, entry))
        case SignedOut():
            return replace(person, sessions=tuple(each for each in person.sessions if each.id != event.session_id))
        case SignedOutEverywhere():
            return replace(person, sessions=())
        case ApiKeyAdded():
            key = ApiKey(id=event.key_id, name=event.name, key_hash=event.key_hash, created_at=entry.at)
            return replace(person, api_keys=(*person.api_keys, key))
        case ApiKeyRevoked():
            return replace(person, api_keys=tuple(key for key in person.api_keys if key.id != event.key_id))
        case _:
            return person


def _with_session(person: Person, event: SignedIn, entry: Entry) -> tuple[Session, ...]:
    """Those that have expired by now go."""
    began = Session(
        id=event.session_id,
        session_hash=event.session_hash,
        method=event.method,
        address=entry.actor.address,
        created_at=entry.at,
        expires_at=event.expires_at,
    )
    lasting = [each for each in person.sessions if each.expires_at > entry.at]
    return (*lasting, began)[-MAX_SESSIONS:]
