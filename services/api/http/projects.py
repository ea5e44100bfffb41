"""This file answers for projects: creating, listing and finding them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import CALLER, actor
from services.api.http.intent import intent
from services.api.http.routes import API, Route, answer
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import PERSON, PROJECT
from services.core.commands import CreateProject
from services.core.errors import Invalid, NotFound
from services.core.person import Person

LongText = Annotated[str, msgspec.Meta(max_length=10_000)]

VISIBILITIES = ("Public", "Searchable", "Private")


class ProjectBody(Body, frozen=True, kw_only=True):
    name: str
    description: LongText = ""
    visibility: str = "Private"
    owner_id: str | None = None  # the caller


class Projects:
    """Projects, under the paths that existing clients know."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v4/projects", self.create, Action.CREATE_PROJECT),
            Route("GET", "/v4/gateway/projects", self.index, Action.LOOK_AROUND),
            Route("GET", "/v4/gateway/projects/findProjectByOwnerAndName", self.find, Action.FIND_PROJECT),
            Route("GET", "/v4/projects/{project}", self.show, Action.FIND_PROJECT),
            Route("GET", f"{API}/whoami", self.whoami, Action.LOOK_AROUND),
            Route("GET", "/v4/users", self.users, Action.LOOK_AROUND),
        ]

    async def create(self, request: web.Request) -> web.Response:
        body = await read(request, ProjectBody)
        if body.visibility not in VISIBILITIES:
            raise Invalid(f"visibility must be one of {', '.join(VISIBILITIES)}", field="visibility")
        owner = await self._owner(request, body.owner_id)
        command = CreateProject(
            owner_id=owner.id,
            owner_name=owner.user_name,
            name=names.check_project_name(body.name),
            description=body.description,
            visibility=body.visibility,
        )
        once = intent(request)
        project = await self._ledger.execute(
            PROJECT, once.new_id("project"), command, actor=actor(request), command_id=once.command_id("create")
        )
        return answer(views.project(project), status=201, at=f"/v4/projects/{project.id}")

    async def index(self, _request: web.Request) -> web.Response:
        return answer([views.project(project) for project in await self._store.list_all(PROJECT)])

    async def find(self, request: web.Request) -> web.Response:
        owner, name = request.query.get("ownerName", ""), request.query.get("projectName", "")
        project = await self._store.find_project(owner_name=owner, name=name)
        if project is None:
            raise NotFound(f"there is no project {names.shortened(f'{owner}/{name}')}")
        return answer(views.project(project))

    async def show(self, request: web.Request) -> web.Response:
        return answer(views.project(await self._store.load(PROJECT, request.match_info["project"])))

    async def whoami(self, request: web.Request) -> web.Response:
        return answer(views.caller(request[CALLER]))

    async def users(self, _request: web.Request) -> web.Response:
        return answer([views.person(person) for person in await self._store.list_all(PERSON)])

    async def _owner(self, request: web.Request, owner_id: str | None) -> Person:
        if not owner_id or owner_id == request[CALLER].id:
            return request[CALLER]
        return await self._store.load(PERSON, owner_id)
