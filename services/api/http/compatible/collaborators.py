"""This file answers for who works on a project, for programs that know people by their ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from aiohttp import web

from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.collaborators import Known, Who, id_among, role_of
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.project_sharing import ROLES
from services.api.http.routes import Route, answer
from services.api.http.shapes import Id, says
from services.api.http.views.wire import Answer
from services.api.ports import Ledger, Store
from services.core.access import Action
from services.core.aggregates import PROJECT
from services.core.commands import RemoveProjectCollaborator, SetProjectCollaborator
from services.core.events import ProjectRole
from services.core.project import MAX_COLLABORATORS

COLLABORATORS_AT = "/v4/projects/{project}/collaborators"

Role = Annotated[str, says("what the collaborator may do in the project", default="Contributor", among=ROLES)]


class CollaboratorBody(Body, frozen=True, kw_only=True):
    """Somebody who is invited to a project."""

    collaborator_id: Who
    project_role: Role = str(ProjectRole.CONTRIBUTOR)


CollaboratorBodies = Annotated[tuple[CollaboratorBody, ...], msgspec.Meta(max_length=MAX_COLLABORATORS)]


class ProjectCollaboratorView(Answer, frozen=True, kw_only=True):
    """Somebody who works on a project."""

    collaborator_id: Annotated[Id, says("the person or the organisation: 24 lower-case hexadecimal characters")]
    name: Annotated[str, says("the user name of the person, or the name of the organisation")]
    project_role: Annotated[str, says("what the collaborator may do in the project", among=ROLES)]


class ProjectCollaborators:
    """People and organisations who were invited; the owner is not among them."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known = Known(store)

    def routes(self) -> list[Route]:
        listed_at, share = "/{owner}/{projectName}/collaborators", Action.SHARE_PROJECT
        invited = {200: ProjectCollaboratorView}
        return [
            Route("GET", listed_at, self.index, Action.VIEW_FILES, gives={200: tuple[str, ...]}),
            Route("POST", COLLABORATORS_AT, self.invite, share, takes=CollaboratorBody, gives=invited),
            Route("DELETE", COLLABORATORS_AT + "/{collaborator}", self.remove, share, gives={204: None}),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The collaborators of a project, besides its owner: their names alone, as existing clients expect."""
        return answer(sorted(each.name for each in about(request, PROJECT).collaborators))

    async def invite(self, request: web.Request) -> web.Response:
        """Give a person or an organisation a role in a project.

        Who is a collaborator already has this role from here on.
        """
        body = await read(request, CollaboratorBody)
        [command] = await invitations(self._known, [body])
        await self._order(request, command)
        view = ProjectCollaboratorView(
            collaborator_id=command.collaborator_id, name=command.name, project_role=str(command.role)
        )
        return answer(view)

    async def remove(self, request: web.Request) -> web.Response:
        """Take a collaborator's role in a project away, by id or by name."""
        collaborator_id = id_among(about(request, PROJECT).collaborators, request.match_info["collaborator"])
        await self._order(request, RemoveProjectCollaborator(collaborator_id=collaborator_id))
        return web.Response(status=204)

    async def _order(self, request: web.Request, command: SetProjectCollaborator | RemoveProjectCollaborator) -> None:
        await self._ledger.execute(
            PROJECT,
            about(request, PROJECT).id,
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )


async def invitations(known: Known, bodies: Iterable[CollaboratorBody]) -> list[SetProjectCollaborator]:
    """What invites those whom `bodies` name. Raises Invalid for one that is nobody, and for a role that is none."""
    commands = []
    for body in bodies:
        role = role_of(body.project_role, ProjectRole, field="projectRole")
        invited = await known.anyone(body.collaborator_id, field="collaboratorId")
        commands.append(
            SetProjectCollaborator(collaborator_id=invited.id, kind=invited.kind, name=invited.name, role=role)
        )
    return commands
