"""This file answers for the versions of a model: published, shown, run, and made to answer `prod`."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_defaults
from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.intent import intent
from services.api.http.publish import Publisher, VersionBody
from services.api.http.routes import API, Route, answer
from services.api.ports import Ledger, Observed, Store
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.commands import (
    AnyCommand,
    CancelBuild,
    DemoteVersion,
    PromoteVersion,
    RestartVersion,
    StartVersion,
    StopVersion,
)
from services.core.ids import VersionId
from services.core.lifecycle import Version
from services.core.model import Model

VERSIONS_AT = API + "/modelApis/{model}/versions"
VERSION_AT = VERSIONS_AT + "/{version}"


class TargetBody(Body, frozen=True, kw_only=True):
    is_running: bool


class ProductionBody(Body, frozen=True, kw_only=True):
    is_prod: bool


class Versions:
    """The versions of one model."""

    def __init__(self, store: Store, ledger: Ledger, observed: Observed, publisher: Publisher) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._publisher = publisher

    def routes(self) -> list[Route]:
        return [
            Route("GET", VERSIONS_AT, self.index, Action.VIEW),
            Route("POST", VERSIONS_AT, self.publish, Action.PUBLISH_VERSION),
            Route("GET", VERSION_AT, self.show, Action.VIEW),
            Route("PUT", VERSION_AT + "/targetState", self.set_target, Action.RUN_VERSION),
            Route("PUT", VERSION_AT + "/productionLabel", self.set_production, Action.RUN_VERSION),
            Route("POST", VERSION_AT + "/restart", self.restart, Action.RUN_VERSION),
            Route("POST", VERSION_AT + "/cancelBuild", self.cancel_build, Action.PUBLISH_VERSION),
            Route("GET", "/v1/models/{model}/versions", self.list_numbers, Action.VIEW),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Newest first."""
        model = await self._model(request)
        return answer([self._view(model, version) for version in reversed(model.versions)])

    async def publish(self, request: web.Request) -> web.Response:
        body = await read(request, VersionBody)
        model = await self._model(request)
        after, version = await self._publisher.publish(model, body, intent(request), by=actor(request))
        return answer(self._view(after, version), status=201, at=views.version_at(after.id, version.id))

    async def show(self, request: web.Request) -> web.Response:
        model = await self._model(request)
        return answer(self._view(model, model.version(request.match_info["version"])))

    async def set_target(self, request: web.Request) -> web.Response:
        """202: it is ordered, and the version's status tells when it is so."""
        body = await read(request, TargetBody)
        version_id = VersionId(request.match_info["version"])
        if body.is_running:
            defaults = await read_defaults(self._store)
            return await self._order(request, StartVersion(version_id=version_id, defaults=defaults))
        return await self._order(request, StopVersion(version_id=version_id))

    async def set_production(self, request: web.Request) -> web.Response:
        """202: `prod` leads to the version as soon as it is ready, or not to it any more."""
        body = await read(request, ProductionBody)
        version_id = VersionId(request.match_info["version"])
        if body.is_prod:
            defaults = await read_defaults(self._store)
            return await self._order(request, PromoteVersion(version_id=version_id, defaults=defaults))
        return await self._order(request, DemoteVersion(version_id=version_id))

    async def restart(self, request: web.Request) -> web.Response:
        """202: its instances are replaced one at a time."""
        version_id = VersionId(request.match_info["version"])
        defaults = await read_defaults(self._store)
        return await self._order(request, RestartVersion(version_id=version_id, defaults=defaults))

    async def cancel_build(self, request: web.Request) -> web.Response:
        """202: the version is `Failed`, and its builder ends the build as soon as it hears of it."""
        version_id = VersionId(request.match_info["version"])
        return await self._order(request, CancelBuild(version_id=version_id, by=actor(request).name))

    async def _order(self, request: web.Request, command: AnyCommand) -> web.Response:
        after = await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )
        version = after.version(request.match_info["version"])
        return answer(self._view(after, version), status=202, at=views.version_at(after.id, version.id))

    async def list_numbers(self, request: web.Request) -> web.Response:
        """Newest first, in the shape that the oldest clients read."""
        model = await self._model(request)
        data = [{"_id": each.id, "id": each.id, "metadata": {"number": each.number}} for each in model.versions]
        return answer({"objectType": "list", "data": data[::-1]})

    async def _model(self, request: web.Request) -> Model:
        return await self._store.load(MODEL, request.match_info["model"])

    def _view(self, model: Model, version: Version) -> views.View:
        return views.version(model, version, self._observed.seen)
