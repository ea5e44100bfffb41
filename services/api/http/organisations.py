"""This file answers for organisations: people who collaborate as one, and who of them may say who belongs to it."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web

from services.api.http.body import Body, read
from services.api.http.callers import CALLER, Callers, actor
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.query import LIMIT, OFFSET, PlainText
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
from services.api.http.views import people as views
from services.api.ports import Ledger, NameQuery, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import ORGANISATION, PERSON
from services.core.commands import CreateOrganisation, OrganisationCommand, RemoveMember, SetMember
from services.core.errors import Refused
from services.core.ids import AggregateId
from services.core.organisation import Organisation

ORGANISATIONS_AT = API + "/organisations"
ORGANISATION_AT = ORGANISATIONS_AT + "/{organisation}"
MEMBER_AT = ORGANISATION_AT + "/members/{person}"
NAME = PlainText("name", "a part of the organisation's name; left out: all", at_most=100)


class OrganisationBody(Body, frozen=True, kw_only=True):
    """A new organisation, of which the caller is the first member and owner."""

    name: Annotated[str, says("letters, digits, '.', '_' and '-', at most 100; unique, also among people")]


class MemberBody(Body, frozen=True, kw_only=True):
    """What a member is."""

    is_owner: Annotated[bool, says("whether the member may change who the members are", default=False)] = False


class Organisations:
    """Anyone may make one, and see who belongs to any: models and projects are shared with them by name."""

    def __init__(self, store: Store, ledger: Ledger, callers: Callers) -> None:
        self._store = store
        self._ledger = ledger
        self._callers = callers

    def routes(self) -> list[Route]:
        page, whole = views.Organisations, views.OrganisationWithMembers
        look, change = Action.VIEW_ORGANISATION, Action.CHANGE_ORGANISATION
        query, made = (NAME, LIMIT, OFFSET), {201: whole}
        create = Action.CREATE_ORGANISATION
        return [
            Route("GET", ORGANISATIONS_AT, self.index, Action.LOOK_AROUND, gives={200: page}, query=query),
            Route("POST", ORGANISATIONS_AT, self.create, create, takes=OrganisationBody, gives=made),
            Route("GET", ORGANISATION_AT, self.show, look, gives={200: whole}),
            Route(
                "PUT", MEMBER_AT, self.set_member, change, takes=MemberBody, gives={200: whole}, is_body_optional=True
            ),
            Route("DELETE", MEMBER_AT, self.remove_member, change, gives={200: whole}),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Organisations, by name."""
        query = NameQuery(name=NAME.of(request), limit=LIMIT.of(request), offset=OFFSET.of(request))
        organisations, total = await self._store.people.organisations(query)
        items = tuple(views.organisation(each, request[CALLER].id) for each in organisations)
        return answer(views.Organisations(items=items, total_count=total))

    async def create(self, request: web.Request) -> web.Response:
        """Create an organisation, whose first owner is the caller."""
        body = await read(request, OrganisationBody)
        command = CreateOrganisation(name=names.check_organisation_name(body.name), owner_id=request[CALLER].id)
        organisation_id = intent(request).new_id("organisation")
        if await self._store.people.who_is_called(command.name) not in (None, organisation_id):
            raise Refused(f"there is already a person or an organisation called {command.name!r}")
        organisation = await self._execute(request, organisation_id, command)
        at = f"{ORGANISATIONS_AT}/{organisation.id}"
        return answer(await self._view(request, organisation), status=201, at=at)

    async def show(self, request: web.Request) -> web.Response:
        """An organisation with its members."""
        return answer(await self._view(request, about(request, ORGANISATION)))

    async def set_member(self, request: web.Request) -> web.Response:
        """Add a member to an organisation, or make one an owner, or no owner any more."""
        body = await read(request, MemberBody, is_optional=True)
        person = await self._store.load(PERSON, request.match_info["person"])
        command = SetMember(person_id=person.id, is_owner=body.is_owner)
        return await self._change(request, command, person.id)

    async def remove_member(self, request: web.Request) -> web.Response:
        """Take a member out of an organisation."""
        person_id = request.match_info["person"]
        return await self._change(request, RemoveMember(person_id=AggregateId(person_id)), person_id)

    async def _change(self, request: web.Request, command: OrganisationCommand, person_id: str) -> web.Response:
        organisation = await self._execute(request, about(request, ORGANISATION).id, command)
        self._callers.forget(person_id)
        return answer(await self._view(request, organisation))

    async def _execute(self, request: web.Request, organisation_id: str, command: OrganisationCommand) -> Organisation:
        command_id = intent(request).command_id(type(command).__name__)
        return await self._ledger.execute(
            ORGANISATION, organisation_id, command, actor=actor(request), command_id=command_id
        )

    async def _view(self, request: web.Request, organisation: Organisation) -> views.OrganisationWithMembers:
        members = await self._store.people.find([member.person_id for member in organisation.members])
        return views.with_members(organisation, members, request[CALLER].id)
