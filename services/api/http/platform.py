"""This file answers for the platform itself: its version, whether it lives, and how its parts are."""

from __future__ import annotations

from aiohttp import web

from services.api.http import views
from services.api.http.routes import API, Route, answer
from services.api.ports import Observed, Store
from services.core.access import Action
from services.core.errors import Unavailable

CONTRACT_VERSION = "5.11.0"  # what existing clients gate their features on

_OK = "ok"


class Platform:
    """What anyone may ask, and the state of the services for those who run them."""

    def __init__(self, store: Store, observed: Observed, *, version: str) -> None:
        self._store = store
        self._observed = observed
        self._version = version

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/version", self.version, None, gives={200: views.VersionInfo}),
            Route("GET", "/livez", self.live, None, gives={200: views.Liveness}),
            Route("GET", "/readyz", self.ready, None, gives={200: views.Readiness, 503: views.Readiness}),
            Route("GET", f"{API}/platform", self.state, Action.VIEW_PLATFORM, gives={200: views.PlatformState}),
        ]

    async def version(self, _request: web.Request) -> web.Response:
        """Which release this is."""
        return answer(views.VersionInfo(version=CONTRACT_VERSION, modelway=self._version))

    async def live(self, _request: web.Request) -> web.Response:
        """Whether the process lives: it answers, so it does."""
        return answer(views.Liveness())

    async def ready(self, _request: web.Request) -> web.Response:
        """Whether requests can be answered.

        503 while the database does not answer. Without the bus all goes on but the effects.
        """
        database = await self._database()
        is_ready = database == _OK
        body = views.Readiness(status=_OK if is_ready else "failing", database=database, bus=self._bus())
        return answer(body, status=200 if is_ready else 503, headers={} if is_ready else {"Retry-After": "1"})

    async def state(self, _request: web.Request) -> web.Response:
        """How the parts of the platform are."""
        services = self._observed.services()
        rejected = self._observed.rejected_configurations()
        routers = {seen.service_id for seen in services if seen.service == "router"} | set(rejected)
        return answer(
            views.PlatformState(
                services=[views.service(seen) for seen in services],
                database=await self._database(),
                bus=self._bus(),
                outbox=views.Outbox(waiting=await self._waiting()),
                routers=[views.RouterView(id=router, rejected=rejected.get(router, "")) for router in sorted(routers)],
            )
        )

    async def _database(self) -> str:
        try:
            await self._store.ping()
        except Unavailable as error:
            return error.reason
        return _OK

    async def _waiting(self) -> int | None:
        """What is stored and not yet published; None while the database cannot be asked."""
        try:
            return await self._store.count_unpublished()
        except Unavailable:
            return None

    def _bus(self) -> str:
        return _OK if self._observed.is_bus_connected else "the bus does not answer"
