"""This file answers which version and which instance answered a call, by the X-Request-Id of its answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from services.api import patience
from services.api.configured import read_configuration
from services.api.http import views
from services.api.http.permits import about
from services.api.http.routes import API, Route, answer
from services.api.ports import Calls, Store
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.calls import SPAN, began_at
from services.core.configuration import call_days
from services.core.errors import Invalid, NotFound
from services.kit.clock import now

_ID = re.compile(r"[A-Za-z0-9]{16}")
_EARLY = timedelta(minutes=1)  # by which a router's clock may be ahead


class CallRecords:
    """What routers recorded of calls."""

    def __init__(self, store: Store, calls: Calls, clock: Callable[[], datetime] = now) -> None:
        self._store = store
        self._calls = calls
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                API + "/modelApis/{model}/calls/{requestId}",
                self.show,
                Action.VIEW_AUDIT,
                gives={200: views.Calls},
            )
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Which version and instance answered a call.

        `requestId` is the X-Request-Id of its answer. A call that was tried again shows who answered in the end. Calls
        that were refused for a missing token have no record.
        """
        model = about(request, MODEL)
        request_id = request.match_info["requestId"]
        if _ID.fullmatch(request_id) is None:
            raise Invalid("requestId must be 16 letters and digits: the X-Request-Id of an answer", field="requestId")
        kept_days = call_days(await read_configuration(self._store))
        self._refuse_what_is_not_kept(request_id.upper(), kept_days)
        within = timedelta(seconds=model.request_timeout_s)
        with patience.one_request(None):
            found = await self._calls.find(model.id, request_id.upper(), within=within)
        if not found:
            raise NotFound(
                f"there is no record of a call {request_id} of this Model API: records are there a few seconds after a "
                f"call, for {kept_days} days as far as there is room, and none is made of calls without a valid token"
            )
        return answer(views.calls(found, model, kept_for_days=kept_days))

    def _refuse_what_is_not_kept(self, request_id: str, kept_days: int) -> None:
        began, at = began_at(request_id), self._clock()
        if began is None or began > at + _EARLY:
            raise NotFound(f"{request_id} is no id of a call: those are 16 of 0-9 and A-F, and tell when it was")
        if began + SPAN < at - timedelta(days=kept_days):
            day = began.date().isoformat()
            raise NotFound(f"the call {request_id} was on {day}: records of calls are kept for {kept_days} days")
