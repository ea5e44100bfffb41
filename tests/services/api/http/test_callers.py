"""Who calls is remembered for a moment, and no longer: what was taken away opens nothing after that."""

from __future__ import annotations

import hashlib

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from services.api.http.callers import REMEMBERED_S, Callers
from services.api.ledger import MongoLedger
from services.api.sign_in.cookies import session_hash
from services.api.store.store import MongoStore
from services.core.aggregates import ORGANISATION, PERSON
from services.core.commands import (
    AddApiKey,
    AddPerson,
    AnyCommand,
    CreateOrganisation,
    DisablePerson,
    RemoveMember,
    RevokeApiKey,
    SetAdministrator,
    SetMember,
    SignIn,
)
from services.core.errors import Unauthenticated
from services.core.events import SignInMethod
from services.core.ids import AggregateId
from services.core.person import Person
from services.core.standing import Caller
from services.kit.clock import now
from tests.makers import PERSON as MAKER

EVE, HEAD, TEAM = AggregateId("1" * 24), AggregateId("2" * 24), AggregateId("3" * 24)
KEY = "the-key-of-eve"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def callers(store: MongoStore, ledger: MongoLedger, clock: Clock) -> Callers:
    key_hash = hashlib.sha256(KEY.encode()).hexdigest()
    for command in (AddPerson(user_name="eve"), AddApiKey(key_id="4" * 24, name="k", key_hash=key_hash)):
        await ledger.execute(PERSON, EVE, command, actor=MAKER)
    for team in (CreateOrganisation(name="team", owner_id=HEAD), SetMember(person_id=EVE)):
        await ledger.execute(ORGANISATION, TEAM, team, actor=MAKER)
    return Callers(store, monotonic=clock)


def request(**headers: str) -> web.Request:
    return make_mocked_request("GET", "/", headers=headers or {"X-Domino-Api-Key": KEY})


TAKEN_AWAY = [
    (PERSON, EVE, RevokeApiKey(key_id="4" * 24)),
    (PERSON, EVE, DisablePerson()),
    (ORGANISATION, TEAM, RemoveMember(person_id=EVE)),
    (PERSON, EVE, SetAdministrator(is_administrator=False)),
]


@pytest.mark.parametrize(("aggregate", "about", "command"), TAKEN_AWAY, ids=["key", "account", "membership", "rank"])
async def test_what_another_process_took_away_opens_nothing_after_a_moment(
    callers: Callers, ledger: MongoLedger, clock: Clock, aggregate: object, about: AggregateId, command: AnyCommand
) -> None:
    await ledger.execute(PERSON, EVE, SetAdministrator(is_administrator=True), actor=MAKER)
    before = await callers.identify(request())
    assert (before.organisations, before.person.is_administrator) == (frozenset({TEAM}), True)
    await ledger.execute(aggregate, about, command, actor=MAKER)  # type: ignore[arg-type]
    clock.now += REMEMBERED_S + 0.001
    try:
        after: Caller | None = await callers.identify(request())
    except Unauthenticated:
        after = None
    assert after is None or (after.organisations, after.person.is_administrator) != (frozenset({TEAM}), True)


async def test_the_moment_is_counted_from_before_the_database_was_asked(
    callers: Callers, store: MongoStore, ledger: MongoLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = store.find_person

    async def slow(*, key_hash: str) -> Person | None:
        found = await asked(key_hash=key_hash)
        await ledger.execute(PERSON, EVE, DisablePerson(), actor=MAKER)
        clock.now += REMEMBERED_S
        return found

    monkeypatch.setattr(store, "find_person", slow)
    await callers.identify(request())
    clock.now += 0.001
    monkeypatch.undo()
    with pytest.raises(Unauthenticated, match="disabled"):
        await callers.identify(request())


async def test_what_this_process_itself_ended_while_it_was_being_looked_up_is_not_remembered(
    callers: Callers, store: MongoStore, ledger: MongoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = store.find_person

    async def overtaken(*, key_hash: str) -> Person | None:
        found = await asked(key_hash=key_hash)
        await ledger.execute(PERSON, EVE, RevokeApiKey(key_id="4" * 24), actor=MAKER)
        callers.forget(EVE)
        return found

    monkeypatch.setattr(store, "find_person", overtaken)
    await callers.identify(request())
    monkeypatch.undo()
    with pytest.raises(Unauthenticated, match="no valid API key"):
        await callers.identify(request())


async def test_the_secret_of_a_session_is_no_api_key(callers: Callers, ledger: MongoLedger) -> None:
    begun = SignIn(
        session_id="5" * 24,
        session_hash=session_hash("secret"),
        method=SignInMethod.PASSWORD,
        expires_at=now().replace(year=2100),
    )
    await ledger.execute(PERSON, EVE, begun, actor=MAKER)
    assert (await callers.identify(request(Cookie="modelway_session=secret"))).person.id == EVE
    with pytest.raises(Unauthenticated, match="no valid API key"):
        await callers.identify(request(**{"X-Domino-Api-Key": "secret"}))
