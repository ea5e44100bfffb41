"""This file answers for the central configuration: what administrators set for the whole platform."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web

from services.api.configured import read_configuration, read_defaults
from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.intent import intent
from services.api.http.query import PART, part
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
from services.api.ports import Ledger, Store
from services.core.access import Action
from services.core.aggregates import CONFIGURATION
from services.core.commands import SetConfiguration
from services.core.configuration import CONFIGURATION_ID, KEYS, Configuration, find, pending

CONFIG_AT = API + "/centralConfig"
KEY_AT = CONFIG_AT + "/{key}"


class ValueBody(Body, frozen=True, kw_only=True):
    """What to set a key to."""

    value: Annotated[int | float, says("in the unit and within the bounds that the key's description tells")]


class CentralConfiguration:
    """Every key, whether set or not."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def routes(self) -> list[Route]:
        return [
            Route("GET", CONFIG_AT, self.index, Action.VIEW_PLATFORM, gives={200: views.ConfiguredKeys}),
            Route(
                "GET",
                CONFIG_AT + "/pending",
                self.pending,
                Action.VIEW_PLATFORM,
                query=PART,
                gives={200: views.PendingModels},
            ),
            Route("PUT", KEY_AT, self.put, Action.CHANGE_PLATFORM, takes=ValueBody, gives={200: views.Configured}),
            Route("DELETE", KEY_AT, self.reset, Action.CHANGE_PLATFORM, gives={200: views.Configured}),
        ]

    async def index(self, _request: web.Request) -> web.Response:
        """The central configuration: every key, whether set or not."""
        configuration = await read_configuration(self._store)
        return answer(views.ConfiguredKeys(items=[views.configured(configuration, key) for key in KEYS.values()]))

    async def put(self, request: web.Request) -> web.Response:
        """Set a key for the whole platform."""
        key = find(request.match_info["key"])
        body = await read(request, ValueBody)
        after = await self._execute(request, SetConfiguration(key=key.name, value=body.value))
        return answer(views.configured(after, key))

    async def reset(self, request: web.Request) -> web.Response:
        """Give a key its default again."""
        key = find(request.match_info["key"])
        now = await read_configuration(self._store)
        if now.is_set(key.name):
            now = await self._execute(request, SetConfiguration(key=key.name, value=None))
        return answer(views.configured(now, key))

    async def pending(self, request: web.Request) -> web.Response:
        """Models with running versions that were started before something was set which they leave to the platform."""
        now = await read_defaults(self._store)
        found = [(model, pending(model, now)) async for model in self._store.all_models()]
        items = [views.pending(model, behind) for model, behind in found if behind is not None]
        shown, total = part(request, items)
        return answer(views.PendingModels(items=list(shown)), headers=total)

    async def _execute(self, request: web.Request, command: SetConfiguration) -> Configuration:
        return await self._ledger.execute(
            CONFIGURATION,
            CONFIGURATION_ID,
            command,
            actor=actor(request),
            command_id=intent(request).command_id("set" if command.value is not None else "reset"),
        )
