"""A person: what commands bring about, what shows afterwards, and what holds whatever happens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.core.aggregates import PERSON
from services.core.commands import (
    AddApiKey,
    AddPerson,
    Command,
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
from services.core.errors import NotFound, PermanentError, Refused
from services.core.events import (
    AdministratorSet,
    ApiKeyAdded,
    ApiKeyRevoked,
    AttemptRefused,
    IdentityLinked,
    PasswordSet,
    PersonAdded,
    PersonDescribed,
    PersonDisabled,
    PersonEnabled,
    PersonEvent,
    SignedIn,
    SignedOut,
    SignedOutEverywhere,
    SignInMethod,
    SignInRefused,
)
from services.core.person import MAX_API_KEYS, MAX_SESSIONS, Person, decide
from tests.core.lives import Life
from tests.makers import START

ADD = AddPerson(user_name="grace", email="grace@navy.example", full_name="Grace Hopper")
LATER = START + timedelta(hours=12)


def key(number: int = 1) -> AddApiKey:
    return AddApiKey(key_id=f"k{number}", name="laptop", key_hash=f"h{number}")


def sign_in(number: int = 1, **changes: Any) -> SignIn:
    made = SignIn(session_id=f"s{number}", session_hash=f"c{number}", method=SignInMethod.PASSWORD, expires_at=LATER)
    return replace(made, **changes)


LINK = LinkIdentity(issuer="https://id.example", subject="7")
REFUSED_SIGN_IN = RefuseSignIn(method=SignInMethod.PASSWORD, reason="wrong")
REFUSED_ATTEMPT = RefuseAttempt(action="change-platform", method="PUT", path="/p", about_id="m")


@pytest.mark.parametrize(
    ("before", "command", "brings"),
    [
        ([], DescribePerson(), []),
        ([], DescribePerson(full_name="G. Hopper"), [PersonDescribed(email=ADD.email, full_name="G. Hopper")]),
        ([], DescribePerson(email=""), [PersonDescribed(email="", full_name=ADD.full_name)]),
        ([], DescribePerson(email=ADD.email, full_name=ADD.full_name), []),
        ([], SetAdministrator(is_administrator=True), [AdministratorSet(is_administrator=True)]),
        ([], SetAdministrator(is_administrator=False), []),
        ([], DisablePerson(), [PersonDisabled()]),
        ([DisablePerson()], DisablePerson(), []),
        ([DisablePerson()], EnablePerson(), [PersonEnabled()]),
        ([], EnablePerson(), []),
        ([], SetPassword(), [PasswordSet()]),
        ([SetPassword()], SetPassword(kept_session_id="s1"), [PasswordSet(kept_session_id="s1")]),
        ([], LINK, [IdentityLinked(issuer=LINK.issuer, subject=LINK.subject)]),
        ([LINK], LINK, []),
        (
            [],
            sign_in(),
            [SignedIn(session_id="s1", session_hash="c1", method=SignInMethod.PASSWORD, expires_at=LATER)],
        ),
        ([sign_in()], SignOut(session_id="s1"), [SignedOut(session_id="s1")]),
        ([sign_in()], SignOutEverywhere(), [SignedOutEverywhere()]),
        ([], SignOutEverywhere(), []),
        ([], REFUSED_SIGN_IN, [SignInRefused(method=SignInMethod.PASSWORD, reason="wrong")]),
        (
            [],
            REFUSED_ATTEMPT,
            [AttemptRefused(action="change-platform", method="PUT", path="/p", about_id="m")],
        ),
        ([], key(), [ApiKeyAdded(key_id="k1", name="laptop", key_hash="h1")]),
        ([key()], key(), []),
        ([key()], replace(key(), key_id="k2"), []),
        ([key()], replace(key(), key_hash="h2"), []),
        ([key()], RevokeApiKey(key_id="k1"), [ApiKeyRevoked(key_id="k1")]),
        ([], ADD, []),
    ],
)
def test_what_a_command_brings_about(before: list[Command], command: Command, brings: list[Any]) -> None:
    assert Life(PERSON, ADD, *before).do(command) == brings


@pytest.mark.parametrize(
    ("before", "command", "kind"),
    [
        ([DisablePerson()], sign_in(), Refused),
        ([LINK], replace(LINK, subject="8"), Refused),
        ([key(number) for number in range(MAX_API_KEYS)], key(MAX_API_KEYS), Refused),
        ([], RevokeApiKey(key_id="k1"), NotFound),
        ([], SignOut(session_id="s1"), NotFound),
    ],
)
def test_what_is_refused(before: list[Command], command: Command, kind: type[PermanentError]) -> None:
    life = Life(PERSON, ADD, *before)
    with pytest.raises(kind):
        life.do(command)


def test_a_new_person_is_as_the_command_says() -> None:
    person = Life(PERSON, ADD).state
    assert (person.user_name, person.email, person.full_name) == ("grace", "grace@navy.example", "Grace Hopper")
    assert not person.is_administrator
    assert not person.has_password


def test_disabling_ends_every_session_and_enabling_brings_none_back() -> None:
    life = Life(PERSON, ADD, key(), sign_in(1), sign_in(2), DisablePerson())
    assert life.state.sessions == ()
    life.do(EnablePerson())
    assert life.state.sessions == ()
    assert [each.id for each in life.state.api_keys] == ["k1"]


def test_a_new_password_ends_every_session_but_the_one_that_set_it() -> None:
    life = Life(PERSON, ADD, sign_in(1), sign_in(2), sign_in(3), SetPassword(kept_session_id="s2"))
    assert [each.id for each in life.state.sessions] == ["s2"]
    life.do(SetPassword())
    assert life.state.sessions == ()


def test_a_password_is_known_by_the_entry_that_set_it() -> None:
    """So that a sign-in can tell that the password it was proven with is another by now."""
    life = Life(PERSON, ADD, SetPassword())
    first = life.state.password_revision
    assert first == 2
    life.do(key(), SetPassword())
    assert life.state.password_revision > first


def test_a_session_ends_at_its_time_or_with_the_account() -> None:
    life = Life(PERSON, ADD, sign_in())
    assert life.state.session("c1", LATER - timedelta(seconds=1)) is not None
    assert life.state.session("c1", LATER) is None
    assert life.state.session("another", START) is None
    assert replace(life.state, is_disabled=True).session("c1", START) is None


def test_with_one_session_too_many_the_oldest_ends() -> None:
    life = Life(PERSON, ADD, *(sign_in(number) for number in range(MAX_SESSIONS + 1)))
    assert [each.id for each in life.state.sessions] == [f"s{number}" for number in range(1, MAX_SESSIONS + 1)]


def test_sessions_that_have_expired_go_with_the_next_sign_in() -> None:
    life = Life(PERSON, ADD, sign_in(1, expires_at=START + timedelta(seconds=3)), sign_in(2), sign_in(3))
    assert [each.id for each in life.state.sessions] == ["s2", "s3"]


AWARE: dict[type[Any], dict[str, Any]] = {
    kind: {"expires_at": st.datetimes().map(lambda at: at.replace(tzinfo=START.tzinfo))} for kind in (SignIn, SignedIn)
}
EVENTS = st.one_of([st.builds(kind, **AWARE.get(kind, {})) for kind in get_args(PersonEvent)])
STATES = st.lists(EVENTS, max_size=6)
TO_A_PERSON = [each for each in get_args(PersonCommand) if each is not AddPerson]


@given(st.one_of([st.builds(kind, **AWARE.get(kind, {})) for kind in TO_A_PERSON]))
def test_nothing_happens_to_a_person_who_does_not_exist(command: Any) -> None:
    with pytest.raises(NotFound):
        decide(None, command)


@given(STATES, EVENTS)
def test_every_event_can_happen_to_every_state(before: list[Any], event: Any) -> None:
    """Folding is total: what is in a history was decided once, under whatever rules there were then."""
    life = Life(PERSON, ADD)
    for each in before:
        life.happens(each)
    person = life.happens(event)
    assert person.revision == len(life.entries)
    assert len(person.sessions) <= MAX_SESSIONS
    assert not (isinstance(event, PersonDisabled) and person.sessions)
    assert isinstance(event, PersonAdded) or person.id == life.entries[0].aggregate_id


COMMANDS = st.one_of(
    st.sampled_from([DisablePerson(), EnablePerson(), SetPassword(), SignOutEverywhere(), LINK]),
    st.booleans().map(lambda flag: SetAdministrator(is_administrator=flag)),
    st.integers(1, 4).map(key),
    st.integers(1, 4).map(lambda number: RevokeApiKey(key_id=f"k{number}")),
    st.integers(1, 4).map(sign_in),
    st.integers(1, 4).map(lambda number: SignOut(session_id=f"s{number}")),
    st.integers(1, 4).map(lambda number: SetPassword(kept_session_id=f"s{number}")),
)


@settings(max_examples=200)
@given(st.lists(COMMANDS, max_size=25))
def test_whatever_people_do_ids_stay_unique_and_the_disabled_have_no_session(commands: list[Any]) -> None:
    life = Life(PERSON, ADD)
    for command in commands:
        already = any(each.id == getattr(command, "session_id", "") for each in life.state.sessions)
        if isinstance(command, SignIn) and already:
            continue  # their ids are drawn
        before = life.state
        try:
            happened = life.do(command)
        except (Refused, NotFound):
            happened = []
        _check(life.state, before, is_changed=bool(happened))


def _check(person: Person, before: Person, *, is_changed: bool) -> None:
    assert is_changed or person is before
    assert not (person.is_disabled and person.sessions)
    for ids in ([each.id for each in person.api_keys], [each.id for each in person.sessions]):
        assert len(ids) == len(set(ids))
