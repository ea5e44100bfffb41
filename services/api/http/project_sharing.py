"""This file answers for a project and its people: what it is, who finds it, who works on it, and whether it is over."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from services.api.http.body import Body, read
from services.api.http.callers import CALLER, actor
from services.api.http.collaborators import Known, Who, id_among, role_of
from services.api.http.intent import intent
from services.api.http.permits import Permits, about
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
from services.api.http.views.projects import ProjectVisibility
from services.api.http.views.sharing import ProjectDetails, ProjectMember, details, member
from services.api.ports import Ledger, Store
from services.core.access import Action
from services.core.aggregates import PROJECT
from services.core.commands import (
    AnyCommand,
    ArchiveProject,
    DescribeProject,
    RemoveProjectCollaborator,
    RestoreProject,
    SetProjectCollaborator,
)
from services.core.errors import Invalid, Refused
from services.core.events import ProjectRole
from services.core.project import Project
from services.core.standing import VISIBILITIES

PROJECT_AT = API + "/projects/{project}"
COLLABORATORS_AT = PROJECT_AT + "/collaborators"

ROLES = tuple(str(role) for role in ProjectRole)


class ProjectChange(Body, frozen=True, kw_only=True):
    """What is left out, or null, stays."""

    description: Annotated[
        Annotated[str, msgspec.Meta(max_length=10_000)] | None, says("what it is; at most 10000 characters")
    ] = None
    visibility: Annotated[ProjectVisibility | None, says("who may find it, and who may look at it")] = None


class ProjectInvitation(Body, frozen=True, kw_only=True):
    """Somebody who shall have a role in a project, or another role than so far."""

    collaborator: Who
    role: Annotated[
        str,
        says("Contributor: changes files and publishes; ResultsConsumer: reads files; the others find it", among=ROLES),
    ]


class ProjectSharing:
    """One project and the people around it."""

    def __init__(self, store: Store, ledger: Ledger, permits: Permits) -> None:
        self._ledger = ledger
        self._permits = permits
        self._known = Known(store)

    def routes(self) -> list[Route]:
        share, project = Action.SHARE_PROJECT, {200: ProjectDetails}
        return [
            Route("GET", PROJECT_AT, self.show, Action.FIND_PROJECT, gives=project),
            Route("PUT", PROJECT_AT, self.describe, Action.DESCRIBE_PROJECT, takes=ProjectChange, gives=project),
            Route("GET", COLLABORATORS_AT, self.index, Action.VIEW_FILES, gives={200: tuple[ProjectMember, ...]}),
            Route("PUT", COLLABORATORS_AT, self.invite, share, takes=ProjectInvitation, gives=project),
            Route("DELETE", COLLABORATORS_AT + "/{collaborator}", self.remove, share, gives=project),
            Route("POST", PROJECT_AT + "/leave", self.leave, Action.FIND_PROJECT, gives={204: None}),
            Route("POST", PROJECT_AT + "/archive", self.archive, share, gives=project),
            Route("POST", PROJECT_AT + "/restore", self.restore, share, gives=project),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """A project with its people."""
        return answer(details(about(request, PROJECT)))

    async def describe(self, request: web.Request) -> web.Response:
        """Change a project's description, or who finds it.

        Who finds it is for its owner to say.
        """
        body = await read(request, ProjectChange)
        if body.visibility is not None:
            if body.visibility not in VISIBILITIES:
                raise Invalid(f"visibility must be one of {', '.join(VISIBILITIES)}", field="visibility")
            await self._permits.require(request, Action.SHARE_PROJECT, about(request, PROJECT))
        return await self._order(request, DescribeProject(description=body.description, visibility=body.visibility))

    async def index(self, request: web.Request) -> web.Response:
        """The collaborators of a project, besides its owner."""
        return answer([member(each) for each in about(request, PROJECT).collaborators])

    async def invite(self, request: web.Request) -> web.Response:
        """Give a person or an organisation a role in a project.

        Who is a collaborator already has this role from here on.
        """
        body = await read(request, ProjectInvitation)
        role = role_of(body.role, ProjectRole)
        invited = await self._known.anyone(body.collaborator, field="collaborator")
        command = SetProjectCollaborator(collaborator_id=invited.id, kind=invited.kind, name=invited.name, role=role)
        return await self._order(request, command)

    async def remove(self, request: web.Request) -> web.Response:
        """Take a collaborator's role in a project away, by id or by name."""
        collaborator_id = id_among(about(request, PROJECT).collaborators, request.match_info["collaborator"])
        return await self._order(request, RemoveProjectCollaborator(collaborator_id=collaborator_id))

    async def leave(self, request: web.Request) -> web.Response:
        """Give up one's own role in a project."""
        project, caller = about(request, PROJECT), request[CALLER]
        if project.collaborator(caller.id) is None:
            raise Refused(f"{caller.user_name} has no role of their own in project {project.name!r}")
        await self._execute(request, RemoveProjectCollaborator(collaborator_id=caller.id))
        return web.Response(status=204)

    async def archive(self, request: web.Request) -> web.Response:
        """Archive a project.

        It is listed no more. Its files stay, and so do the Model APIs that were made of it.
        """
        return await self._order(request, ArchiveProject())

    async def restore(self, request: web.Request) -> web.Response:
        """Take a project out of the archive."""
        return await self._order(request, RestoreProject())

    async def _order(self, request: web.Request, command: AnyCommand) -> web.Response:
        return answer(details(await self._execute(request, command)))

    async def _execute(self, request: web.Request, command: AnyCommand) -> Project:
        return await self._ledger.execute(
            PROJECT,
            about(request, PROJECT).id,
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )
