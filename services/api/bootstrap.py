"""This file is what a new platform begins with: an administrator with API key and password, and an environment."""

from __future__ import annotations

import hashlib

from services.api.ports import Ledger
from services.api.recorder import service_actor
from services.api.sign_in.passwords import Passwords
from services.api.store.store import MongoStore
from services.core.aggregates import ENVIRONMENT, PERSON
from services.core.commands import AddApiKey, AddPerson, CreateEnvironment, SetPassword
from services.core.errors import Refused
from services.core.ids import AggregateId
from services.core.names import DEFAULT_ENVIRONMENT
from services.core.person import Person
from services.kit.config import Secret
from services.kit.ids import new_object_id


async def bootstrap(ledger: Ledger, store: MongoStore, *, user_name: str, api_key: Secret) -> None:
    """Makes it so that the administrator exists and `api_key` is theirs; what is there already stays as it is."""
    person = await _administrator(ledger, store, user_name)
    key_hash = hashlib.sha256(api_key.reveal().encode()).hexdigest()
    key = AddApiKey(key_id=new_object_id(), name="bootstrap", key_hash=key_hash)
    await ledger.execute(PERSON, person.id, key, actor=service_actor("api"))
    if await store.find_environment_id(name=DEFAULT_ENVIRONMENT) is None:
        created = CreateEnvironment(
            owner_id=person.id, name=DEFAULT_ENVIRONMENT, revision_id=new_object_id(), visibility="Global"
        )
        await _unless_taken(ledger, ENVIRONMENT, created)


async def bootstrap_password(
    ledger: Ledger, store: MongoStore, passwords: Passwords, *, user_name: str, password: Secret
) -> None:
    """The administrator's first password, to sign in with in a browser. One that they have already stays."""
    person = await store.find_person_by_name(user_name)
    if person is not None and not person.has_password:
        secrets = await passwords.sealed(person.id, password.reveal())
        await ledger.execute(PERSON, person.id, SetPassword(), actor=service_actor("api"), secrets=secrets)


async def _administrator(ledger: Ledger, store: MongoStore, user_name: str) -> Person:
    person = await store.find_person_by_name(user_name)
    if person is None:
        await _unless_taken(ledger, PERSON, AddPerson(user_name=user_name, is_administrator=True))
        person = await store.find_person_by_name(user_name)
    if person is None:
        raise Refused(f"the first administrator {user_name!r} could not be added")
    return person


async def _unless_taken(ledger: Ledger, aggregate: object, command: object) -> None:
    """Another api process may be starting too; the name is unique, so one of the two wins."""
    try:
        await ledger.execute(aggregate, AggregateId(new_object_id()), command, actor=service_actor("api"))  # type: ignore
    except Refused:
        return
