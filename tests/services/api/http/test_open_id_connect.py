"""What must hold of signing in with a real OpenID Connect provider: Canaille, in a process of its own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from services.api.http.app import Deps, create_app
from services.api.ledger import MongoLedger
from services.api.sign_in.provider import Account
from services.api.store.store import MongoStore
from services.core.aggregates import PERSON
from services.core.commands import AddPerson, DisablePerson
from services.core.person import Person
from services.kit.ids import new_object_id
from tests.makers import PERSON as ADA
from tests.services.api.http.conftest import PUBLIC_URL
from tests.services.api.http.providers.canaille import ADMINISTRATORS, Browser, Canaille, canaille

SESSION = "/api/modelServing/v1/session"
BEGIN = f"{SESSION}/openIdConnect"
WHOAMI = "/api/modelServing/v1/whoami"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaille]:
    """For tests that leave it as it was. It remembers who has consented."""
    with canaille(f"{PUBLIC_URL}{BEGIN}/callback", tmp_path_factory.mktemp("canaille")) as running:
        yield running


class Platform:
    """The api with a provider, and the browsers in front of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._browsers: list[Browser] = []

    def browser(self) -> Browser:
        self._browsers.append(Browser(self.url, PUBLIC_URL))
        return self._browsers[-1]

    async def close(self) -> None:
        for each in self._browsers:
            await each.close()

    async def begin(self, browser: Browser) -> str:
        """Where the browser is sent."""
        response = await browser.get(f"{self.url}{BEGIN}")
        assert response.status_code == 302, response.text
        return response.headers["Location"]

    async def come_back(self, browser: Browser, user: str = "grace", **how: Any) -> httpx.Response:
        """The whole way: the answer to the browser that comes back from the provider."""
        return await browser.get(await browser.prove(await self.begin(browser), user, **how))

    async def sign_in(self, user: str = "grace") -> Browser:
        browser = self.browser()
        response = await self.come_back(browser, user)
        assert (response.status_code, response.headers["Location"]) == (302, "/"), response.text
        return browser

    async def who(self, browser: Browser) -> Any:
        response = await browser.get(f"{self.url}{WHOAMI}")
        assert response.status_code == 200, response.text
        return response.json()


