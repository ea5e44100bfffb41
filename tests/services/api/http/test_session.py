"""Browser sessions: signing in with a password, what the cookie opens, and how sessions end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from argon2 import PasswordHasher

from services.api.http.app import Deps
from services.api.http.callers import Callers
from services.api.sign_in.cookies import CSRF_HEADER, SessionCookie
from services.api.store.store import MongoStore
from services.core.errors import Unauthenticated
from tests.services.api.http.browser import SESSION, Browser
from tests.services.api.http.client import V1, Client

PASSWORD = "correct horse battery"
WRONG = "user name and password do not belong together, or the account is disabled"
Open = Callable[[], Browser]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored of passwords is made with less work; tests/services/api/test_passwords.py has the real one."""
    hasher = PasswordHasher(memory_cost=1024, time_cost=1)
    monkeypatch.setattr("services.api.sign_in.passwords.PasswordHasher", lambda: hasher)


@pytest_asyncio.fixture
async def grace(api: Client) -> str:
    """The id of somebody with a password, who is no administrator."""
    body = {"userName": "grace", "email": "grace@navy.example", "password": PASSWORD}
    return str((await api.ok("POST", f"{V1}/people", body))["id"])


@pytest_asyncio.fixture
async def open_browser(api: Client) -> AsyncIterator[Open]:
    opened: list[Browser] = []

    def new() -> Browser:
        assert api.session._base_url is not None
        opened.append(Browser(api.session._base_url))
        return opened[-1]

    yield new
    for each in opened:
        await each.close()


@pytest_asyncio.fixture
async def browser(open_browser: Open, grace: str) -> Browser:
    """One in which grace is signed in."""
    browser = open_browser()
    assert (await browser.sign_in("grace", PASSWORD)).status == 200
    return browser


async def whats(api: Client, person: str) -> list[dict[str, Any]]:
    """What happened to a person, newest first."""
    items = (await api.ok("GET", f"{V1}/audit"))["items"]
    return [item for item in items if item["aggregateId"] == person]


