"""This file is the person aggregate: who may call the management API, and with which keys."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core.commands import AddApiKey, AddPerson, PersonCommand, RevokeApiKey
from services.core.errors import NotFound
from services.core.events import ApiKeyAdded, ApiKeyRevoked, Entry, Event, PersonAdded
from services.core.ids import AggregateId


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key for the management API; `key_hash` is its SHA-256 (keys are random, so a slow hash would add nothing)."""

    id: str
    name: str
    key_hash: str
    created_at: datetime


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state of a person."""

    id: AggregateId
    revision: int
    user_name: str
    email: str
    full_name: str
    is_administrator: bool
    created_at: datetime
    api_keys: tuple[ApiKey, ...] = ()


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
    match command:
        case AddApiKey():
            if any(key.key_hash == command.key_hash for key in person.api_keys):
                return ()
            return (ApiKeyAdded(key_id=command.key_id, name=command.name, key_hash=command.key_hash),)
        case RevokeApiKey():
            if not any(key.id == command.key_id for key in person.api_keys):
                raise NotFound(f"{person.user_name} has no API key {command.key_id}")
            return (ApiKeyRevoked(key_id=command.key_id),)


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
    match event:
        case ApiKeyAdded():
            key = ApiKey(id=event.key_id, name=event.name, key_hash=event.key_hash, created_at=entry.at)
            return replace(person, revision=entry.revision, api_keys=(*person.api_keys, key))
        case ApiKeyRevoked():
            kept = tuple(key for key in person.api_keys if key.id != event.key_id)
            return replace(person, revision=entry.revision, api_keys=kept)
        case _:
            return replace(person, revision=entry.revision)
