"""This file answers for who may reach a model: visibility, collaborators, its owner, and whether calls need a token."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import CALLER, actor
from services.api.http.collaborators import Known, WhichPerson, Who, id_among, role_of
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
from services.api.http.views.models import CollaboratorView, ModelApi, collaborators
from services.api.ports import Ledger, Observed, Store
from services.core.access import Action
from services.core.aggregates import MODEL, PERSON
from services.core.commands import (
    AnyCommand,
    RemoveCollaborator,
    SetCollaborator,
    SetRestriction,
    SetVisibility,
    TransferOwnership,
)
from services.core.errors import Refused
from services.core.events import ModelRole
from services.core.model import Model

MODEL_AT = API + "/modelApis/{model}"
COLLABORATORS_AT = MODEL_AT + "/collaborators"

ROLES = tuple(str(role) for role in ModelRole)


class VisibilityBody(Body, frozen=True, kw_only=True):
    """Who finds a model."""

    is_public: Annotated[bool, says("true: anyone with an account finds and views it; false: collaborators only")]


class RestrictionBody(Body, frozen=True, kw_only=True):
    """Whether calls of a model need an access token."""

    is_restricted: Annotated[bool, says("true: a call needs an access token; false: anybody may call")]


class InvitationBody(Body, frozen=True, kw_only=True):
    """Somebody who shall have a role in a model, or another role than so far."""

    collaborator: Who
    role: Annotated[
        str,
        says("Viewer: sees and calls it; Editor: changes and runs it too; Owner: also shares it", among=ROLES),
    ]


class OwnerBody(Body, frozen=True, kw_only=True):
    """Who shall own a model from here on."""

    owner: WhichPerson


class Sharing:
    """The people around one model."""

    def __init__(self, store: Store, ledger: Ledger, observed: Observed, *, public_url: str) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._public_url = public_url
        self._known = Known(store)

    def routes(self) -> list[Route]:
        share, model = Action.SHARE_MODEL, {200: ModelApi}
        return [
            Route("PUT", MODEL_AT + "/visibility", self.set_visibility, share, takes=VisibilityBody, gives=model),
            Route("PUT", MODEL_AT + "/restriction", self.set_restriction, share, takes=RestrictionBody, gives=model),
            Route("PUT", MODEL_AT + "/owner", self.transfer, share, takes=OwnerBody, gives=model),
            Route("GET", COLLABORATORS_AT, self.index, Action.VIEW, gives={200: tuple[CollaboratorView, ...]}),
            Route("PUT", COLLABORATORS_AT, self.invite, share, takes=InvitationBody, gives=model),
            Route("DELETE", COLLABORATORS_AT + "/{collaborator}", self.remove, share, gives=model),
            Route("POST", MODEL_AT + "/leave", self.leave, Action.VIEW, gives={204: None}),
        ]

    async def set_visibility(self, request: web.Request) -> web.Response:
        """Say who finds a Model API."""
        body = await read(request, VisibilityBody)
        return await self._order(request, SetVisibility(is_public=body.is_public))

    async def set_restriction(self, request: web.Request) -> web.Response:
        """Say whether calls of a Model API need an access token.

        It is in effect as soon as every router has heard of it.
        """
        body = await read(request, RestrictionBody)
        return await self._order(request, SetRestriction(is_restricted=body.is_restricted))

    async def index(self, request: web.Request) -> web.Response:
        """The collaborators of a Model API, its owner first."""
        model = about(request, MODEL)
        owner = await self._store.load(PERSON, model.owner_id)
        return answer(collaborators(model, owner.user_name))

    async def invite(self, request: web.Request) -> web.Response:
        """Give a person or an organisation a role in a Model API.

        Who is a collaborator already has this role from here on.
        """
        body = await read(request, InvitationBody)
        role = role_of(body.role, ModelRole)
        invited = await self._known.anyone(body.collaborator, field="collaborator")
        command = SetCollaborator(collaborator_id=invited.id, kind=invited.kind, name=invited.name, role=role)
        return await self._order(request, command)

    async def remove(self, request: web.Request) -> web.Response:
        """Take a collaborator's role in a Model API away, by id or by name."""
        model = about(request, MODEL)
        collaborator_id = id_among(model.collaborators, request.match_info["collaborator"])
        return await self._order(request, RemoveCollaborator(collaborator_id=collaborator_id))

    async def leave(self, request: web.Request) -> web.Response:
        """Give up one's own role in a Model API."""
        model, caller = about(request, MODEL), request[CALLER]
        if model.collaborator(caller.id) is None:
            raise Refused(
                f"{caller.user_name} has no role of their own in model {model.name!r}: what they may do comes from "
                "its project, an organisation, owning it, or its being public"
            )
        await self._execute(request, RemoveCollaborator(collaborator_id=caller.id))
        return web.Response(status=204)

    async def transfer(self, request: web.Request) -> web.Response:
        """Transfer a Model API to another owner.

        The owner so far stays as an Editor.
        """
        body = await read(request, OwnerBody)
        owner_id = about(request, MODEL).owner_id
        owner = await self._known.person(body.owner, field="owner")
        previous = await self._store.load(PERSON, owner_id)

        def transferred(model: Model) -> TransferOwnership:
            if model.owner_id not in (owner_id, owner.id):
                raise Refused(f"model {model.name!r} was just transferred to somebody else: look again")
            return TransferOwnership(owner_id=owner.id, previous_name=previous.user_name)

        after = await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            transferred,
            actor=actor(request),
            command_id=intent(request).command_id("transfer"),
        )
        return answer(self._view(after))

    async def _order(self, request: web.Request, command: AnyCommand) -> web.Response:
        return answer(self._view(await self._execute(request, command)))

    async def _execute(self, request: web.Request, command: AnyCommand) -> Model:
        return await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )

    def _view(self, model: Model) -> ModelApi:
        return views.model(model, self._observed.seen, public_url=self._public_url)
