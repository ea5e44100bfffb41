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
from services.api.http.audit_query import FILTERS, MODEL_ID, cursor, entry_query
from services.api.http.body import whole_number
from services.api.http.callers import WHO
from services.api.http.permits import Permits
from services.api.http.query import PART, Instant, PlainText, WholeNumber, part
from services.api.http.routes import API, Raw, Route, answer
from services.api.ports import EntryQuery, Store, place_of
from services.api.verify import Evidence, Witness, verify
from services.core.access import Action, Verdict, judge
from services.core.aggregates import MODEL
from services.core.audit import Link
from services.core.changes import CHANGING, Difference, differences
from services.core.errors import Invalid, ModelwayError
from services.core.model import Model
from services.core.past import live, state_at

LINES = "application/x-ndjson"

LIMIT = WholeNumber("limit", "how many entries a page has at most; of JSON Lines: all", default=100, low=1, high=1000)
TIME = Instant("time", "the moment, epoch milliseconds", is_required=True)
ONE_MODEL = PlainText("modelId", "one Model API by its id; left out: all")

_ALL = 10**9
_EXPORTED_AT_ONCE = 1000
_TAKEN_WITHIN_S = 60.0
_REMEMBERED = 200  # aggregates of which the changes are known while a page or an export is made

log = structlog.get_logger()


class Audit:
    """The history, newest first, and what follows from it."""

    def __init__(self, store: Store, permits: Permits, evidence: Evidence, witness: Witness) -> None:
        self._store = store
        self._permits = permits
        self._evidence = evidence
        self._witness = witness

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                f"{API}/audit",
                self.index,
                Action.VIEW_AUDIT,
                query=(*FILTERS, LIMIT),
                gives={200: (views.AuditPage, Raw(LINES, "all of it, one a line", views.AuditEntry))},
                also=(404,),
            ),
            Route(
                "GET",
                f"{API}/audit/as-of",
                self.as_of,
                Action.VIEW_AUDIT,
                query=(TIME, ONE_MODEL, *PART),
                gives={200: views.LiveModels},
                also=(404,),
            ),
            Route(
                "GET",
                f"{API}/audit/verification",
                self.verification,
                Action.VIEW_WHOLE_AUDIT,
                gives={200: views.Verification},
            ),
        ]

    async def index(self, request: web.Request) -> web.StreamResponse:
        """A page of the history, newest first.

        Who accepts JSON Lines gets all that the filters ask for instead, up to `limit`.
        """
        await self._allow(request, MODEL_ID.of(request))
        query = await entry_query(request, self._store)
        if LINES in request.headers.get("Accept", ""):
            return await self._export(request, query)
        limit = LIMIT.of(request)
        links = await self._store.entries(query, limit=limit)
        items = await _Told(self._store).views(links)
        return answer(
            views.AuditPage(items=items, next_cursor=cursor(links[-1].entry) if len(links) == limit else None)
        )

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
        """What was live at a moment: versions, routes, settings and the names of tokens.

        Of one model, or of all that there were.
        """
        at = TIME.of(request)
        if at is None:
            raise Invalid("time is required: epoch milliseconds", field="time")
        model_id = ONE_MODEL.of(request)
        await self._allow(request, model_id)
        with patience.one_request(None):
            if model_id is not None:
                models: Sequence[Model] = [await self._store.load(MODEL, model_id)]
            else:
                models = [model async for model in self._store.all_models() if model.created_at <= at]
            shown, total = part(request, models)
            items = [each for model in shown for each in await self._live(model, at)]
        return answer(views.LiveModels(time=views.milliseconds(at), items=items), headers=total)

    async def _live(self, model: Model, at: datetime) -> list[views.LiveModel]:
        """Of a model as it is now; its history is read only when it has changed since."""
        if model.created_at > at:
            return []
        if model.changed_at > at:
            earlier = state_at([link.entry async for link in self._until(model, at)], at)
            return [] if earlier is None else [views.live(live(earlier))]
        return [views.live(live(model))]

    async def _until(self, model: Model, at: datetime) -> AsyncIterator[Link]:
        async for link in self._store.links(model.id, up_to=model.revision):
            if link.entry.at > at:
                return
            yield link

    async def verification(self, request: web.Request) -> web.Response:
        """Whether the history is sound.

        Everything is read and folded anew: that takes seconds for a hundred thousand events.
        """
        with patience.one_request(None):
            result = await verify(self._evidence, self._witness)
        return answer(views.verified(result))

    async def _allow(self, request: web.Request, about_id: str | None) -> None:
        """Who may see everything may; else it takes a model that the caller may see the audit of."""
        whole = await self._permits.standing(request[WHO], None)
        if judge(whole, Action.VIEW_WHOLE_AUDIT) is Verdict.ALLOWED:
            return
        if about_id is None:
            await self._permits.require(request, Action.VIEW_WHOLE_AUDIT)
        else:
            await self._permits.require(request, Action.VIEW_AUDIT, await self._store.load(MODEL, about_id))


class _Told:
    """Entries as they are shown. Of the aggregates met last it keeps what their changes changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, tuple[int, dict[int, Difference]]] = OrderedDict()

    async def views(self, links: Sequence[Link]) -> list[views.AuditEntry]:
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
