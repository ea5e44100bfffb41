"""What must hold when an OpenID Connect provider, or somebody in its place, says what a good one would never say."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import TestServer
from cryptography.fernet import Fernet

from services.api.http.app import Deps, create_app
from services.api.ledger import MongoLedger
from services.api.sign_in.cookies import COOKIE
from services.api.sign_in.identities import Identities
from services.api.sign_in.oidc import OpenIdConnect
from services.api.sign_in.provider import MAX_ANSWER_BYTES, Provider
from services.api.store.store import MongoStore
from services.core.aggregates import PERSON
from services.core.commands import AddPerson, DescribePerson
from services.core.errors import Invalid, Unavailable
from services.core.events import SignInMethod
from services.core.identity import Claimed, person_id
from services.core.person import Person
from services.kit.config import Secret
from services.kit.ids import new_object_id
from services.kit.vault import Vault
from tests.makers import PERSON as ADA
from tests.services.api.http.client import Answer, Client
from tests.services.api.http.people import add_person
from tests.services.api.http.providers import hostile as tokens
from tests.services.api.http.providers.hostile import KEY, OTHER_KEY, Hostile, hostile, saying, signed

BEGIN = "/api/modelServing/v1/session/openIdConnect"


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Hostile]:
    async with hostile() as running:
        yield running


class Visitor:
    """A browser in front of an api that has the hostile provider."""

    def __init__(self, client: Client, provider: Hostile) -> None:
        self.ask = client
        self._provider = provider

    async def begin(self) -> str:
        """The state of the sign-in; the provider knows its nonce, as it would from the browser."""
        sent = await self.ask("GET", BEGIN)
        assert sent.status == 302, sent.raw
        return self.heard(sent.headers["Location"])

    def heard(self, url: str) -> str:
        asked = parse_qs(urlsplit(url).query)
        self._provider.nonce = asked["nonce"][0]
        return asked["state"][0]

    async def sign_in(self, **answer: str) -> Answer:
        state = await self.begin()
        return await self.ask("GET", f"{BEGIN}/callback", params={"code": "c", "state": state, **answer})


class Visiting:
    def __init__(self, deps: Deps, provider: Hostile) -> None:
        self._deps = deps
        self._provider = provider
        self._open: list[Any] = []

    async def __call__(self, **account: Any) -> Visitor:
        deps = dataclasses.replace(self._deps, provider=self._provider.account(**account))
        server = TestServer(create_app(deps))
        await server.start_server()
        session = ClientSession(server.make_url("/"), cookie_jar=CookieJar(unsafe=True))
        self._open += [session, server]
        return Visitor(Client(session, None), self._provider)

    async def close(self) -> None:
        for each in self._open:
            await each.close()


@pytest_asyncio.fixture
async def visiting(deps: Deps, provider: Hostile) -> AsyncIterator[Visiting]:
    made = Visiting(deps, provider)
    yield made
    await made.close()


async def linked(store: MongoStore) -> list[Person]:
    return [each for each in await store.list_all(PERSON) if each.identity is not None]


LATE = 120  # seconds: more than any leeway
REFUSED = {
    "nothing signed it": tokens.unsigned,
    "signed with the public key as if it were a password": tokens.signed_with_the_public_key,
    "signed with the client's secret": tokens.signed_with_the_clients_secret,
    "signed with a key that is not the provider's": tokens.signed_with_another_key,
    "signed with another key under a known name": tokens.signed_with_another_key_under_a_known_name,
    "brings its key along": tokens.signed_with_a_key_that_it_brings_along,
    "changed after it was signed": tokens.tampered,
    "without its signature": tokens.cut,
    "no token": lambda _: "x.y.z",
    "an empty one": lambda _: "",
    "over": lambda provider: saying(exp=time.time() - LATE)(provider),
    "never over": saying(exp=None),
    "over at no number": saying(exp=float("nan")),
    "over at a text": saying(exp="tomorrow"),
    "from the future": lambda provider: saying(iat=time.time() + LATE)(provider),
    "not valid yet": lambda provider: saying(nbf=time.time() + LATE)(provider),
    "issued at no time": saying(iat=None),
    "of another issuer": saying(iss="https://evil.example"),
    "of no issuer": saying(iss=None),
    "for another client": saying(aud="another"),
    "for nobody": saying(aud=[]),
    "for no audience at all": saying(aud=None),
    "for several, and given to another": saying(aud=["modelway", "another"], azp="another"),
    "for several, and given to nobody": saying(aud=["modelway", "another"]),
    "of another sign-in": saying(nonce="another"),
    "of no sign-in": saying(nonce=None),
    "of an empty sign-in": saying(nonce=""),
    "about nobody": saying(sub=None),
    "about an empty name": saying(sub=""),
    "about a number": saying(sub=42),
    "about a name without end": saying(sub="4" * 256),
    "for another access token": tokens.for_another_access_token,
}


class Flow:
    """The flow alone, without the api around it."""

    def __init__(self, provider: Hostile) -> None:
        self._provider = provider
        self._asked = Provider(provider.account(), "http://models.example/callback")
        self._flow = OpenIdConnect(self._asked, Vault.from_text(Secret(Fernet.generate_key().decode()), "KEYS"))

    async def complete(self) -> Claimed:
        url, sealed = await self._flow.begin()
        asked = parse_qs(urlsplit(url).query)
        self._provider.nonce = asked["nonce"][0]
        return (await self._flow.complete(sealed, {"code": "c", "state": asked["state"][0]})).who

    async def close(self) -> None:
        await self._flow.close()


@pytest_asyncio.fixture
async def flow(provider: Hostile) -> AsyncIterator[Flow]:
    made = Flow(provider)
    yield made
    await made.close()


async def test_what_the_provider_rightly_says_is_believed(flow: Flow, provider: Hostile) -> None:
    """Else the tests after this one would hold for what refuses everything."""
    who = await flow.complete()
    assert (who.issuer, who.subject, who.user_name) == (provider.issuer, "42", "grace")


@pytest.mark.parametrize("what", list(REFUSED))
async def test_an_id_token_that_is_not_right_is_not_believed(what: str, flow: Flow, provider: Hostile) -> None:
    provider.token = REFUSED[what]
    with pytest.raises(Invalid, match="ID token"):
        await flow.complete()


async def test_an_id_token_that_is_not_believed_signs_nobody_in(
    visiting: Visiting, provider: Hostile, store: MongoStore
) -> None:
    visitor = await visiting()
    provider.token = tokens.tampered
    answer = await visitor.sign_in()
    assert answer.status == 400, answer.raw
    assert "ID token" in answer.fault
    assert "modelway_session" not in answer.headers.get("Set-Cookie", "")
    assert await linked(store) == []


async def test_an_id_token_that_is_believed_signs_in(visiting: Visiting, store: MongoStore) -> None:
    answer = await (await visiting()).sign_in()
    assert (answer.status, answer.headers["Location"]) == (302, "/")
    assert [each.user_name for each in await linked(store)] == ["grace"]


async def test_a_clock_that_is_a_little_off_is_no_reason_to_refuse(flow: Flow, provider: Hostile) -> None:
    provider.token = lambda each: saying(exp=time.time() - 20, iat=time.time() + 20)(each)
    assert (await flow.complete()).subject == "42"


async def test_a_symmetric_key_among_the_providers_verifies_nothing(flow: Flow, provider: Hostile) -> None:
    provider.keys = [{"kty": "oct", "kid": "first", "k": "c2VjcmV0" * 8}]
    with pytest.raises(Invalid, match="signed with no key of the provider"):
        await flow.complete()


async def test_a_provider_that_signs_in_no_safe_way_is_refused(flow: Flow, provider: Hostile) -> None:
    provider.description = {"id_token_signing_alg_values_supported": ["none", "HS256"]}
    with pytest.raises(Invalid, match="asymmetric"):
        await flow.complete()


async def test_new_keys_are_asked_for_once_and_no_more(flow: Flow, provider: Hostile) -> None:
    await flow.complete()
    provider.keys = [OTHER_KEY.as_dict(private=False)]
    provider.token = tokens.signed_with_another_key
    await flow.complete()
    provider.token = signed
    provider.asked.clear()
    with pytest.raises(Invalid):
        await flow.complete()
    assert provider.asked == ["token", "keys"]


async def test_a_key_that_nobody_understands_does_not_spoil_the_others(flow: Flow, provider: Hostile) -> None:
    provider.keys = [{"kty": "ML-DSA"}, {"kty": "RSA", "n": 1}, {}, KEY.as_dict(private=False)]
    assert (await flow.complete()).subject == "42"


async def test_an_answer_in_the_name_of_another_provider_is_refused(
    visiting: Visiting, provider: Hostile, store: MongoStore
) -> None:
    visitor = await visiting()
    assert (await visitor.sign_in(iss="https://evil.example")).status == 400
    assert provider.asked == ["description"]  # its code went nowhere
    provider.description = {"authorization_response_iss_parameter_supported": True}
    careful = await visiting()
    assert (await careful.sign_in()).status == 400
    assert (await careful.sign_in(iss=provider.issuer)).status == 302


async def test_what_the_provider_says_of_an_error_is_not_repeated_as_it_came(visiting: Visiting) -> None:
    visitor = await visiting()
    state = await visitor.begin()
    query = {"state": state, "error": "<b>call this number</b>"}
    answer = await visitor.ask("GET", f"{BEGIN}/callback", params=query)
    assert (answer.status, answer.fault) == (403, "Provider did not sign you in: it does not say why")


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"jwks_uri": 7},
    ],
    ids=["issuer", "token", "keys", "authorization", "nothing", "number"],
)
async def test_a_description_that_cannot_be_right_is_not_followed(
    description: dict[str, Any], flow: Flow, provider: Hostile
) -> None:
    provider.description = description
    with pytest.raises(Unavailable, match="Provider does not answer as it should"):
        await flow.complete()
    assert provider.asked == ["description"]


ODD_ANSWERS = {
    "an error page": lambda: web.Response(status=500, text="<html>"),
    "too busy": lambda: web.Response(status=429),
    "no JSON": lambda: web.Response(text="hello"),
    "no object": lambda: web.json_response([]),
    "no token": lambda: web.json_response({"access_token": "at"}),
    "a number for a token": lambda: web.json_response({"id_token": 7}),
    "elsewhere": lambda: web.Response(status=307, headers={"Location": "/token"}),
    "far too much": lambda: web.Response(body=b" " * (MAX_ANSWER_BYTES + 1)),
}


@pytest.mark.parametrize("what", list(ODD_ANSWERS))
async def test_an_odd_answer_to_a_code_is_a_sentence(what: str, flow: Flow, provider: Hostile) -> None:
    provider.token_answer = ODD_ANSWERS[what]
    with pytest.raises(Unavailable, match="Provider does not answer as it should"):
        await flow.complete()
    assert provider.asked == ["description", "token"]


async def test_a_provider_that_hangs_is_waited_for_once_and_not_by_everybody(provider: Hostile) -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    app = web.Application()
    app.router.add_get("/{any:.*}", hang)
    server = TestServer(app)
    await server.start_server()
    provider.issuer = str(server.make_url("")).rstrip("/")
    asked = Provider(provider.account(), "http://x/callback", answer_s=0.3)
    began = time.monotonic()
    answers = await asyncio.gather(*(asked.offer() for _ in range(50)), return_exceptions=True)
    assert time.monotonic() - began < 3.0
    assert {type(each) for each in answers} == {Unavailable}
    await asked.close()
    await server.close()


async def test_userinfo_fills_gaps_and_only_of_the_same_person(
    visiting: Visiting, provider: Hostile, store: MongoStore
) -> None:
    provider.claims = {"sub": "42"}
    provider.userinfo = {"sub": "43", "preferred_username": "eve", "email": "eve@x.example"}
    assert (await (await visiting()).sign_in()).status == 302
    (person,) = await linked(store)
    assert (person.user_name, person.email) == ("person", "")
    provider.claims = {"sub": "44"}
    provider.userinfo = {"sub": "44", "preferred_username": "Ève Doe", "email": "Eve@X.example", "name": "Eve Doe"}
    assert (await (await visiting()).sign_in()).status == 302
    (eve,) = [each for each in await linked(store) if each.id != person.id]
    assert (eve.user_name, eve.email, eve.full_name) == ("eve-doe", "eve@x.example", "Eve Doe")


async def test_userinfo_is_not_asked_for_what_the_token_says(flow: Flow, provider: Hostile) -> None:
    await flow.complete()
    assert "userinfo" not in provider.asked


async def test_userinfo_does_not_verify_the_address_that_the_token_names(
    visiting: Visiting, provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    await waiting(ledger, "victim@x.example")
    provider.claims = {"sub": "42", "email": "victim@x.example"}
    provider.userinfo = {"sub": "42", "email": "eve@x.example", "email_verified": True, "name": "Eve"}
    assert (await (await visiting()).sign_in()).status == 403
    assert await linked(store) == []


async def waiting(ledger: MongoLedger, email: str, name: str = "waiting") -> str:
    """A person whom an administrator made, and who has no way to sign in yet."""
    made = await ledger.execute(PERSON, new_object_id(), AddPerson(user_name=name, email=email), actor=ADA)
    return made.id


async def test_a_verified_address_leads_to_the_person_made_for_it(
    visiting: Visiting, provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    made = await waiting(ledger, "g@x.example")
    provider.claims |= {"email": "G@x.example", "email_verified": True}
    assert (await (await visiting(creates_people=False)).sign_in()).status == 302
    assert [(each.id, each.user_name) for each in await linked(store)] == [(made, "waiting")]


@pytest.mark.parametrize("verified", [None, "true", 1], ids=str)
async def test_an_address_that_is_not_known_to_be_verified_leads_to_nobody(
    verified: Any, visiting: Visiting, provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    await waiting(ledger, "g@x.example")
    provider.claims |= {} if verified is None else {"email_verified": verified}
    answer = await (await visiting()).sign_in()
    assert answer.status == 403
    assert "somebody here already has the e-mail address g@x.example" in answer.fault
    assert await linked(store) == []


async def test_an_address_that_the_provider_calls_unverified_is_not_kept(
    visiting: Visiting, provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    await waiting(ledger, "g@x.example")
    provider.claims |= {"email_verified": False}
    assert (await (await visiting()).sign_in()).status == 302
    assert [(each.user_name, each.email) for each in await linked(store)] == [("grace", "")]


async def test_an_account_that_somebody_uses_is_not_taken_over_by_its_address(
    visiting: Visiting, provider: Hostile, store: MongoStore, ledger: MongoLedger, api: Client
) -> None:
    """Whoever has an API key may have written the address there themselves, to be taken for its owner."""
    eve = await add_person(api, ledger, "eve")
    me = await eve.ok("GET", "/api/modelServing/v1/whoami")
    await ledger.execute(PERSON, me["id"], DescribePerson(email="g@x.example"), actor=ADA)
    provider.claims |= {"email_verified": True}
    assert (await (await visiting()).sign_in()).status == 403
    assert await linked(store) == []


async def test_an_address_that_two_have_leads_to_neither(
    visiting: Visiting, provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    await waiting(ledger, "g@x.example", "one")
    await waiting(ledger, "g@x.example", "two")
    provider.claims |= {"email_verified": True}
    assert (await (await visiting()).sign_in()).status == 403
    assert await linked(store) == []


async def test_nobody_is_made_where_people_are_not_made_by_signing_in(visiting: Visiting, store: MongoStore) -> None:
    answer = await (await visiting(creates_people=False)).sign_in()
    assert answer.status == 403
    assert "there is no account for you here" in answer.fault
    assert await linked(store) == []


async def test_first_sign_ins_at_the_same_moment_make_one_person(
    provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    identities = Identities(store, ledger, provider.account())
    who = Claimed(issuer=provider.issuer, subject="42", user_name="grace", email="g@x.example")
    found = await asyncio.gather(*(identities.person_of(who, address="192.0.2.1") for _ in range(4)))
    assert len({each.id for each in found}) == 1
    assert [each.user_name for each in await store.list_all(PERSON)] == ["grace"]


async def test_a_first_sign_in_that_died_half_way_is_finished_by_the_next(
    provider: Hostile, store: MongoStore, ledger: MongoLedger
) -> None:
    made = AddPerson(user_name="grace", email="g@x.example")
    await ledger.execute(PERSON, person_id(provider.issuer, "42"), made, actor=ADA)
    who = Claimed(issuer=provider.issuer, subject="42", user_name="grace", email="g@x.example")
    person = await Identities(store, ledger, provider.account()).person_of(who, address="192.0.2.1")
    assert (person.user_name, person.identity is not None) == ("grace", True)


class SignedIn(NamedTuple):
    """Somebody who is signed in with a password, and whose account has no identity yet."""

    visitor: Visitor
    person: Person
    token: str

    async def connect(self, **answer: str) -> Answer:
        sent = await self.visitor.ask("POST", BEGIN, headers={"X-CSRF-Token": self.token})
        assert sent.status == 200, sent.raw
        state = self.visitor.heard(sent.body["url"])
        return await self.visitor.ask("GET", f"{BEGIN}/callback", params={"code": "c", "state": state, **answer})


@pytest_asyncio.fixture
async def signed_in(visiting: Visiting, deps: Deps, ledger: MongoLedger) -> SignedIn:
    added = AddPerson(user_name="ada", email="g@x.example")
    person = await ledger.execute(PERSON, new_object_id(), added, actor=ADA)
    began = await deps.signing_in.sessions.begin(person, SignInMethod.PASSWORD, "192.0.2.1")
    visitor = await visiting()
    visitor.ask.session.cookie_jar.update_cookies({COOKIE: began.secret})
    return SignedIn(visitor, person, began.csrf_token)


async def test_who_is_signed_in_connects_their_account_and_signs_in_with_it_from_then_on(
    signed_in: SignedIn, visiting: Visiting, store: MongoStore
) -> None:
    answer = await signed_in.connect()
    assert (answer.status, answer.headers["Location"]) == (302, "/")
    assert (await (await visiting()).sign_in()).status == 302
    assert [each.id for each in await linked(store)] == [signed_in.person.id]


async def test_connecting_takes_the_sessions_token(signed_in: SignedIn, store: MongoStore) -> None:
    """Else a foreign page could connect an account to an identity of somebody else."""
    assert (await signed_in.visitor.ask("POST", BEGIN)).status == 403
    assert (await signed_in.visitor.sign_in()).status == 403  # begun by a link: a sign-in, which connects nothing
    assert await linked(store) == []


async def test_connecting_ends_in_the_session_in_which_it_began(signed_in: SignedIn, store: MongoStore) -> None:
    sent = await signed_in.visitor.ask("POST", BEGIN, headers={"X-CSRF-Token": signed_in.token})
    state = signed_in.visitor.heard(sent.body["url"])
    signed_in.visitor.ask.session.cookie_jar.clear(lambda cookie: cookie.key == COOKIE)
    answer = await signed_in.visitor.ask("GET", f"{BEGIN}/callback", params={"code": "c", "state": state})
    assert answer.status == 401
    assert await linked(store) == []


async def test_an_identity_that_somebody_has_is_connected_to_nobody_else(
    signed_in: SignedIn, visiting: Visiting, provider: Hostile, store: MongoStore
) -> None:
    provider.claims |= {"email": "other@x.example"}
    assert (await (await visiting()).sign_in()).status == 302
    answer = await signed_in.connect()
    assert (answer.status, answer.fault) == (422, "this identity of Provider belongs to the account of grace")
    assert [each.user_name for each in await linked(store)] == ["grace"]


async def test_an_odd_name_becomes_a_plain_one(visiting: Visiting, provider: Hostile, store: MongoStore) -> None:
    provider.claims |= {"preferred_username": "../..//Ада Лавлейс", "name": "x" * 500, "email": "not an address"}
    assert (await (await visiting()).sign_in()).status == 302
    (person,) = await linked(store)
    assert (person.user_name, person.full_name, person.email) == ("person", "", "")


async def test_over_https_no_other_host_can_plant_what_the_browser_keeps(deps: Deps, provider: Hostile) -> None:
    deps = dataclasses.replace(deps, provider=provider.account(), public_url="https://models.example")
    server = TestServer(create_app(deps))
    await server.start_server()
    async with ClientSession(server.make_url("/")) as session:
        kept = (await Client(session, None)("GET", BEGIN)).headers["Set-Cookie"]
    await server.close()
    assert kept.startswith("__Host-modelway_sign_in=")
    assert "Secure" in kept.split("; ")


async def test_many_attempts_from_one_address_have_to_wait(visiting: Visiting) -> None:
    visitor = await visiting()
    answers = [await visitor.ask("GET", BEGIN) for _ in range(31)]
    assert [each.status for each in answers] == [302] * 30 + [429]
    assert answers[-1].headers["Retry-After"] == "2"
