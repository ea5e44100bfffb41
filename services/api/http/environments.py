"""This file answers for compute environments and their revisions."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from services.api.http import views
from services.api.http.body import read
from services.api.http.callers import CALLER, WHO, actor
from services.api.http.environment_body import (
    VISIBILITIES,
    EnvironmentBody,
    RevisionBody,
    check_supported,
    stated_requirements,
)
from services.api.http.intent import intent
from services.api.http.permits import Permits, about
from services.api.http.routes import Route, answer
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import SEEN_FROM, Action, Kind
from services.core.aggregates import ENVIRONMENT
from services.core.commands import ArchiveEnvironment, CreateEnvironment, ReviseEnvironment
from services.core.environment import Environment
from services.core.errors import Invalid, NotFound, Refused
from services.core.standing import GLOBAL, Caller, to_environment

BETA = "/api/environments/beta/environments"
V1 = "/api/environments/v1/environments"


class Environments:
    """Environments, under the paths that existing clients know."""

    def __init__(self, store: Store, ledger: Ledger, permits: Permits) -> None:
        self._store = store
        self._ledger = ledger
        self._permits = permits

    def routes(self) -> list[Route]:
        shown = views.Environment
        return [
            Route("GET", "/v1/environments", self.index, Action.LOOK_AROUND, gives={200: views.ListedEnvironments}),
            Route(
                "GET",
                "/v4/environments/defaultEnvironment",
                self.default,
                Action.LOOK_AROUND,
                gives={200: views.DefaultEnvironment},
                also=(404,),
            ),
            Route("POST", BETA, self.create, Action.CREATE_ENVIRONMENT, takes=EnvironmentBody, gives={201: shown}),
            Route("GET", V1 + "/{environment}", self.show, Action.USE_ENVIRONMENT, gives={200: shown}),
            Route("DELETE", V1 + "/{environment}", self.archive, Action.CHANGE_ENVIRONMENT, gives={204: None}),
            Route(
                "POST",
                BETA + "/{environment}/revisions",
                self.revise,
                Action.CHANGE_ENVIRONMENT,
                takes=RevisionBody,
                gives={201: shown, 200: shown},
            ),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Compute environments that the caller may use, by name."""
        environments = usable(await self._store.list_all(ENVIRONMENT), request[WHO])
        return answer(views.ListedEnvironments(data=[views.listed_environment(each) for each in environments]))

    async def default(self, _request: web.Request) -> web.Response:
        """The compute environment of a model that names none."""
        return answer(views.default_environment(await default_environment(self._store)))

    async def create(self, request: web.Request) -> web.Response:
        """Make a compute environment with its first revision. One for everyone is for administrators to make."""
        body = await read(request, EnvironmentBody)
        check_supported(body)
        names.check_one_of(body.visibility, VISIBILITIES, field="visibility")
        if body.visibility == GLOBAL:
            await self._permits.require(request, Action.CHANGE_PLATFORM)
        once = intent(request)
        command = CreateEnvironment(
            owner_id=request[CALLER].id,
            name=names.check_environment_name(body.name),
            revision_id=once.new_id("revision"),
            requirements=stated_requirements(body) or "",
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
        """A compute environment with its latest revision."""
        return answer(views.environment(about(request, ENVIRONMENT)))

    async def revise(self, request: web.Request) -> web.Response:
        """Make a new revision of a compute environment.

        201 with the new revision, or 200 when the latest one says the same already.
        """
        body = await read(request, RevisionBody)
        check_supported(body)
        requirements = stated_requirements(body)
        if requirements is None:
            raise Invalid("requirements or dockerfileInstructions must be given", field="requirements")
        once = intent(request)
        command = ReviseEnvironment(revision_id=once.new_id("revision"), requirements=requirements)
        environment = await self._ledger.execute(
            ENVIRONMENT,
            about(request, ENVIRONMENT).id,
            command,
            actor=actor(request),
            command_id=once.command_id("revise"),
        )
        is_new = any(revision.id == command.revision_id for revision in environment.revisions)
        at = f"{V1}/{environment.id}" if is_new else None
        return answer(views.environment(environment), status=201 if is_new else 200, at=at)

    async def archive(self, request: web.Request) -> web.Response:
        """Archive a compute environment: no new version may name it. What was built of it stays, and runs."""
        await self._ledger.execute(
            ENVIRONMENT,
            about(request, ENVIRONMENT).id,
            ArchiveEnvironment(),
            actor=actor(request),
            command_id=intent(request).command_id("archive"),
        )
        return web.Response(status=204)


def usable(environments: Iterable[Environment], who: Caller) -> list[Environment]:
    """Those that `who` may have a new version built in."""
    least = SEEN_FROM[Kind.ENVIRONMENT]
    return [each for each in environments if not each.is_archived and to_environment(who, each) >= least]


async def usable_environment(
    request: web.Request, store: Store, permits: Permits, environment_id: str, *, known: str = ""
) -> Environment:
    """The environment that a body names, which the caller has to be allowed to use; "": the one that is `known`.

    `known`: what the model has already, so that who may publish need not be allowed to use it elsewhere too; "": the
    platform's default. Raises Refused for one that is archived.
    """
    wanted = environment_id or known
    environment = await (store.load(ENVIRONMENT, wanted) if wanted else default_environment(store))
    if not known or wanted != known:
        await permits.require(request, Action.USE_ENVIRONMENT, environment)
    if environment.is_archived:
        raise Refused(f"environment {environment.name!r} is archived: name another in environmentId")
    return environment


async def default_environment(store: Store) -> Environment:
    """What a model gets that names no environment. Raises NotFound on a platform without one."""
    environment_id = await store.find_environment_id(name=names.DEFAULT_ENVIRONMENT)
    if environment_id is None:
        raise NotFound(f"there is no environment named {names.DEFAULT_ENVIRONMENT!r}: name one in environmentId")
    return await store.load(ENVIRONMENT, environment_id)
