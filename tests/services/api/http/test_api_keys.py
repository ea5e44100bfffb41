"""API keys: their secrets are told once, only their owners make them, and when they were used last is known."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from services.api.http.app import Deps
from services.api.key_uses import NOTED_EVERY_S, KeyUses
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.errors import Unavailable
from services.core.ids import AggregateId
from services.core.person import ApiKey, Person
from tests.makers import START
from tests.services.api.http.client import V1, Client
from tests.services.api.http.people import add_person

MOST = 15


@pytest_asyncio.fixture
async def grace(api: Client, ledger: MongoLedger) -> Client:
    return await add_person(api, ledger, "grace")


async def keys_at(client: Client) -> str:
    return f"{V1}/people/{(await client.ok('GET', f'{V1}/whoami'))['id']}/apiKeys"


async def test_the_secret_of_a_new_key_is_told_once_and_stored_as_a_hash(grace: Client, store: MongoStore) -> None:
    at = await keys_at(grace)
    answer = await grace("POST", at, {"name": "laptop"})
    assert answer.status == 201
    key = answer.body
    assert re.fullmatch("[A-Za-z0-9]{64}", key["key"])
    assert answer.headers["Location"] == f"{at}/{key['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (await grace.as_holder_of(key["key"]).ok("GET", f"{V1}/whoami"))["userName"] == "grace"
    listed = await grace("GET", at)
    assert [each["name"] for each in listed.body["items"]] == ["k", "laptop"]
    assert key["key"] not in listed.raw.decode()
    assert await store.find_person(key_hash=hashlib.sha256(key["key"].encode()).hexdigest()) is not None


async def test_no_answer_shows_the_hash_of_a_key(api: Client, grace: Client) -> None:
    key = await grace.ok("POST", await keys_at(grace), {"name": "laptop"})
    hashed = hashlib.sha256(key["key"].encode()).hexdigest()
    for path in (f"{V1}/audit", f"{V1}/people", await keys_at(grace)):
        shown = (await api("GET", path)).raw.decode()
        assert hashed not in shown
        assert key["key"] not in shown


async def test_a_repeated_request_makes_no_second_key_and_says_what_to_do(grace: Client) -> None:
    at, once = await keys_at(grace), {"Idempotency-Key": "once"}
    made = await grace.ok("POST", at, {"name": "laptop"}, headers=once)
    again = await grace("POST", at, {"name": "laptop"}, headers=once)
    assert again.status == 422
    assert f"this request made the API key {made['id']} before" in again.fault
    assert len((await grace.ok("GET", at))["items"]) == 2
    assert (await grace("DELETE", f"{at}/{made['id']}")).status == 204
    revoked = await grace("POST", at, {"name": "laptop"}, headers=once)
    assert (revoked.status, "revoked since" in revoked.fault) == (422, True)


async def test_nobody_makes_keys_of_others_not_even_an_administrator(api: Client, grace: Client) -> None:
    answer = await api("POST", await keys_at(grace), {"name": "spare"})
    assert (answer.status, answer.fault) == (
        403,
        "only grace can make API keys of grace: who has one acts as them",
    )
    assert (await grace("POST", await keys_at(api), {"name": "spare"})).status == 403
    happened = [each["what"] for each in (await api.ok("GET", f"{V1}/audit"))["items"]]
    assert happened.count("person.attempt-refused") == 2


async def test_a_revoked_key_opens_nothing_at_once_and_administrators_may_revoke(
    api: Client, grace: Client, ledger: MongoLedger
) -> None:
    at = await keys_at(grace)
    key = await grace.ok("POST", at, {"name": "laptop"})
    holder = grace.as_holder_of(key["key"])
    assert (await holder("GET", f"{V1}/whoami")).status == 200
    alan = await add_person(api, ledger, "alan")
    assert [(await alan(method, at)).status for method in ("GET", "POST")] == [403, 403]
    assert (await alan("DELETE", f"{at}/{key['id']}")).status == 403
    assert (await api("DELETE", f"{at}/{key['id']}")).status == 204
    assert (await holder("GET", f"{V1}/whoami")).status == 401
    assert (await api("DELETE", f"{at}/{key['id']}")).status == 404


async def test_names_of_keys_are_printable(grace: Client) -> None:
    at = await keys_at(grace)
    for body in ({"name": "a\nb"}, {"name": ""}, {}, {"name": "x" * 101}):
        assert (await grace("POST", at, body)).status == 400


async def test_when_a_key_was_used_last_is_known_soon(grace: Client, deps: Deps) -> None:
    at = await keys_at(grace)
    spare = await grace.ok("POST", at, {"name": "spare"})
    await deps.key_uses.write()
    used, unused = (await grace.ok("GET", at))["items"]
    assert datetime.now(UTC).timestamp() * 1000 - used["lastUsed"] < 60_000
    assert unused["lastUsed"] is None
    await grace.as_holder_of(spare["key"]).ok("GET", f"{V1}/whoami")
    await deps.key_uses.write()
    assert (await grace.ok("GET", at))["items"][1]["lastUsed"] >= used["lastUsed"]


async def test_what_is_known_of_a_revoked_key_goes(grace: Client, deps: Deps, store: MongoStore) -> None:
    at = await keys_at(grace)
    key = (await grace.ok("GET", at))["items"][0]
    await deps.key_uses.write()
    assert await store.people.key_uses([key["id"]])
    await grace("DELETE", f"{at}/{key['id']}")
    assert await store.people.key_uses([key["id"]]) == {}


def owner_of(*key_ids: str) -> Person:
    keys = tuple(ApiKey(id=each, name=each, key_hash=f"hash of {each}", created_at=START) for each in key_ids)
    return Person(
        id=AggregateId("a" * 24),
        revision=1,
        user_name="grace",
        email="",
        full_name="",
        is_administrator=False,
        created_at=START,
        api_keys=keys,
    )


async def test_a_use_is_written_once_a_minute_and_an_earlier_one_changes_nothing(store: MongoStore) -> None:
    at, passed_s = START, 0.0
    uses = KeyUses(store.people, clock=lambda: at, monotonic=lambda: passed_s)
    grace = owner_of("k1", "k2")
    for _ in range(3):
        uses.note(grace, "hash of k1")
    await uses.write()
    at = START + timedelta(seconds=30)
    uses.note(grace, "hash of k1")
    await uses.write()
    assert await store.people.key_uses(["k1", "k2"]) == {"k1": START}
    passed_s, at = NOTED_EVERY_S, START + timedelta(seconds=60)
    uses.note(grace, "hash of k1")
    await uses.write()
    await store.people.note_key_uses({"k1": START})  # another api process was slower
    assert await store.people.key_uses(["k1", "k2"]) == {"k1": at}


async def test_while_the_database_is_away_uses_wait_in_bounded_memory(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.key_uses.MOST", MOST)

    class Away:
        is_away = True

        async def note_key_uses(self, uses: dict[str, datetime]) -> None:
            if self.is_away:
                raise Unavailable("away")
            await store.people.note_key_uses(uses)

    people = Away()
    uses = KeyUses(people, clock=lambda: START, monotonic=lambda: 0.0)  # type: ignore[arg-type]
    ids = [f"k{number}" for number in range(MOST + 5)]
    grace = owner_of(*ids[:10])
    for each in ids[:10]:
        uses.note(grace, f"hash of {each}")
    await uses.write()
    for each in ids[10:]:
        uses.note(owner_of(each), f"hash of {each}")
    assert len(uses._waiting) == MOST
    people.is_away = False
    await uses.write()
    known = await store.people.key_uses(ids)
    assert len(known) == MOST
    assert ids[0] in known
