"""The official Python client of the product whose programs are to work here, unmodified, step by step."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from services.api.ledger import MongoLedger
from services.core.aggregates import PERSON
from services.core.commands import AddApiKey, AddPerson
from services.kit.ids import new_object_id
from tests.e2e.official import walk
from tests.makers import PERSON as ADA
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import ADMINISTRATOR, API_KEY


async def add(ledger: MongoLedger, name: str) -> str:
    """The key of a new person, who is no administrator and has an e-mail address."""
    person_id, key = new_object_id(), f"the-key-of-{name}"
    await ledger.execute(PERSON, person_id, AddPerson(user_name=name, email=f"{name}@example.org"), actor=ADA)
    hashed = hashlib.sha256(key.encode()).hexdigest()
    await ledger.execute(PERSON, person_id, AddApiKey(key_id=new_object_id(), name="k", key_hash=hashed), actor=ADA)
    return key


@pytest.mark.parametrize("who", ["an administrator", "a person"])
async def test_every_method_in_scope_works_unmodified(api: Client, ledger: MongoLedger, who: str) -> None:
    user_name, key = (ADMINISTRATOR, API_KEY) if who == "an administrator" else ("alan", await add(ledger, "alan"))
    await add(ledger, "grace")
    quota = {"cpuRequested": 1, "cpuLimit": 2, "memoryRequestedBytes": 1 << 30, "memoryLimitBytes": 1 << 31}
    await api.ok("POST", f"{V1}/resourceQuotas", {"name": "small", **quota})
    url = str(api.session._base_url)
    assert await asyncio.to_thread(walk, url, user_name=user_name, key=key, colleague="grace") == {}