async def test_signing_in_gives_a_cookie_that_scripts_cannot_read_and_a_token_for_changes(
    open_browser: Open, grace: str
) -> None:
    before = time.time() * 1000
    answer = await open_browser().sign_in("grace", PASSWORD)
    assert answer.status == 200
    body = answer.body
    assert (body["person"]["id"], body["method"]) == (grace, "password")
    assert body["expires"] - before == pytest.approx(12 * 3600_000, abs=60_000)
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("modelway_session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["csrfToken"] not in cookie


async def test_over_https_the_cookie_is_secure_and_of_this_host_alone() -> None:
    response = web.Response()
    SessionCookie.of("https://models.example").give(response, "s", lasts_s=60)
    cookie = response.cookies["__Host-modelway_session"]
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")


async def test_the_cookie_opens_what_the_key_does_and_changes_take_the_token(browser: Browser) -> None:
    assert (await browser.ok("GET", f"{V1}/whoami"))["userName"] == "grace"
    await browser.ok("POST", "/v4/projects", {"name": "iris"})
    forged = await browser("POST", "/v4/projects", {"name": "forged"}, headers={CSRF_HEADER: "x" * 64})
    assert (forged.status, forged.fault.startswith(f"a change from a browser needs the header {CSRF_HEADER}")) == (
        403,
        True,
    )
    browser.token = None
    assert (await browser("POST", "/v4/projects", {"name": "forged"})).status == 403
    assert (await browser("GET", f"{V1}/whoami")).status == 200


async def test_a_page_that_was_loaded_anew_asks_for_its_token(browser: Browser) -> None:
    answer = await browser("GET", SESSION)
    assert answer.body["csrfToken"] == browser.token
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body["person"]["userName"] == "grace"


async def test_a_form_of_a_foreign_page_signs_nobody_in(open_browser: Open, grace: str) -> None:
    data = '{"userName": "grace", "password": "' + PASSWORD + '"}'
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await open_browser()("POST", SESSION, data=data, headers={"Content-Type": content_type})
        assert (answer.status, "Set-Cookie" in answer.headers) == (400, False)


async def test_signing_out_ends_the_session_at_once(browser: Browser) -> None:
    signed_out = await browser("DELETE", SESSION, headers={})
    assert signed_out.status == 204
    assert "Max-Age=0" in signed_out.headers["Set-Cookie"]
    assert (await browser("GET", SESSION)).status == 401


async def test_a_cookie_of_a_session_that_ended_opens_nothing(browser: Browser, open_browser: Open) -> None:
    secret = next(iter(browser.session.cookie_jar)).value
    assert (await browser("DELETE", SESSION)).status == 204
    answer = await open_browser()("GET", f"{V1}/whoami", headers={"Cookie": f"modelway_session={secret}"})
    assert (answer.status, answer.fault) == (401, "the session has ended: sign in again")


async def test_a_request_with_a_key_belongs_to_no_session(api: Client) -> None:
    for method in ("GET", "DELETE"):
        assert (await api(method, SESSION)).status == 404


async def test_unknown_wrong_and_disabled_are_told_apart_by_nobody_but_the_history(
    api: Client, open_browser: Open, grace: str, deps: Deps
) -> None:
    browser = open_browser()
    await api.ok("POST", f"{V1}/people", {"userName": "alan"})
    answers = [await browser.sign_in("grace", "wrong horse battery"), await browser.sign_in("nobody", PASSWORD)]
    answers.append(await browser.sign_in("alan", PASSWORD))  # has no password
    await api.ok("PUT", f"{V1}/people/{grace}", {"isDisabled": True})
    answers.append(await browser.sign_in("grace", PASSWORD))
    assert {(each.status, each.fault, "Set-Cookie" in each.headers) for each in answers} == {(401, WRONG, False)}
    await deps.signing_in.refused.settle()
    happened = await whats(api, grace)
    refused = [item["details"]["reason"] for item in happened if item["what"] == "person.sign-in-refused"]
    assert refused == ["the account is disabled", "the password was wrong"]
    assert {item["actor"]["address"] for item in happened} == {"127.0.0.1"}


async def test_guessing_is_slowed_down_for_names_that_exist_and_for_those_that_do_not(
    open_browser: Open, grace: str
) -> None:
    for name in ("grace", "nobody"):
        browser = open_browser()
        answers = [await browser.sign_in(name, "a wrong password") for _ in range(12)]
        assert [each.status for each in answers] == [401] * 10 + [429] * 2
        assert int(answers[-1].headers["Retry-After"]) > 0


async def test_the_history_names_the_session_and_no_answer_shows_a_hash(
    api: Client, browser: Browser, grace: str, store: MongoStore
) -> None:
    entry = (await whats(api, grace))[0]
    assert entry["what"] == "person.signed-in"
    assert entry["actor"]["name"] == "grace"
    person = await store.find_person_by_name("grace")
    assert person is not None
    hashes = [person.sessions[0].session_hash, next(iter(browser.session.cookie_jar)).value]
    for path in (f"{V1}/audit", f"{V1}/people/{grace}", f"{V1}/people/{grace}/sessions", f"{V1}/people"):
        shown = (await api("GET", path)).raw.decode()
        assert not [each for each in hashes if each in shown]
        assert "argon2" not in shown


async def test_sessions_are_listed_and_ended_one_by_one(open_browser: Open, browser: Browser, grace: str) -> None:
    other = open_browser()
    await other.sign_in("grace", PASSWORD)
    at = f"{V1}/people/{grace}/sessions"
    items = (await browser.ok("GET", at))["items"]
    assert [(each["isCurrent"], each["method"], each["address"]) for each in items] == [
        (True, "password", "127.0.0.1"),
        (False, "password", "127.0.0.1"),
    ]
    assert (await browser("DELETE", f"{at}/{items[1]['id']}")).status == 204
    assert (await other("GET", SESSION)).status == 401
    assert (await browser("GET", SESSION)).status == 200
    assert (await browser("DELETE", f"{at}/{items[1]['id']}")).status == 404


async def test_signing_out_everywhere_ends_all_of_them(open_browser: Open, browser: Browser, grace: str) -> None:
    other = open_browser()
    await other.sign_in("grace", PASSWORD)
    assert (await other("DELETE", f"{V1}/people/{grace}/sessions")).status == 204
    assert [(await each("GET", SESSION)).status for each in (browser, other)] == [401, 401]


async def test_an_administrator_ends_sessions_of_others_and_nobody_else_does(
    api: Client, open_browser: Open, browser: Browser, grace: str
) -> None:
    await api.ok("POST", f"{V1}/people", {"userName": "alan", "password": PASSWORD})
    alan = open_browser()
    await alan.sign_in("alan", PASSWORD)
    at = f"{V1}/people/{grace}/sessions"
    assert [(await alan(method, at)).status for method in ("GET", "DELETE")] == [403, 403]
    assert (await api("DELETE", at)).status == 204
    assert (await browser("GET", SESSION)).status == 401


async def test_a_session_ends_at_its_time(store: MongoStore, browser: Browser) -> None:
    """Twelve hours later, by the clock of who asks."""
    secret = next(iter(browser.session.cookie_jar)).value
    request = make_mocked_request("GET", "/", headers={"Cookie": f"modelway_session={secret}"})
    late = timedelta(hours=11, minutes=59)
    assert await Callers(store, clock=lambda: datetime.now(UTC) + late).identify(request)
    late = timedelta(hours=12, seconds=1)
    with pytest.raises(Unauthenticated):
        await Callers(store, clock=lambda: datetime.now(UTC) + late).identify(request)


async def test_a_password_that_changes_while_it_is_checked_opens_no_session(
    api: Client, deps: Deps, grace: str, open_browser: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = open_browser()
    check = deps.signing_in.passwords.check

    async def slow_check(*args: Any) -> Any:
        found = await check(*args)
        await api.ok("PUT", f"{V1}/people/{grace}/password", {"password": "another long password"})
        return found

    monkeypatch.setattr(deps.signing_in.passwords, "check", slow_check)
    assert (await browser.sign_in("grace", PASSWORD)).status == 401
    monkeypatch.undo()
    assert (await browser.sign_in("grace", PASSWORD)).status == 401
    assert (await browser.sign_in("grace", "another long password")).status == 200


async def test_how_one_can_sign_in_is_told_to_everybody(api: Client) -> None:
    told = await api.as_holder_of(None).ok("GET", f"{SESSION}/methods")
    assert told == {"password": True, "openIdConnect": None}
