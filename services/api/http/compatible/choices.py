"""This file answers what a project may choose from: environments to be built in, and sizes to run in."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_quotas
from services.api.http import views
from services.api.http.callers import WHO
from services.api.http.compatible.views import HardwareTier, hardware_tier
from services.api.http.environments import usable
from services.api.http.routes import Route, answer
from services.api.ports import Store
from services.core.access import Action
from services.core.aggregates import ENVIRONMENT

PROJECT_AT = "/v4/projects/{project}"


class Choices:
    """The same for every project so far."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                PROJECT_AT + "/useableEnvironments",
                self.environments,
                Action.FIND_PROJECT,
                gives={200: views.UseableEnvironments},
            ),
            Route(
                "GET",
                PROJECT_AT + "/hardwareTiers",
                self.hardware_tiers,
                Action.FIND_PROJECT,
                gives={200: list[HardwareTier]},
            ),
        ]

    async def environments(self, request: web.Request) -> web.Response:
        """Compute environments that the caller can have versions of the project built in."""
        environments = usable(await self._store.list_all(ENVIRONMENT), request[WHO])
        return answer(views.UseableEnvironments(environments=[views.listed_environment(each) for each in environments]))

    async def hardware_tiers(self, request: web.Request) -> web.Response:
        """Resource quotas that are not hidden, in the order they were made."""
        quotas = await read_quotas(self._store)
        return answer([hardware_tier(each) for each in quotas.items if each.is_visible])
