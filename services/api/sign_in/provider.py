"""This file talks to the OpenID Connect provider: what it offers, its keys, tokens for codes, what it knows.

Every answer has a deadline and a bound of its size, redirects are not followed, and a provider that just failed is not
asked again for a moment, so that one that hangs holds up nobody for long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog
from authlib.oauth2.client import OAuth2Client
from joserfc.jwk import KeySet

from services.api.sign_in.id_token import read_keys
from services.core.errors import Invalid, Unavailable
from services.kit.config import Secret

log = structlog.get_logger()

ANSWER_S = 5.0
MAX_ANSWER_BYTES = 512 * 1024
KNOWN_S = 3600.0  # what the provider offers, and its keys: one that it took back verifies nothing after this long
REST_S = 2.0
_AT_ONCE = 20
_AUTHENTICATIONS = ("client_secret_basic", "client_secret_post", "none")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider knows Modelway by."""

    issuer: str
    client_id: str
    client_secret: Secret | None
    name: str  # as people know the provider
    scopes: str = "openid profile email"
    creates_people: bool = True  # of whom it vouches for the first time
    administrators_group: str = ""  # whose members are administrators, and no others of its people; "": none says so


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's own description of itself, as far as it matters here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What a code was worth. Neither leaves this process."""

    id_token: str
    access_token: str = ""


class _Failed(Exception):
    """The provider's answer was not one to go on with. `status` 0: there was none."""

    def __init__(self, what: str, status: int = 0) -> None:
        super().__init__(what)
        self.status = status


