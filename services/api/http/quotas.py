"""This file answers for resource quotas: making, showing and hiding them. There is no way to delete one."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web

from services.api.configured import read_quotas
from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import WHO, actor
from services.api.http.intent import intent
from services.api.http.routes import API, Route, answer
from services.api.http.settings_body import wire_words
from services.api.http.shapes import says
from services.api.http.views import settings_fields as fields
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action, Verdict, judge
from services.core.aggregates import QUOTAS
from services.core.commands import ChangeQuota, CreateQuota, QuotaCommand
from services.core.quota import QUOTAS_ID, Quotas
from services.core.settings import BOUNDS
from services.core.standing import to_platform

QUOTAS_AT = API + "/resourceQuotas"


class QuotaBody(Body, frozen=True, kw_only=True):
    """A resource quota to be made."""

    name: Annotated[str, says("its name: printable, at most 100 characters", longest=100)]
    cpu_requested: fields.CpuRequested = 0.0
    cpu_limit: fields.CpuLimit = 0.0
    memory_requested_bytes: fields.MemoryRequestedBytes = 0
    memory_limit_bytes: Annotated[
        int, says("memory an instance may use, bytes", low=BOUNDS["memory_bytes"][0], high=BOUNDS["memory_bytes"][1])
    ]


class QuotaChangeBody(Body, frozen=True, kw_only=True):
    """What is left out stays."""

    is_visible: Annotated[bool | None, says("whether models can choose it; null, as left out: it stays as it is")] = (
        None
    )
    is_default: Annotated[
        bool | None, says("whether a new model takes it that names none; null, as left out: it stays as it is")
    ] = None


class ResourceQuotas:
    """All of them."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def routes(self) -> list[Route]:
        return [
            Route("GET", QUOTAS_AT, self.index, Action.LOOK_AROUND, gives={200: views.ResourceQuotas}),
            Route(
                "POST",
                QUOTAS_AT,
                self.create,
                Action.CHANGE_PLATFORM,
                takes=QuotaBody,
                gives={201: views.ResourceQuota},
            ),
            Route(
                "PUT",
                QUOTAS_AT + "/{quota}",
                self.change,
                Action.CHANGE_PLATFORM,
                takes=QuotaChangeBody,
                gives={200: views.ResourceQuota},
            ),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Resource quotas, in the order they were made.

        Hidden ones are shown to those who may show them again.
        """
        shows_hidden = judge(to_platform(request[WHO]), Action.CHANGE_PLATFORM) is Verdict.ALLOWED
        quotas = await read_quotas(self._store)
        items = [views.quota(each) for each in quotas.items if each.is_visible or shows_hidden]
        return answer(views.ResourceQuotas(items=items))

    async def create(self, request: web.Request) -> web.Response:
        """Make a resource quota."""
        body = await read(request, QuotaBody)
        command = CreateQuota(
            quota_id=intent(request).new_id("quota"),
            name=names.check_quota_name(body.name),
            cpu_requested=body.cpu_requested,
            cpu_limit=body.cpu_limit,
            memory_requested_bytes=body.memory_requested_bytes,
            memory_limit_bytes=body.memory_limit_bytes,
        )
        quotas = await self._execute(request, command)
        return answer(views.quota(quotas.quota(command.quota_id)), status=201)

    async def change(self, request: web.Request) -> web.Response:
        """Hide a resource quota, show it again, or make it the default."""
        body = await read(request, QuotaChangeBody)
        command = ChangeQuota(
            quota_id=request.match_info["quota"], is_visible=body.is_visible, is_default=body.is_default
        )
        quotas = await self._execute(request, command)
        return answer(views.quota(quotas.quota(command.quota_id)))

    async def _execute(self, request: web.Request, command: QuotaCommand) -> Quotas:
        with wire_words():
            return await self._ledger.execute(
                QUOTAS,
                QUOTAS_ID,
                command,
                actor=actor(request),
                command_id=intent(request).command_id(type(command).__name__),
            )