class Serving:
    """Makes platforms that end with their test."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._running: list[tuple[TestServer, Platform]] = []

    async def __call__(self, account: Account | None) -> Platform:
        server = TestServer(create_app(dataclasses.replace(self._deps, provider=account)))
        await server.start_server()
        platform = Platform(str(server.make_url("")).rstrip("/"))
        self._running.append((server, platform))
        return platform

    async def close(self) -> None:
        for server, platform in self._running:
            await platform.close()
            await server.close()


@pytest_asyncio.fixture
async def serving(deps: Deps) -> AsyncIterator[Serving]:
    made = Serving(deps)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def platform(serving: Serving, shared: Canaille) -> Platform:
    return await serving(shared.account())


async def people(store: MongoStore) -> list[Person]:
    return [each for each in await store.list_all(PERSON) if each.identity is not None]


async def test_the_first_sign_in_makes_a_person_of_what_the_provider_says(
    platform: Platform, store: MongoStore, shared: Canaille
) -> None:
    browser = await platform.sign_in()
    assert (await platform.who(browser))["userName"] == "grace"
    (grace,) = await people(store)
    assert (grace.user_name, grace.email, grace.full_name) == ("grace", "grace@navy.example", "Grace Hopper")
    assert grace.identity is not None
    assert (grace.identity.issuer, grace.identity.subject) == (shared.issuer, "grace")
    assert not grace.is_administrator
    assert [each.method for each in grace.sessions] == ["openid-connect"]


async def test_the_second_sign_in_is_of_the_same_person(platform: Platform, store: MongoStore) -> None:
    first, second = await platform.sign_in(), await platform.sign_in()
    assert (await platform.who(first))["id"] == (await platform.who(second))["id"]
    assert len(await people(store)) == 1


async def test_a_session_of_the_provider_changes_nothing_without_its_token(platform: Platform) -> None:
    browser = await platform.sign_in()
    response = await browser.post(f"{platform.url}/v4/projects", json={"name": "iris"})
    assert response.status_code == 403


async def test_what_the_browser_keeps_is_out_of_reach_of_pages_and_tells_nothing(platform: Platform) -> None:
    browser = platform.browser()
    response = await browser.get(f"{platform.url}{BEGIN}")
    asked = parse_qs(urlsplit(response.headers["Location"]).query)
    kept = response.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= set(kept.split("; "))
    assert asked["state"][0] not in kept
    assert asked["nonce"][0] not in kept
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == [f"{PUBLIC_URL}{BEGIN}/callback"]
    back = await browser.get(await browser.prove(response.headers["Location"], "grace"))
    assert any(each.startswith("modelway_sign_in=") and "Max-Age=0" in each for each in _cookies(back))


def _cookies(response: httpx.Response) -> list[str]:
    return response.headers.get_list("Set-Cookie")


async def test_an_answer_with_another_state_signs_nobody_in(platform: Platform, store: MongoStore) -> None:
    browser = platform.browser()
    back = await browser.prove(await platform.begin(browser), "grace")
    state = parse_qs(urlsplit(back).query)["state"][0]
    response = await browser.get(back.replace(state, "A" * len(state)))
    assert response.status_code == 400
    assert "begin again" in response.text
    assert await people(store) == []


async def test_an_answer_in_a_browser_where_nothing_began_signs_nobody_in(
    platform: Platform, store: MongoStore
) -> None:
    """Else somebody could be signed in as somebody else by following a link."""
    browser, victim = platform.browser(), platform.browser()
    response = await victim.get(await browser.prove(await platform.begin(browser), "grace"))
    assert response.status_code == 400
    assert await people(store) == []


async def test_a_code_is_worth_nothing_in_another_sign_in(platform: Platform, store: MongoStore) -> None:
    """PKCE: who stole a code does not have what belongs to it."""
    browser, thief = platform.browser(), platform.browser()
    stolen = await browser.prove(await platform.begin(browser), "grace")
    own, theirs = (parse_qs(urlsplit(url).query)["state"][0] for url in (await platform.begin(thief), stolen))
    response = await thief.get(stolen.replace(theirs, own))
    assert response.status_code == 400
    assert "does not take this sign-in" in response.text
    assert await people(store) == []


async def test_an_answer_that_comes_twice_signs_in_once(platform: Platform) -> None:
    browser = platform.browser()
    back = await browser.prove(await platform.begin(browser), "grace")
    kept = httpx.Cookies(browser.http.cookies)
    assert (await browser.get(back)).status_code == 302
    browser.http.cookies = kept
    again = await browser.get(back)
    assert again.status_code == 400
    assert "not any more" in again.text


async def test_who_says_no_at_the_provider_is_not_signed_in(platform: Platform, store: MongoStore) -> None:
    response = await platform.come_back(platform.browser(), "frances", answer="deny")
    assert response.status_code == 403
    assert "access_denied" in response.text
    assert await people(store) == []


async def test_a_page_for_people_and_json_for_programs(platform: Platform) -> None:
    browser = platform.browser()
    page = await browser.get(f"{platform.url}{BEGIN}/callback?state=<script>")
    assert page.status_code == 400
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<script>" not in page.text
    assert page.headers["Content-Security-Policy"] == "default-src 'none'"
    told = await browser.get(f"{platform.url}{BEGIN}/callback", headers={"Accept": "application/json"})
    assert told.json() == {"error": "this sign-in was not begun in this browser, or too long ago: begin again"}


async def test_nothing_that_comes_along_leads_to_another_site(platform: Platform) -> None:
    browser = platform.browser()
    sent = await browser.get(f"{platform.url}{BEGIN}?next=https://evil.example&redirect_uri=https://evil.example")
    assert "evil" not in sent.headers["Location"]
    back = await browser.prove(sent.headers["Location"], "grace")
    assert (await browser.get(f"{back}&next=https://evil.example")).headers["Location"] == "/"


async def test_without_a_provider_the_routes_say_so(serving: Serving) -> None:
    platform = await serving(None)
    response = await platform.browser().get(f"{platform.url}{BEGIN}")
    assert response.status_code == 404
    assert "no OpenID Connect provider" in response.text


async def test_members_of_the_group_are_administrators_and_no_others(
    serving: Serving, shared: Canaille, store: MongoStore, ledger: MongoLedger
) -> None:
    platform = await serving(shared.account(administrators_group=ADMINISTRATORS))
    await platform.sign_in("barbara")
    await platform.sign_in("grace")
    assert {each.user_name: each.is_administrator for each in await people(store)} == {"barbara": True, "grace": False}
    without = await serving(shared.account(administrators_group="nobody"))
    await without.sign_in("barbara")
    assert not any(each.is_administrator for each in await people(store))


async def test_a_disabled_person_is_refused_and_history_says_so(
    platform: Platform, store: MongoStore, ledger: MongoLedger
) -> None:
    await platform.sign_in()
    (grace,) = await people(store)
    await ledger.execute(PERSON, grace.id, DisablePerson(), actor=ADA)
    response = await platform.come_back(platform.browser())
    assert response.status_code == 403
    assert "disabled" in response.text
    (grace,) = await people(store)
    assert grace.sessions == ()
    history = [link.entry async for link in store.links(grace.id, up_to=grace.revision)]
    assert type(history[-1].event).__name__ == "SignInRefused"


async def test_a_name_that_somebody_has_leads_to_nobody_elses_account(
    platform: Platform, store: MongoStore, ledger: MongoLedger
) -> None:
    await ledger.execute(PERSON, new_object_id(), AddPerson(user_name="grace"), actor=ADA)
    browser = await platform.sign_in()
    assert (await platform.who(browser))["userName"] == "grace-2"


async def test_keys_that_the_provider_changes_are_asked_for_again(
    platform: Platform, store: MongoStore, shared: Canaille
) -> None:
    await platform.sign_in()
    shared.rotate()
    await platform.sign_in()
    assert len(await people(store)) == 1


async def test_a_provider_that_dies_half_way_is_a_sentence_and_holds_up_nobody(
    serving: Serving, api: Any, tmp_path: Path
) -> None:
    with canaille(f"{PUBLIC_URL}{BEGIN}/callback", tmp_path) as own:
        platform = await serving(own.account())
        browser = platform.browser()
        back = await browser.prove(await platform.begin(browser), "grace")
        own.kill()
        began = time.monotonic()
        response = await browser.get(back)
        assert time.monotonic() - began < 5.0
    assert response.status_code == 503
    assert "Canaille does not answer" in response.text
    assert response.headers["Retry-After"] == "2"
    fresh = await serving(own.account())
    assert (await fresh.browser().get(f"{fresh.url}{BEGIN}")).status_code == 503
    assert (await api.ok("GET", WHOAMI))["userName"] == "ada"
