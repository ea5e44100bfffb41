"""This file answers for the versions of a model: published, shown, run, and made to answer `prod`."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web

from services.api.configured import read_defaults
from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.publish import Publisher, VersionBody
from services.api.http.query import PART, part
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
from services.api.http.views.listed import ListedVersions, listed_version
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
    """What a version shall do."""

    is_running: Annotated[bool, says("true: run; false: stop")]


class ProductionBody(Body, frozen=True, kw_only=True):
    """Whether a version shall answer prod."""

    is_prod: Annotated[bool, says("true: prod leads to it; false: not any more")]


class Versions:
    """The versions of one model."""

    def __init__(self, store: Store, ledger: Ledger, observed: Observed, publisher: Publisher) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._publisher = publisher

    def routes(self) -> list[Route]:
        return [
            Route("GET", VERSIONS_AT, self.index, Action.VIEW, query=PART, gives={200: list[views.ModelApiVersion]}),
            Route(
                "POST",
                VERSIONS_AT,
                self.publish,
                Action.PUBLISH_VERSION,
                takes=VersionBody,
                gives={201: views.ModelApiVersion},
            ),
            Route("GET", VERSION_AT, self.show, Action.VIEW, gives={200: views.ModelApiVersion}),
            Route(
                "PUT",
                VERSION_AT + "/targetState",
                self.set_target,
                Action.RUN_VERSION,
                takes=TargetBody,
                gives={202: views.ModelApiVersion},
            ),
            Route(
                "PUT",
                VERSION_AT + "/productionLabel",
                self.set_production,
                Action.RUN_VERSION,
                takes=ProductionBody,
                gives={202: views.ModelApiVersion},
            ),
            Route(
                "POST", VERSION_AT + "/restart", self.restart, Action.RUN_VERSION, gives={202: views.ModelApiVersion}
            ),
            Route(
                "POST",
                VERSION_AT + "/cancelBuild",
                self.cancel_build,
                Action.RUN_VERSION,
                gives={202: views.ModelApiVersion},
            ),
            Route("GET", "/v1/models/{model}/versions", self.list_numbers, Action.VIEW, gives={200: ListedVersions}),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The versions of a Model API, newest first."""
        model = about(request, MODEL)
        versions, total = part(request, model.versions[::-1])
        return answer([self._view(model, version) for version in versions], headers=total)

    async def publish(self, request: web.Request) -> web.Response:
        """Publish a new version of a Model API.

        What the body leaves out is as in the version before.
        """
        body = await read(request, VersionBody)
        after, version = await self._publisher.publish(request, about(request, MODEL), body)
        return answer(self._view(after, version), status=201, at=views.version_at(after.id, version.id))

    async def show(self, request: web.Request) -> web.Response:
        """A version of a Model API."""
        model = about(request, MODEL)
        return answer(self._view(model, model.version(request.match_info["version"])))

    async def set_target(self, request: web.Request) -> web.Response:
        """Start a version, or stop it.

        202: it is ordered, and the version's status tells when it is so.
        """
        body = await read(request, TargetBody)
        version_id = VersionId(request.match_info["version"])
        if body.is_running:
            defaults = await read_defaults(self._store)
            return await self._order(request, StartVersion(version_id=version_id, defaults=defaults))
        return await self._order(request, StopVersion(version_id=version_id))

    async def set_production(self, request: web.Request) -> web.Response:
        """Have a version answer prod, or not any more.

        202: `prod` leads to it as soon as it is ready.
        """
        body = await read(request, ProductionBody)
        version_id = VersionId(request.match_info["version"])
        if body.is_prod:
            defaults = await read_defaults(self._store)
            return await self._order(request, PromoteVersion(version_id=version_id, defaults=defaults))
        return await self._order(request, DemoteVersion(version_id=version_id))

    async def restart(self, request: web.Request) -> web.Response:
        """Replace the instances of a version, one at a time.

        202: it is ordered, and the version's status tells when it is so.
        """
        version_id = VersionId(request.match_info["version"])
        defaults = await read_defaults(self._store)
        return await self._order(request, RestartVersion(version_id=version_id, defaults=defaults))

    async def cancel_build(self, request: web.Request) -> web.Response:
        """Cancel the build of a version.

        202: the version is `Failed`, and its builder ends the build as soon as it hears of it.
        """
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
        """The numbers of a model's versions, newest first: all of them, as the oldest clients expect."""
        model = about(request, MODEL)
        return answer(ListedVersions(data=[listed_version(each) for each in reversed(model.versions)]))

    def _view(self, model: Model, version: Version) -> views.ModelApiVersion:
        return views.version(model, version, self._observed.seen)
