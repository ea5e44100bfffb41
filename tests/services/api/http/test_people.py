"""People: who finds, adds and changes them, and what that does to what they hold."""

from __future__ import annotations

import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from services.api.http.app import Deps
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import PERSON
from services.core.commands import SetAdministrator
from tests.makers import PERSON as ADA
from tests.services.api.http.browser import SESSION, Browser
from tests.services.api.http.client import V1, Client
from tests.services.api.http.people import add_person

PEOPLE = f"{V1}/people"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = PasswordHasher(memory_cost=1024, time_cost=1)
    monkeypatch.setattr("services.api.sign_in.passwords.PasswordHasher", lambda: hasher)


@pytest_asyncio.fixture
async def grace(api: Client, ledger: MongoLedger) -> Client:
    """Somebody who is no administrator."""
    return await add_person(api, ledger, "grace")


async def id_of(client: Client) -> str:
    return str((await client.ok("GET", f"{V1}/whoami"))["id"])


async def sign_in(api: Client, user_name: str, password: str) -> int:
    answer = await api.as_holder_of(None)("POST", SESSION, {"userName": user_name, "password": password})
    return answer.status


async def test_a_new_person_is_found_by_name_and_can_sign_in(api: Client) -> None:
    body = {"userName": "grace", "email": "Grace@Navy.example", "fullName": "Grace Hopper", "password": PASSWORD}
    answer = await api("POST", PEOPLE, body)
    assert answer.status == 201
    person = answer.body
    assert answer.headers["Location"] == f"{PEOPLE}/{person['id']}"
    expected = {
        "id": person["id"],
        "userName": "grace",
        "email": "grace@navy.example",
        "fullName": "Grace Hopper",
        "isAdministrator": False,
        "isDisabled": False,
        "created": person["created"],
        "hasPassword": True,
        "identity": None,
    }
    assert person == expected
    assert await api.ok("GET", f"{PEOPLE}/{person['id']}") == expected
    assert await sign_in(api, "grace", PASSWORD) == 200


