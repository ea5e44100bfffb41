"""This file answers for resource quotas: making, showing and hiding them. There is no way to delete one."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_quotas
from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import WHO, actor
from services.api.http.intent import intent
from services.api.http.routes import API, Route, answer
from services.api.http.settings_body import wire_words
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action, Verdict, judge
from services.core.aggregates import QUOTAS
from services.core.commands import ChangeQuota, CreateQuota, QuotaCommand
from services.core.quota import QUOTAS_ID, Quotas
from services.core.standing import to_platform

QUOTAS_AT = API + "/resourceQuotas"


class QuotaBody(Body, frozen=True, kw_only=True):
    name: str
    cpu_requested: float = 0.0
    cpu_limit: float = 0.0  # none
    memory_requested_bytes: int = 0
    memory_limit_bytes: int


class QuotaChangeBody(Body, frozen=True, kw_only=True):
    """What is left out stays."""

    is_visible: bool | None = None
    is_default: bool | None = None


class ResourceQuotas:
    """All of them."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def routes(self) -> list[Route]:
        return [
            Route("GET", QUOTAS_AT, self.index, Action.LOOK_AROUND),
            Route("POST", QUOTAS_AT, self.create, Action.CHANGE_PLATFORM),
            Route("PUT", QUOTAS_AT + "/{quota}", self.change, Action.CHANGE_PLATFORM),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """In the order they were made; hidden ones are shown to those who may show them again."""
        shows_hidden = judge(to_platform(request[WHO]), Action.CHANGE_PLATFORM) is Verdict.ALLOWED
        quotas = await read_quotas(self._store)
        return answer({"items": [views.quota(each) for each in quotas.items if each.is_visible or shows_hidden]})

    async def create(self, request: web.Request) -> web.Response:
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
