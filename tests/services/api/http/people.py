"""This file is people other than the administrator, for tests of what they may."""

from __future__ import annotations

import hashlib

from services.api.ledger import MongoLedger
from services.core.aggregates import PERSON
from services.core.commands import AddApiKey, AddPerson
from services.kit.ids import new_object_id
from tests.makers import PERSON as ADA
from tests.services.api.http.client import Client


async def add_person(api: Client, ledger: MongoLedger, name: str = "grace") -> Client:
    """The client of a new person, who is no administrator."""
    person_id, key = new_object_id(), f"the-key-of-{name}"
    await ledger.execute(PERSON, person_id, AddPerson(user_name=name), actor=ADA)
    hashed = hashlib.sha256(key.encode()).hexdigest()
    await ledger.execute(PERSON, person_id, AddApiKey(key_id=new_object_id(), name="k", key_hash=hashed), actor=ADA)
    return api.as_holder_of(key)