class Provider:
    """One provider. Every method raises Unavailable when it does not answer as it should, within `ANSWER_S` a question.

    `close` it at the end.
    """

    def __init__(
        self,
        account: Account,
        redirect_uri: str,
        *,
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account = account
        self._redirect_uri = redirect_uri
        self._answer_s = answer_s
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._alone = asyncio.Lock()
        self._offer: tuple[Offer, float] | None = None  # and until when it is believed
        self._keys: tuple[KeySet, float] | None = None
        self._rests_until = 0.0

    async def offer(self) -> Offer:
        """What the provider offers, asked for now and then."""
        async with self._alone:
            if self._offer is None or self._offer[1] <= self._clock():
                url = f"{self.account.issuer.rstrip('/')}/.well-known/openid-configuration"
                offer = self._read_offer(await self._ask("GET", url))
                self._offer = (offer, self._clock() + KNOWN_S)
            return self._offer[0]

    async def keys(self, *, other_than: KeySet | None = None) -> KeySet:
        """The provider's keys. `other_than`: not these, which do not have the one that is looked for."""
        offer = await self.offer()
        async with self._alone:
            if self._keys is None or self._keys[1] <= self._clock() or self._keys[0] is other_than:
                self._keys = (read_keys(await self._ask("GET", offer.jwks_uri)), self._clock() + KNOWN_S)
            return self._keys[0]

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where the browser is to go, at the provider."""
        endpoint = (await self.offer()).authorization_endpoint
        client = self._client(code_challenge_method="S256")
        url, _ = client.create_authorization_url(endpoint, state=state, code_verifier=verifier, nonce=nonce)
        return str(url)

    async def exchange(self, code: str, *, verifier: str) -> Tokens:
        """What the code is worth. Raises Invalid for a code that the provider does not take, or not any more."""
        offer = await self.offer()
        offered = offer.token_endpoint_auth_methods_supported
        is_known = self.account.client_secret is not None
        chosen = next((each for each in _AUTHENTICATIONS if each in offered and (each != "none") is is_known), None)
        client = self._client(token_endpoint_auth_method=chosen or (_AUTHENTICATIONS[0] if is_known else "none"))
        body = {"redirect_uri": self._redirect_uri, "code": code, "code_verifier": verifier}
        request = client.fetch_token(offer.token_endpoint, grant_type="authorization_code", **body)
        try:
            return msgspec.convert(await self._send(**request), Tokens)
        except _Failed as error:
            if 400 <= error.status < 500 and error.status != 429:
                log.warning("sign_in_code_refused", status=error.status, reason=str(error))
                raise Invalid(
                    f"{self.account.name} does not take this sign-in, or not any more: begin again"
                ) from error
            raise self._unavailable(str(error)) from error
        except msgspec.ValidationError as error:
            raise self._unavailable("its answer holds no ID token") from error

    async def userinfo(self, access_token: str, *, subject: str) -> dict[str, Any]:
        """What the provider says of the person in its userinfo; empty when it offers none, or of somebody else."""
        endpoint = (await self.offer()).userinfo_endpoint
        if not endpoint or not access_token:
            return {}
        found = await self._ask("GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
        return found if found.get("sub") == subject else {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _client(self, **settings: Any) -> _Client:
        secret = self.account.client_secret
        return _Client(
            session=None,
            client_id=self.account.client_id,
            client_secret=None if secret is None else secret.reveal(),
            scope=self.account.scopes,
            redirect_uri=self._redirect_uri,
            **settings,
        )

    def _read_offer(self, document: Mapping[str, Any]) -> Offer:
        try:
            offer = msgspec.convert(document, Offer)
        except msgspec.ValidationError as error:
            raise self._unavailable(f"its description is not one: {error}") from error
        if offer.issuer != self.account.issuer:
            raise self._unavailable("it describes another issuer than OIDC_ISSUER")
        asked = (offer.authorization_endpoint, offer.token_endpoint, offer.jwks_uri, offer.userinfo_endpoint)
        if not all(is_safe(url) for url in asked if url):
            raise self._unavailable("it describes addresses that are not https")
        return offer

    async def _ask(self, method: str, url: str, **sent: Any) -> dict[str, Any]:
        if self._rests_until > self._clock():
            raise self._unavailable("it failed a moment ago")
        try:
            return await self._send(method=method, url=url, **sent)
        except _Failed as error:
            if not 400 <= error.status < 500:
                self._rests_until = self._clock() + REST_S
            raise self._unavailable(str(error)) from error

    async def _send(self, **request: Any) -> dict[str, Any]:
        """The JSON object that a request is answered with. Raises _Failed."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._answer_s)
            connector = aiohttp.TCPConnector(limit=_AT_ONCE)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(**request, allow_redirects=False) as response:
                body = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(body) <= MAX_ANSWER_BYTES and (more := await response.content.read(MAX_ANSWER_BYTES)):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _Failed(type(error).__name__) from error
        return _object(response.status, body)

    def _unavailable(self, why: str) -> Unavailable:
        log.warning("provider_failed", issuer=self.account.issuer, reason=why)
        return Unavailable(
            f"{self.account.name} does not answer as it should: try again soon, or sign in another way",
            retry_after_s=REST_S,
        )


class _Client(OAuth2Client):  # type: ignore[misc]  # Authlib has no types
    """Says what is to be sent for a token, instead of sending it."""

    def _fetch_token(self, url: str, body: str, headers: Mapping[str, str], auth: Any, method: str) -> dict[str, Any]:
        url, signed, body = auth.prepare(method, url, dict(headers), body)
        return {"method": method, "url": url, "headers": signed, "data": body}


def is_safe(url: str) -> bool:
    """Whether an address may be trusted with a secret: https, or on this machine.

    >>> is_safe("https://id.example"), is_safe("http://127.0.0.1:5000"), is_safe("http://id.example")
    (True, True, False)
    """
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.scheme == "https" or _is_here(parts.scheme, parts.hostname))
    except ValueError:
        return False


def _is_here(scheme: str, host: str | None) -> bool:
    return scheme == "http" and host in _LOOPBACK


def _object(status: int, body: bytes) -> dict[str, Any]:
    if len(body) > MAX_ANSWER_BYTES:
        raise _Failed("its answer is too long", status)
    try:
        read = msgspec.json.decode(body)
    except msgspec.DecodeError:
        read = None
    if status != 200:
        error = read.get("error") if isinstance(read, dict) else None
        raise _Failed(
            f"status {status} {error if isinstance(error, str) and error.isidentifier() else ''}".strip(), status
        )
    if not isinstance(read, dict):
        raise _Failed("its answer is no JSON object", status)
    return read
