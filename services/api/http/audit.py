"""This file answers with the history: who changed what, when, and from where."""

from __future__ import annotations

from aiohttp import web

from services.api import patience
from services.api.http import views
from services.api.http.body import plain_text, whole_number
from services.api.http.routes import API, Route, answer
from services.api.ports import Store
from services.api.verify import Evidence, verify
from services.core.access import Action


class Audit:
    """The newest entries of the history, of one model or of everything."""

    def __init__(self, store: Store, evidence: Evidence) -> None:
        self._store = store
        self._evidence = evidence

    def routes(self) -> list[Route]:
        return [
            Route("GET", f"{API}/audit", self.index, Action.VIEW_AUDIT),
            Route("GET", f"{API}/audit/verification", self.verification, Action.VIEW_AUDIT),
        ]

    async def index(self, request: web.Request) -> web.Response:
        model_id = plain_text(request, "modelId")
        limit = whole_number(request, "limit", default=100, low=1, high=1000)
        links = await self._store.history(aggregate_id=model_id, limit=limit)
        return answer({"items": [views.audited(link) for link in links]})

    async def verification(self, request: web.Request) -> web.Response:
        """Reads all there is: seconds for a hundred thousand events."""
        with patience.one_request(None):
            result = await verify(self._evidence)
        return answer(
            {
                "aggregates": result.aggregates,
                "events": result.events,
                "findings": [views.found(finding) for finding in result.findings],
            }
        )
