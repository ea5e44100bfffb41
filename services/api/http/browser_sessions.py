"""This file answers for the browsers in which a person is signed in, and signs them out, one or everywhere."""

from __future__ import annotations

from aiohttp import web

from services.api.http.callers import SESSION
from services.api.http.people import NOTHING, PERSON_AT
from services.api.http.permits import about
from services.api.http.person_changes import PersonChanges
from services.api.http.routes import Route, answer
from services.api.http.views import people as views
from services.core.access import Action
from services.core.aggregates import PERSON
from services.core.commands import SignOut, SignOutEverywhere
from services.kit.clock import now

SESSIONS_AT = PERSON_AT + "/sessions"


class BrowserSessions:
    """The sessions of one person, for themselves and for administrators."""

    def __init__(self, changes: PersonChanges) -> None:
        self._changes = changes

    def routes(self) -> list[Route]:
        return [
            Route("GET", SESSIONS_AT, self.index, Action.CHANGE_PERSON, gives={200: views.BrowserSessions}),
            Route("DELETE", SESSIONS_AT, self.end_all, Action.CHANGE_PERSON, gives=NOTHING),
            Route("DELETE", SESSIONS_AT + "/{session}", self.end, Action.CHANGE_PERSON, gives=NOTHING, also=(404,)),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """A person's browser sessions."""
        mine, at = request.get(SESSION), now()
        lasting = (each for each in about(request, PERSON).sessions if each.expires_at > at)
        items = (views.browser_session(each, is_current=mine is not None and each.id == mine.id) for each in lasting)
        return answer(views.BrowserSessions(items=tuple(items)))

    async def end(self, request: web.Request) -> web.Response:
        """End a browser session."""
        command = SignOut(session_id=request.match_info["session"])
        await self._changes.execute(request, about(request, PERSON).id, command, step="sign out")
        return web.Response(status=204)

    async def end_all(self, request: web.Request) -> web.Response:
        """Sign a person out everywhere.

        This session ends too, where the request came with one.
        """
        await self._changes.execute(request, about(request, PERSON).id, SignOutEverywhere(), step="sign out everywhere")
        return web.Response(status=204)