async def test_a_repeated_request_adds_nobody_twice(api: Client) -> None:
    body = {"userName": "grace", "password": PASSWORD, "email": "g@navy.example"}
    made = [await api.ok("POST", PEOPLE, body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert made[0] == made[1]
    assert (await api.ok("GET", PEOPLE))["totalCount"] == 2


async def test_what_no_person_can_be_like_is_told(api: Client) -> None:
    for body, says in (
        ({"userName": "a b"}, "userName must be 1 to 100 letters"),
        ({"userName": ""}, "userName must be"),
        ({}, "userName is required"),
        ({"userName": "grace", "email": "navy.example"}, "email must be an e-mail address"),
        ({"userName": "grace", "email": "a@b\n"}, "email must be an e-mail address"),
        ({"userName": "grace", "fullName": " x"}, "fullName must be"),
        ({"userName": "grace", "password": "short"}, "password must have 12 to 1024 characters, got 5"),
        ({"userName": "grace", "password": "x" * 1025}, "password must have at most 1024 characters"),
    ):
        answer = await api("POST", PEOPLE, body)
        assert answer.status == 400, body
        assert says in answer.fault
    assert (await api.ok("GET", PEOPLE))["totalCount"] == 1


async def test_names_are_unique_among_people_and_organisations_without_regard_to_case(api: Client) -> None:
    await api.ok("POST", f"{V1}/organisations", {"name": "Navy"})
    for name in ("ADA", "ada", "navy", "Navy"):
        answer = await api("POST", PEOPLE, {"userName": name})
        assert (answer.status, answer.fault) == (422, f"there is already a person or an organisation called {name!r}")
    await api.ok("POST", PEOPLE, {"userName": "a.a"})
    await api.ok("POST", PEOPLE, {"userName": "aXa"})  # a name is not a pattern


async def test_an_email_address_is_one_persons(api: Client) -> None:
    first = await api.ok("POST", PEOPLE, {"userName": "grace", "email": "grace@navy.example"})
    other = await api.ok("POST", PEOPLE, {"userName": "alan"})
    await api.ok("POST", PEOPLE, {"userName": "edsger"})  # none is no address
    taken = await api("POST", PEOPLE, {"userName": "barbara", "email": "GRACE@navy.example"})
    assert (taken.status, taken.fault) == (422, "somebody else has the e-mail address grace@navy.example")
    assert (await api("PUT", f"{PEOPLE}/{other['id']}", {"email": "grace@navy.example"})).status == 422
    assert (await api("PUT", f"{PEOPLE}/{first['id']}", {"email": "Grace@navy.example"})).status == 200


async def test_people_are_listed_in_pages_and_searched(api: Client) -> None:
    for name, email in (("grace", "hopper@navy.example"), ("alan", ""), ("barbara", "b@mit.example")):
        await api.ok("POST", PEOPLE, {"userName": name, "email": email, "fullName": f"{name.capitalize()} L."})

    async def names(**params: str) -> tuple[list[str], int]:
        page = await api.ok("GET", PEOPLE, params=params)
        return [each["userName"] for each in page["items"]], page["totalCount"]

    assert await names() == (["ada", "alan", "barbara", "grace"], 4)
    assert await names(limit="2", offset="1") == (["alan", "barbara"], 4)
    assert await names(name="NAVY") == (["grace"], 1)
    assert await names(name="a l.") == (["barbara"], 1)
    assert await names(name=".*") == ([], 0)
    assert (await api("GET", PEOPLE, params={"limit": "0"})).status == 400


async def test_how_others_sign_in_is_shown_to_administrators_only(api: Client, grace: Client) -> None:
    ada = await id_of(api)
    assert (await grace.ok("GET", f"{PEOPLE}/{ada}"))["hasPassword"] is None
    assert (await grace.ok("GET", f"{PEOPLE}/{await id_of(grace)}"))["hasPassword"] is False
    shown = {each["userName"]: each["hasPassword"] for each in (await grace.ok("GET", PEOPLE))["items"]}
    assert shown == {"ada": None, "grace": False}


async def test_only_administrators_manage_people_and_what_others_try_is_recorded(
    api: Client, grace: Client, ledger: MongoLedger
) -> None:
    alan = await id_of(await add_person(api, ledger, "alan"))
    assert (await grace("POST", PEOPLE, {"userName": "mallory"})).status == 403
    for path, body in (
        (f"{PEOPLE}/{alan}", {"fullName": "x"}),
        (f"{PEOPLE}/{alan}/password", {"password": PASSWORD}),
    ):
        answer = await grace("PUT", path, body)
        assert (answer.status, answer.fault) == (
            403,
            "grace may not change person: that takes the person, or an administrator",
        )
    history = (await api.ok("GET", f"{V1}/audit", params={"actor": "grace"}))["items"]
    assert {each["details"]["action"] for each in history if each["what"] == "person.attempt-refused"} == {
        "manage-people",
        "change-person",
    }


async def test_people_change_their_full_name_but_not_what_others_know_them_by_or_what_they_may(
    grace: Client, api: Client
) -> None:
    at = f"{PEOPLE}/{await id_of(grace)}"
    assert (await grace.ok("PUT", at, {"fullName": "Grace Hopper"}))["fullName"] == "Grace Hopper"
    for body in ({"isAdministrator": True}, {"isDisabled": True}, {"email": "boss@navy.example"}):
        assert (await grace("PUT", at, body)).status == 403
    whole = await grace.ok("GET", at)
    assert (await grace.ok("PUT", at, whole))["fullName"] == "Grace Hopper"  # what stays needs no permission
    assert (await api.ok("PUT", at, {"email": "grace@navy.example"}))["fullName"] == "Grace Hopper"


async def test_disabling_shuts_out_keys_and_sessions_at_once_and_enabling_lets_keys_in_again(
    api: Client, grace: Client
) -> None:
    person = await id_of(grace)
    await api.ok("PUT", f"{PEOPLE}/{person}/password", {"password": PASSWORD})
    assert api.session._base_url is not None
    browser = Browser(api.session._base_url)
    try:
        assert (await browser.sign_in("grace", PASSWORD)).status == 200
        assert (await api.ok("PUT", f"{PEOPLE}/{person}", {"isDisabled": True}))["isDisabled"]
        refused = await grace("GET", f"{V1}/whoami")
        assert (refused.status, refused.fault) == (401, "the account of grace is disabled")
        assert (await browser("GET", SESSION)).status == 401
        assert (await browser.sign_in("grace", PASSWORD)).status == 401
        await api.ok("PUT", f"{PEOPLE}/{person}", {"isDisabled": False})
        assert (await browser("GET", SESSION)).status == 401
        assert (await grace("GET", f"{V1}/whoami")).status == 200
        assert (await browser.sign_in("grace", PASSWORD)).status == 200
    finally:
        await browser.close()


async def test_administrators_do_not_put_themselves_out(api: Client) -> None:
    at = f"{PEOPLE}/{await id_of(api)}"
    for body in ({"isAdministrator": False}, {"isDisabled": True}):
        answer = await api("PUT", at, body)
        assert (answer.status, "another one can" in answer.fault) == (422, True)
    assert (await api.ok("GET", at))["isAdministrator"]


async def test_one_administrator_makes_another_who_can_put_out_the_first(
    api: Client, grace: Client, store: MongoStore
) -> None:
    ada, person = await id_of(api), await id_of(grace)
    assert (await api.ok("PUT", f"{PEOPLE}/{person}", {"isAdministrator": True}))["isAdministrator"]
    assert not (await grace.ok("PUT", f"{PEOPLE}/{ada}", {"isAdministrator": False}))["isAdministrator"]
    assert (await api("PUT", f"{PEOPLE}/{person}", {"isAdministrator": False})).status == 403
    assert (await store.load(PERSON, person)).is_administrator


async def test_of_two_administrators_who_put_out_each_other_at_once_one_remains(
    api: Client, grace: Client, ledger: MongoLedger, store: MongoStore
) -> None:
    """Here the second one's request was let in when the first one's was stored already."""
    ada, person = await id_of(api), await id_of(grace)
    await api.ok("PUT", f"{PEOPLE}/{person}", {"isAdministrator": True})
    await id_of(grace)  # remembered as an administrator from now on
    await ledger.execute(PERSON, person, SetAdministrator(is_administrator=False), actor=ADA)
    answer = await grace("PUT", f"{PEOPLE}/{ada}", {"isAdministrator": False})
    assert (answer.status, answer.fault) == (403, "grace is no administrator any more")
    assert (await store.load(PERSON, ada)).is_administrator


async def test_who_has_a_password_says_it_to_set_another(api: Client, grace: Client) -> None:
    at = f"{PEOPLE}/{await id_of(grace)}/password"
    assert (await grace("PUT", at, {"password": PASSWORD})).status == 204
    new = "another long password"
    missing = await grace("PUT", at, {"password": new})
    assert (missing.status, missing.fault) == (400, "currentPassword is required of those who have a password")
    wrong = await grace("PUT", at, {"password": new, "currentPassword": "wrong horse battery"})
    assert (wrong.status, wrong.fault) == (400, "currentPassword is not the password of this account")
    assert (await grace("PUT", at, {"password": "short", "currentPassword": PASSWORD})).status == 400
    assert await sign_in(api, "grace", PASSWORD) == 200
    assert (await grace("PUT", at, {"password": new, "currentPassword": PASSWORD})).status == 204
    assert [await sign_in(api, "grace", each) for each in (PASSWORD, new)] == [401, 200]


async def test_guessing_the_current_password_is_slowed_down_and_recorded(
    api: Client, grace: Client, deps: Deps
) -> None:
    person = await id_of(grace)
    await api.ok("PUT", f"{PEOPLE}/{person}/password", {"password": PASSWORD})
    body = {"password": "another long password", "currentPassword": "wrong horse battery"}
    statuses = [(await grace("PUT", f"{PEOPLE}/{person}/password", body)).status for _ in range(11)]
    assert statuses == [400] * 10 + [429]
    await deps.signing_in.refused.settle()
    history = (await api.ok("GET", f"{V1}/audit"))["items"]
    assert [each["what"] for each in history].count("person.sign-in-refused") == 10


async def test_a_new_password_signs_out_all_other_browsers(api: Client, grace: Client) -> None:
    person = await id_of(grace)
    await api.ok("PUT", f"{PEOPLE}/{person}/password", {"password": PASSWORD})
    assert api.session._base_url is not None
    here, there = Browser(api.session._base_url), Browser(api.session._base_url)
    try:
        for each in (here, there):
            await each.sign_in("grace", PASSWORD)
        body = {"password": "another long password", "currentPassword": PASSWORD}
        assert (await here("PUT", f"{PEOPLE}/{person}/password", body)).status == 204
        assert [(await each("GET", SESSION)).status for each in (here, there)] == [200, 401]
        await api.ok("PUT", f"{PEOPLE}/{person}/password", {"password": PASSWORD})
        assert (await here("GET", SESSION)).status == 401
    finally:
        await here.close()
        await there.close()


async def test_a_person_who_does_not_exist_is_nobodys_to_change(api: Client) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("PUT", "/password"), ("GET", "/apiKeys"), ("DELETE", "/sessions")):
        assert (await api(method, f"{PEOPLE}/{'0' * 24}{path}", {})).status == 404
