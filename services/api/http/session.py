"""This file answers for the browser session of who asks: signing in with a password, and out; and how one can."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from services.api.http.body import Body, read
from services.api.http.callers import CALLER, SESSION, Callers, actor
from services.api.http.intent import intent
from services.api.http.routes import API, Route, answer
from services.api.http.views import people as views
from services.api.ports import Ledger, Store
from services.api.sign_in.cookies import csrf_token
from services.api.sign_in.passwords import LONGEST
from services.api.sign_in.signing_in import SigningIn
from services.core.access import Action
from services.core.aggregates import PERSON
from services.core.commands import SignOut
from services.core.errors import Invalid, NotFound, Unauthenticated
from services.core.events import SignInMethod
from services.core.names import MAX_NAME
from services.core.person import Person, Session

SESSION_AT = API + "/session"
NO_STORE = {"Cache-Control": "no-store"}

_WRONG = "user name and password do not belong together, or the account is disabled"
_NOT_ONE = "this request came with an API key: it belongs to no browser session"


class SignInBody(Body, frozen=True, kw_only=True):
    """Who signs in, and by what."""

    user_name: Annotated[str, Meta(description="the user name, as it was given", max_length=MAX_NAME)]
    password: Annotated[str, Meta(description="the password", max_length=LONGEST)]


class CurrentSession:
    """The session of the cookie. `provider`: what the OpenID Connect provider is called; None: there is none."""

    def __init__(
        self, store: Store, ledger: Ledger, signing_in: SigningIn, callers: Callers, *, provider: str | None = None
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._in = signing_in
        self._callers = callers
        self._provider = provider

    def routes(self) -> list[Route]:
        shown = {200: views.CurrentSession}
        return [
            Route("GET", SESSION_AT + "/methods", self.methods, None, gives={200: views.SignInMethods}),
            Route("POST", SESSION_AT, self.sign_in, None, takes=SignInBody, gives=shown, also=(401, 429)),
            Route("GET", SESSION_AT, self.show, Action.LOOK_AROUND, gives=shown, also=(404,)),
            Route("DELETE", SESSION_AT, self.sign_out, Action.LOOK_AROUND, gives={204: None}, also=(404,)),
        ]

    async def methods(self, _request: web.Request) -> web.Response:
        """How one can sign in here."""
        provider = None if self._provider is None else views.Provider(name=self._provider)
        return answer(views.SignInMethods(password=True, open_id_connect=provider))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Sign in with a password.

        The same answer after the same time for a name that nobody has, a wrong password and a disabled account.

        Only JSON: a form on a foreign page, which could sign somebody in as somebody else, cannot send that.
        """
        if request.content_type != "application/json":
            raise Invalid("the body must be JSON, and its Content-Type application/json", field="Content-Type")
        body = await read(request, SignInBody)
        address = self._callers.address(request)
        self._in.attempts.begin(user_name=body.user_name, address=address)
        person = await self._store.find_person_by_name(body.user_name)
        checked = await self._in.passwords.check(person, body.password)
        if person is None or person.is_disabled or not checked.is_right:
            self._note_refused(person, address)
            raise Unauthenticated(_WRONG)
        began = await self._in.sessions.begin(person, SignInMethod.PASSWORD, address, secrets=checked.renewed)
        self._in.attempts.succeeded(user_name=body.user_name, address=address)
        response = answer(views.current_session(began.person, began.session, began.csrf_token))
        self._in.cookie.give(response, began.secret, lasts_s=self._in.sessions.lasts_s)
        return response

    def _note_refused(self, person: Person | None, address: str) -> None:
        if person is None:
            return
        reason = "the account is disabled" if person.is_disabled else "the password was wrong"
        self._in.refused.record(person, SignInMethod.PASSWORD, reason, address=address)

    async def show(self, request: web.Request) -> web.Response:
        """The browser session of who asks.

        Also the way to the CSRF token after a page was loaded anew.
        """
        session, token = _session(request), csrf_token(self._in.cookie.secret(request))
        return answer(views.current_session(request[CALLER], session, token), headers=NO_STORE)

    async def sign_out(self, request: web.Request) -> web.Response:
        """Sign out: the browser session ends."""
        session, person = _session(request), request[CALLER]
        command_id = intent(request).command_id("sign out")
        command = SignOut(session_id=session.id)
        await self._ledger.execute(PERSON, person.id, command, actor=actor(request), command_id=command_id)
        self._callers.forget(person.id)
        response = web.Response(status=204)
        self._in.cookie.take_away(response)
        return response


def _session(request: web.Request) -> Session:
    if SESSION not in request:
        raise NotFound(_NOT_ONE)
    return request[SESSION]
