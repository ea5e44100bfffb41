"""What must hold of who somebody is that a provider vouches for, whatever the provider says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import Forbidden
from services.core.identity import Claimed, claimed, match, person_id, user_names
from services.core.ids import AggregateId, is_object_id
from services.core.names import check_email, check_full_name, check_user_name
from services.core.person import ApiKey, Identity, Person

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ApiKey(id="k", name="k", key_hash="0" * 64, created_at=AT)
VERIFIED = Claimed(issuer="i", subject="s", email="g@x.example", is_email_verified=True)
ANYTHING = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)
CLAIMS = st.dictionaries(
    st.sampled_from(["preferred_username", "name", "email", "email_verified", "groups", "sub"]), ANYTHING
)


def person(**changes: Any) -> Person:
    made: dict[str, Any] = {
        "id": AggregateId("0" * 24),
        "revision": 1,
        "user_name": "grace",
        "email": "g@x.example",
        "full_name": "",
        "is_administrator": False,
        "created_at": AT,
    }
    return Person(**{**made, **changes})


def who_is(claims: Claimed, *same_email: Person, creates_people: bool = True) -> Person | None:
    return match(claims, same_email, creates_people=creates_people, provider="Provider")


@given(CLAIMS)
def test_whatever_a_provider_says_becomes_a_person_that_the_rules_allow(claims: dict[str, Any]) -> None:
    who = claimed(claims, issuer="https://id.example", subject="s")
    names = list(user_names(who))
    assert len(set(names)) == len(names) > 9
    for name in names:
        assert check_user_name(name) == name
    assert check_email(who.email) == who.email
    assert check_full_name(who.full_name) == who.full_name


def test_the_id_of_a_person_made_for_an_identity_is_an_id_and_always_the_same() -> None:
    assert is_object_id(person_id("https://id.example", "s"))
    assert person_id("https://id.example", "s") == person_id("https://id.example", "s")
    assert person_id("https://id.example", "s") != person_id("https://id.example", "t")


def test_a_verified_address_leads_to_one_who_waits_for_it() -> None:
    waiting = person()
    assert who_is(VERIFIED, waiting) is waiting


@pytest.mark.parametrize(
    "uses",
    [{"password_revision": 3}, {"api_keys": (KEY,)}, {"identity": Identity(issuer="i", subject="other")}],
    ids=["password", "key", "identity"],
)
def test_nobody_who_can_sign_in_already_is_found_by_address(uses: dict[str, Any]) -> None:
    with pytest.raises(Forbidden, match="somebody here already has the e-mail address"):
        who_is(VERIFIED, person(**uses))


def test_an_address_that_is_not_verified_or_that_two_have_leads_to_nobody() -> None:
    unverified = Claimed(issuer="i", subject="s", email="g@x.example")
    for claims, found in ((unverified, [person()]), (VERIFIED, [person(), person()])):
        with pytest.raises(Forbidden):
            who_is(claims, *found)


def test_without_anybody_of_that_address_a_person_is_made_where_that_is_wanted() -> None:
    assert who_is(VERIFIED) is None
    with pytest.raises(Forbidden, match="there is no account for you here"):
        who_is(VERIFIED, creates_people=False)
