"""This file answers for compute environments and their revisions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import CALLER, actor
from services.api.http.intent import intent
from services.api.http.routes import Route, answer
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import ENVIRONMENT
from services.core.commands import CreateEnvironment, ReviseEnvironment
from services.core.environment import Environment
from services.core.errors import Invalid, NotFound
from services.core.requirements import check_requirements

Requirements = Annotated[str, msgspec.Meta(max_length=65_536)]

VISIBILITIES = ("Global", "Private")

BETA = "/api/environments/beta/environments"
V1 = "/api/environments/v1/environments"


class EnvironmentBody(Body, frozen=True, kw_only=True):
    name: str
    requirements: Requirements = ""
    visibility: str = "Private"


class RevisionBody(Body, frozen=True, kw_only=True):
    requirements: Requirements


class Environments:
    """Environments, under the paths that existing clients know."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/environments", self.index, Action.LOOK_AROUND),
            Route("GET", "/v4/environments/defaultEnvironment", self.default, Action.LOOK_AROUND),
            Route("POST", BETA, self.create, Action.CREATE_ENVIRONMENT),
            Route("GET", V1 + "/{environment}", self.show, Action.USE_ENVIRONMENT),
            Route("POST", BETA + "/{environment}/revisions", self.revise, Action.CHANGE_ENVIRONMENT),
        ]

    async def index(self, _request: web.Request) -> web.Response:
        environments = await self._store.list_all(ENVIRONMENT)
        return answer({"objectType": "list", "data": [views.listed_environment(each) for each in environments]})

    async def default(self, _request: web.Request) -> web.Response:
        return answer(views.default_environment(await default_environment(self._store)))

    async def create(self, request: web.Request) -> web.Response:
        body = await read(request, EnvironmentBody)
        if body.visibility not in VISIBILITIES:
            raise Invalid(f"visibility must be one of {', '.join(VISIBILITIES)}", field="visibility")
        once = intent(request)
        command = CreateEnvironment(
            owner_id=request[CALLER].id,
            name=names.check_environment_name(body.name),
            revision_id=once.new_id("revision"),
            requirements=check_requirements(body.requirements),
            visibility=body.visibility,
        )
        environment = await self._ledger.execute(
            ENVIRONMENT,
            once.new_id("environment"),
            command,
            actor=actor(request),
            command_id=once.command_id("create"),
        )
        return answer(views.environment(environment), status=201, at=f"{V1}/{environment.id}")

    async def show(self, request: web.Request) -> web.Response:
        return answer(views.environment(await self._store.load(ENVIRONMENT, request.match_info["environment"])))

    async def revise(self, request: web.Request) -> web.Response:
        """201 with the new revision, or 200 when the latest one says the same already."""
        body = await read(request, RevisionBody)
        once = intent(request)
        command = ReviseEnvironment(
            revision_id=once.new_id("revision"), requirements=check_requirements(body.requirements)
        )
        environment = await self._ledger.execute(
            ENVIRONMENT,
            request.match_info["environment"],
            command,
            actor=actor(request),
            command_id=once.command_id("revise"),
        )
        is_new = any(revision.id == command.revision_id for revision in environment.revisions)
        at = f"{V1}/{environment.id}" if is_new else None
        return answer(views.environment(environment), status=201 if is_new else 200, at=at)


async def default_environment(store: Store) -> Environment:
    """What a model gets that names no environment. Raises NotFound on a platform without one."""
    environment_id = await store.find_environment_id(name=names.DEFAULT_ENVIRONMENT)
    if environment_id is None:
        raise NotFound(f"there is no environment named {names.DEFAULT_ENVIRONMENT!r}: name one in environmentId")
    return await store.load(ENVIRONMENT, environment_id)
