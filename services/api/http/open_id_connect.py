"""This file is the routes of signing in with OpenID Connect: to the provider, and back.

A browser comes here by itself, so what went wrong is a page with a sentence for it, and JSON for programs.
"""

from __future__ import annotations

import html
import math
import time
from typing import Annotated

import structlog
from aiohttp import web

from services.api.http.callers import ADDRESS, CALLER, Callers
from services.api.http.faults import REQUEST_ID
from services.api.http.routes import API, Query, Route, answer
from services.api.http.shapes import says
from services.api.http.views.wire import Answer
from services.api.meter import Clock, Meter, subscriber
from services.api.ports import Ledger, Store
from services.api.sign_in.identities import Identities
from services.api.sign_in.oidc import OpenIdConnect, Proven
from services.api.sign_in.provider import Account, Provider
from services.api.sign_in.signing_in import SigningIn
from services.api.sign_in.ticket import LASTS
from services.core.access import Action
from services.core.errors import Invalid, ModelwayError, NotFound, TemporaryError, TooMany
from services.core.events import SignInMethod
from services.core.pace import Pace
from services.kit.vault import Vault

BEGIN = f"{API}/session/openIdConnect"
CALLBACK = f"{BEGIN}/callback"
TICKET = "modelway_sign_in"
PER_ADDRESS = Pace(burst=30, every_s=2.0)
_HARMLESS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TOLD = (
    Query("state", str, "what `GET session/openIdConnect` sent along"),
    Query("code", str, "what the provider gave for the ID token; missing when it refused"),
    Query("iss", str, "the provider's issuer, where it names itself (RFC 9207)"),
    Query("error", str, "why the provider refused, as `access_denied`"),
)
_CALLBACK_REFUSALS = (400, 401, 403, 404, 422, 429, 503)
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Signing in</title>
<h1>You are not signed in</h1><p>{reason}</p><p>Request {request_id}. <a href="/">Back to Modelway</a></p></html>
"""

log = structlog.get_logger()


class Connecting(Answer, frozen=True, kw_only=True):
    """How to go on."""

    url: Annotated[str, says("where the browser is to go next: at the provider, which sends it back here")]


def sign_in_with(account: Account | None, vault: Vault, *, public_url: str) -> OpenIdConnect | None:
    """What the configuration says; None: there is no provider."""
    if account is None:
        return None
    return OpenIdConnect(Provider(account, f"{public_url.rstrip('/')}{CALLBACK}"), vault)


class OpenIdConnectSignIn:
    """`flow` None: there is no provider, which the routes say."""

    def __init__(
        self,
        flow: OpenIdConnect | None,
        store: Store,
        ledger: Ledger,
        *,
        signing_in: SigningIn,
        callers: Callers,
        clock: Clock = time.monotonic,
    ) -> None:
        self._flow = flow
        self._store = store
        self._ledger = ledger
        self._signing_in = signing_in
        self._callers = callers
        self._ticket = f"__Host-{TICKET}" if signing_in.cookie.is_secure else TICKET
        self._attempts = Meter(PER_ADDRESS, clock=clock)

    def routes(self) -> list[Route]:
        return [
            Route("GET", BEGIN, self.begin, None, gives={302: None}, also=(404, 429, 503)),
            Route("POST", BEGIN, self.connect, Action.LOOK_AROUND, gives={200: Connecting}, also=(404,)),
            Route("GET", CALLBACK, self.callback, None, gives={302: None}, query=_TOLD, also=_CALLBACK_REFUSALS),
        ]

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Begin to sign in with OpenID Connect.

        To the provider, which sends the browser back to `callback`.
        """
        try:
            url, sealed = await self._known(request).begin()
        except ModelwayError as error:
            return _page(request, error)
        response = _redirect(url)
        self._keep(response, sealed)
        return response

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Begin to connect one's account with OpenID Connect.

        For who is signed in: the account can be signed in to with the provider as well, once the browser is back.

        Not by GET: a link on a foreign page could then connect the account to an identity of somebody else.
        """
        url, sealed = await self._known(request).begin(connects_id=request[CALLER].id)
        response = answer(Connecting(url=url), headers={"Cache-Control": "no-store"})
        self._keep(response, sealed)
        return response

    async def callback(self, request: web.Request) -> web.StreamResponse:
        """Come back from the OpenID Connect provider: signs in, and goes on to the page."""
        try:
            response = await self._come_back(request)
        except ModelwayError as error:
            response = _page(request, error)
        self._keep(response, "")
        return response

    async def _come_back(self, request: web.Request) -> web.Response:
        flow, address = self._known(request), self._callers.address(request)
        proven = await flow.complete(request.cookies.get(self._ticket, ""), request.query)
        identities = Identities(self._store, self._ledger, flow.account)
        if proven.connects_id:
            await self._connect(request, identities, proven)
            return _redirect("/")
        person = await identities.person_of(proven.who, address=address)
        began = await self._signing_in.sessions.begin(person, SignInMethod.OPENID_CONNECT, address)
        self._callers.forget(person.id)
        response = _redirect("/")
        self._signing_in.cookie.give(response, began.secret, lasts_s=self._signing_in.sessions.lasts_s)
        return response

    async def _connect(self, request: web.Request, identities: Identities, proven: Proven) -> None:
        """Whoever began it has to be signed in still."""
        person = (await self._callers.identify(request)).person
        if person.id != proven.connects_id:
            raise Invalid("somebody else began to connect their account in this browser: begin again")
        await identities.connect(person, proven.who, address=request[ADDRESS])
        self._callers.forget(person.id)

    def _known(self, request: web.Request) -> OpenIdConnect:
        """Counted, since each costs the provider something. Raises NotFound, TooMany."""
        if self._flow is None:
            raise NotFound("no OpenID Connect provider is set up here: sign in with a password")
        wait_s = self._attempts.spend(subscriber(self._callers.address(request)))
        if wait_s:
            reason = f"too many attempts to sign in from this address: try again in {math.ceil(wait_s)} seconds"
            raise TooMany(reason, retry_after_s=wait_s)
        return self._flow

    def _keep(self, response: web.StreamResponse, sealed: str) -> None:
        """Lax, not Strict: the browser brings it when the provider sends it back."""
        response.set_cookie(
            self._ticket,
            sealed,
            max_age=int(LASTS.total_seconds()) if sealed else 0,
            path="/",
            secure=self._signing_in.cookie.is_secure,
            httponly=True,
            samesite="Lax",
        )


def _redirect(url: str) -> web.Response:
    return web.Response(status=302, headers={"Location": url, **_HARMLESS})


def _page(request: web.Request, error: ModelwayError) -> web.Response:
    """The error's sentence for a browser. Raises the error itself for what does not read HTML."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise error
    log.info("sign_in_refused", code=error.code, reason=error.reason)
    retry = {"Retry-After": str(math.ceil(error.retry_after_s))} if isinstance(error, TemporaryError) else {}
    text = _PAGE.format(reason=html.escape(error.reason), request_id=request[REQUEST_ID])
    return web.Response(text=text, status=error.status, content_type="text/html", headers={**_HARMLESS, **retry})
