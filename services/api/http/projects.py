"""This file answers for projects: creating, listing and finding them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec.structs import replace

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import CALLER, WHO, actor
from services.api.http.collaborators import Known
from services.api.http.compatible.collaborators import CollaboratorBodies, invitations
from services.api.http.compatible.relationship import RELATIONSHIPS, check_relationship, related, seen
from services.api.http.compatible.tags import TagsBody, adding
from services.api.http.intent import intent
from services.api.http.permits import Permits, about
from services.api.http.query import PlainText, YesOrNo
from services.api.http.routes import API, Query, Route, answer
from services.api.http.shapes import says
from services.api.http.views.projects import Project as ProjectView
from services.api.http.views.projects import User, WhoAmI
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import PERSON, PROJECT
from services.core.commands import CreateProject
from services.core.errors import Invalid, NotFound
from services.core.person import Person
from services.core.standing import PRIVATE, VISIBILITIES

LongText = Annotated[
    str, msgspec.Meta(max_length=10_000, description="what people should know of it, at most 10,000 characters")
]

NAME = PlainText("name", "the project's name: only projects with it; left out: any")
OWNER_ID = PlainText("ownerId", "a person: only projects that are theirs; left out: anybody's")
RELATIONSHIP = PlainText(
    "relationship", "how the caller stands to the projects; left out: in any way", among=RELATIONSHIPS
)
SHOW_COMPLETED = YesOrNo("showCompleted", "whether archived projects are listed too")
_BY_OWNER_AND_NAME = (
    Query("ownerName", str, "the user name of the project's owner", is_required=True),
    Query("projectName", str, "the project's name", is_required=True),
)


class ProjectBody(Body, frozen=True, kw_only=True):
    """A new project."""

    name: Annotated[str, says("its name: letters, digits, '.', '_' and '-', at most 100; unique among its owner's")]
    description: Annotated[LongText | None, says("what it is; null: nothing", default="")] = ""
    visibility: Annotated[
        views.ProjectVisibility | None,
        says(
            "Public: everyone may look at it; Searchable: everyone may find it; Private, as null: collaborators",
            default="Private",
        ),
    ] = "Private"
    owner_id: Annotated[str | None, says("the person whose it is; null: the caller")] = None
    collaborators: Annotated[CollaboratorBodies, says("who else works on it")] = ()
    tags: Annotated[TagsBody | None, says("words that people find it by")] = None


class Projects:
    """Projects, under the paths that existing clients know."""

    def __init__(self, store: Store, ledger: Ledger, permits: Permits) -> None:
        self._store = store
        self._ledger = ledger
        self._permits = permits

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v4/projects",
                self.create,
                Action.CREATE_PROJECT,
                takes=ProjectBody,
                gives={201: ProjectView},
                also=(404,),
            ),
            Route(
                "GET",
                "/v4/projects",
                self.index,
                Action.LOOK_AROUND,
                gives={200: tuple[ProjectView, ...]},
                query=(NAME, OWNER_ID),
            ),
            Route(
                "GET",
                "/v4/gateway/projects",
                self.related,
                Action.LOOK_AROUND,
                gives={200: tuple[ProjectView, ...]},
                query=(RELATIONSHIP, SHOW_COMPLETED),
            ),
            Route(
                "GET",
                "/v4/gateway/projects/findProjectByOwnerAndName",
                self.find,
                Action.FIND_PROJECT,
                gives={200: ProjectView},
                also=(404,),
                query=_BY_OWNER_AND_NAME,
            ),
            Route("GET", "/v4/projects/{project}", self.show, Action.FIND_PROJECT, gives={200: ProjectView}),
            Route("GET", f"{API}/whoami", self.whoami, Action.LOOK_AROUND, gives={200: WhoAmI}),
            Route("GET", "/v4/users", self.users, Action.LOOK_AROUND, gives={200: tuple[User, ...]}),
            Route("GET", "/v4/users/self", self.self, Action.LOOK_AROUND, gives={200: User}),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a project."""
        body = await read(request, ProjectBody)
        owner = await self._owner(request, body.owner_id)
        once = intent(request)
        command = replace(
            _creation(body, owner),
            collaborators=tuple(await invitations(Known(self._store), body.collaborators)),
            tags=() if body.tags is None else adding(body.tags.tag_names).tags,
        )
        project = await self._ledger.execute(
            PROJECT, once.new_id("project"), command, actor=actor(request), command_id=once.command_id("create")
        )
        return answer(views.project(project), status=201, at=f"/v4/projects/{project.id}")

    async def index(self, request: web.Request) -> web.Response:
        """Projects that the caller may find: all of them, as existing clients expect."""
        name, owner_id = NAME.of(request), OWNER_ID.of(request)
        projects = [
            project
            for project in seen(await self._store.list_all(PROJECT), request[WHO])
            if name in (None, project.name) and owner_id in (None, project.owner_id)
        ]
        return answer([views.project(project) for project in projects])

    async def related(self, request: web.Request) -> web.Response:
        """Projects that the caller may find, by how they stand to them.

        Archived ones are listed among those that are completed.
        """
        relationship = check_relationship(RELATIONSHIP.of(request))
        with_archived = SHOW_COMPLETED.of(request)
        projects = seen(await self._store.list_all(PROJECT), request[WHO], with_archived=with_archived)
        return answer([views.project(project) for project in related(projects, request[WHO], relationship)])

    async def find(self, request: web.Request) -> web.Response:
        """The project with this owner and name."""
        owner, name = request.query.get("ownerName", ""), request.query.get("projectName", "")
        project = await self._store.find_project(owner_name=owner, name=name)
        if project is None or not seen([project], request[WHO], with_archived=True):
            raise NotFound(f"there is no project {names.shortened(f'{owner}/{name}')}")
        return answer(views.project(project))

    async def show(self, request: web.Request) -> web.Response:
        """A project."""
        return answer(views.project(about(request, PROJECT)))

    async def whoami(self, request: web.Request) -> web.Response:
        """The person who calls."""
        return answer(views.caller(request[CALLER]))

    async def users(self, _request: web.Request) -> web.Response:
        """People, by name: all of them, as existing clients expect."""
        return answer([views.person(person) for person in await self._store.list_all(PERSON)])

    async def self(self, request: web.Request) -> web.Response:
        """The person who calls, as others see them."""
        return answer(views.person(request[CALLER]))

    async def _owner(self, request: web.Request, owner_id: str | None) -> Person:
        """Others' projects are made by those who may change others: administrators."""
        if not owner_id or owner_id == request[CALLER].id:
            return request[CALLER]
        owner = await self._store.load(PERSON, owner_id)
        await self._permits.require(request, Action.CHANGE_PERSON, owner)
        return owner


def _creation(body: ProjectBody, owner: Person) -> CreateProject:
    visibility = body.visibility or PRIVATE
    if visibility not in VISIBILITIES:
        raise Invalid(f"visibility must be one of {', '.join(VISIBILITIES)}", field="visibility")
    return CreateProject(
        owner_id=owner.id,
        owner_name=owner.user_name,
        name=names.check_project_name(body.name),
        description=body.description or "",
        visibility=visibility,
    )
