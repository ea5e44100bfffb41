"""This file answers with the history: who changed what, when, and from where; and what was live at a moment."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import msgspec
import structlog
from aiohttp import web

from services.api import patience
from services.api.http import views
from services.api.http.audit_query import cursor, entry_query, instant
from services.api.http.body import plain_text, whole_number
from services.api.http.routes import API, Route, answer
from services.api.ports import EntryQuery, Store, place_of
from services.api.verify import Evidence, verify
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.audit import Link
from services.core.changes import CHANGING, Difference, differences
from services.core.errors import Invalid, ModelwayError
from services.core.model import Model
from services.core.past import live, state_at

LINES = "application/x-ndjson"

_ALL = 10**9
_EXPORTED_AT_ONCE = 1000
_TAKEN_WITHIN_S = 60.0
_REMEMBERED = 200  # aggregates of which the changes are known while a page or an export is made

log = structlog.get_logger()


class Audit:
    """The history, newest first, and what follows from it."""

    def __init__(self, store: Store, evidence: Evidence) -> None:
        self._store = store
        self._evidence = evidence

    def routes(self) -> list[Route]:
        return [
            Route("GET", f"{API}/audit", self.index, Action.VIEW_AUDIT),
            Route("GET", f"{API}/audit/as-of", self.as_of, Action.VIEW_AUDIT),
            Route("GET", f"{API}/audit/verification", self.verification, Action.VIEW_AUDIT),
        ]

    async def index(self, request: web.Request) -> web.StreamResponse:
        """A page of what the filters ask for; or, for who accepts JSON Lines, all of it."""
        query = await entry_query(request, self._store)
        if LINES in request.headers.get("Accept", ""):
            return await self._export(request, query)
        limit = whole_number(request, "limit", default=100, low=1, high=1000)
        links = await self._store.entries(query, limit=limit)
        items = await _Told(self._store).views(links)
        return answer({"items": items, "nextCursor": cursor(links[-1].entry) if len(links) == limit else None})

    async def _export(self, request: web.Request, query: EntryQuery) -> web.StreamResponse:
        """A page at a time. When one cannot be read the connection breaks off: what came is not taken for all."""
        left = whole_number(request, "limit", default=_ALL, low=1, high=_ALL)
        told = _Told(self._store)
        with patience.one_request(None):
            links = await self._store.entries(query, limit=min(left, _EXPORTED_AT_ONCE))
            lines = web.StreamResponse(headers={"Content-Type": LINES})
            await lines.prepare(request)
            try:
                while links and request.method != "HEAD":
                    text = b"".join(msgspec.json.encode(item) + b"\n" for item in await told.views(links))
                    async with asyncio.timeout(_TAKEN_WITHIN_S):
                        await lines.write(text)
                    left -= len(links)
                    query = msgspec.structs.replace(query, before=place_of(links[-1].entry))
                    links = await self._store.entries(query, limit=min(left, _EXPORTED_AT_ONCE)) if left else []
            except (ModelwayError, TimeoutError) as error:
                log.warning("export_broken_off", reason=str(error) or "nobody took it")
                if request.transport is not None:
                    request.transport.abort()
                return lines
        await lines.write_eof()
        return lines

    async def as_of(self, request: web.Request) -> web.Response:
        """What was live at `time`, of one model or of all that there were."""
        at = instant(request, "time")
        if at is None:
            raise Invalid("time is required: epoch milliseconds", field="time")
        model_id = plain_text(request, "modelId")
        items: list[views.View] = []
        with patience.one_request(None):
            if model_id is not None:
                items = await self._live(await self._store.load(MODEL, model_id), at)
            else:
                async for model in self._store.all_models():
                    items.extend(await self._live(model, at))
        return answer({"time": views.milliseconds(at), "items": items})

    async def _live(self, model: Model, at: datetime) -> list[views.View]:
        """Of a model as it is now; its history is read only when it has changed since."""
        if model.created_at > at:
            return []
        if model.changed_at > at:
            earlier = state_at([link.entry async for link in self._until(model, at)], at)
            return [] if earlier is None else [views.live(live(earlier))]
        return [views.live(live(model))]

    async def _until(self, model: Model, at: datetime) -> AsyncIterator[Link]:
        async for link in self._evidence.links(model.id, up_to=model.revision):
            if link.entry.at > at:
                return
            yield link

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


class _Told:
    """Entries as they are shown. Of the aggregates met last it keeps what their changes changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, tuple[int, dict[int, Difference]]] = OrderedDict()

    async def views(self, links: Sequence[Link]) -> list[views.View]:
        """`links` are newest first, and none is newer than one that was shown before."""
        return [views.audited(link, await self._difference(link)) for link in links]

    async def _difference(self, link: Link) -> Difference | None:
        entry = link.entry
        if not isinstance(entry.event, CHANGING):
            return None
        up_to, found = self._known.get(entry.aggregate_id, (0, {}))
        if up_to < entry.revision:
            found = differences(await self._store.telling(entry.aggregate_id, up_to=entry.revision))
            self._known[entry.aggregate_id] = (entry.revision, found)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found.get(entry.revision)
