"""This file answers for people: finding, adding and changing them, and their passwords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from services.api.http.body import Body, read
from services.api.http.callers import ADDRESS, CALLER, SESSION, WHO
from services.api.http.intent import intent
from services.api.http.permits import Permits, about
from services.api.http.person_changes import PersonChanges
from services.api.http.query import LIMIT, OFFSET, PlainText
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
from services.api.http.views import people as views
from services.api.ports import NameQuery, Store
from services.api.sign_in.passwords import LONGEST, SHORTEST, check_password
from services.api.sign_in.signing_in import SigningIn
from services.core import names
from services.core.access import Action, Standing
from services.core.aggregates import PERSON
from services.core.commands import (
    AddPerson,
    DescribePerson,
    DisablePerson,
    EnablePerson,
    PersonCommand,
    SetAdministrator,
    SetPassword,
)
from services.core.errors import Forbidden, Invalid, Refused
from services.core.events import SignInMethod
from services.core.person import Person
from services.core.standing import to_person

PEOPLE_AT = API + "/people"
PERSON_AT = PEOPLE_AT + "/{person}"
NOTHING = {204: None}
NAME = PlainText("name", "a part of the user name, the full name or the e-mail address; left out: all", at_most=100)

Password = Annotated[
    str,
    Meta(
        description=f"the password: {SHORTEST} to {LONGEST} characters, and not the user name",
        max_length=LONGEST,
        extra_json_schema={"minLength": SHORTEST},
    ),
]
_UNDOING: dict[type[PersonCommand], PersonCommand] = {
    DisablePerson: EnablePerson(),
    SetAdministrator: SetAdministrator(is_administrator=True),
}
_NOT_ONESELF = "administrators neither disable themselves nor take that away from themselves: another one can"


class PersonBody(Body, frozen=True, kw_only=True):
    """A new person."""

    user_name: Annotated[str, says("letters, digits, '.', '_' and '-', at most 100; unique, also among organisations")]
    email: Annotated[str, says("the person's e-mail address, unique; empty: none", default="", longest=254)] = ""
    full_name: Annotated[str, says("the person's full name; empty: none", default="", longest=100)] = ""
    is_administrator: Annotated[bool, says("whether the person may do everything", default=False)] = False
    password: Annotated[
        Password | None, says("what the person signs in with; null: nothing yet, or an OpenID Connect provider")
    ] = None


class PersonChangeBody(Body, frozen=True, kw_only=True):
    """What to change of a person. What is left out, or null, stays."""

    email: Annotated[str | None, says("unique; empty: none. Administrators set it, also their own", longest=254)] = None
    full_name: Annotated[str | None, says("empty: none", longest=100)] = None
    is_administrator: Annotated[bool | None, says("administrators say it, of others")] = None
    is_disabled: Annotated[bool | None, says("ends every session, and shuts out the keys; as above")] = None


class PasswordBody(Body, frozen=True, kw_only=True):
    """A new password. All sessions of the person end, but the one that sets it."""

    password: Password
    current_password: Annotated[
        Annotated[str, Meta(max_length=LONGEST)] | None, says("needed of those who set their own and have one")
    ] = None


class Accounts:
    """People, as the platform knows them."""

    def __init__(self, store: Store, permits: Permits, changes: PersonChanges, signing_in: SigningIn) -> None:
        self._store = store
        self._permits = permits
        self._changes = changes
        self._in = signing_in

    def routes(self) -> list[Route]:
        page, one = {200: views.Accounts}, {200: views.Account}
        return [
            Route("GET", PEOPLE_AT, self.index, Action.LOOK_AROUND, gives=page, query=(NAME, LIMIT, OFFSET)),
            Route("POST", PEOPLE_AT, self.add, Action.MANAGE_PEOPLE, takes=PersonBody, gives={201: views.Account}),
            Route("GET", PERSON_AT, self.show, Action.VIEW_PERSON, gives=one),
            Route("PUT", PERSON_AT, self.change, Action.CHANGE_PERSON, takes=PersonChangeBody, gives=one),
            Route(
                "PUT",
                PERSON_AT + "/password",
                self.set_password,
                Action.CHANGE_PERSON,
                takes=PasswordBody,
                gives=NOTHING,
            ),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """A page of the people of the platform, by name."""
        query = NameQuery(name=NAME.of(request), limit=LIMIT.of(request), offset=OFFSET.of(request))
        people, total = await self._store.people.page(query)
        items = tuple(_view(request, person) for person in people)
        return answer(views.Accounts(items=items, total_count=total))

    async def add(self, request: web.Request) -> web.Response:
        """Add a person."""
        body = await read(request, PersonBody)
        person_id = intent(request).new_id("person")
        command = AddPerson(
            user_name=names.check_user_name(body.user_name),
            email=names.check_email(body.email),
            full_name=names.check_full_name(body.full_name),
            is_administrator=body.is_administrator,
        )
        if body.password is not None:
            check_password(body.password, user_name=command.user_name, email=command.email)
        if await self._store.people.who_is_called(command.user_name) not in (None, person_id):
            raise Refused(f"there is already a person or an organisation called {command.user_name!r}")
        await self._refuse_taken_email(command.email, person_id)
        person = await self._changes.execute(request, person_id, command, step="add")
        if body.password is not None:
            secrets = await self._in.passwords.sealed(person_id, body.password)
            person = await self._changes.execute(request, person_id, SetPassword(), step="password", secrets=secrets)
        return answer(_view(request, person), status=201, at=f"{PEOPLE_AT}/{person.id}")

    async def show(self, request: web.Request) -> web.Response:
        """A person."""
        return answer(_view(request, about(request, PERSON)))

    async def change(self, request: web.Request) -> web.Response:
        """Change a person.

        What is left out, or null, stays.
        """
        body = await read(request, PersonChangeBody)
        person = about(request, PERSON)
        commands = _commands(person, body)
        if any(not isinstance(command, DescribePerson) or command.email is not None for command in commands):
            await self._permits.require(request, Action.MANAGE_PEOPLE)
        undoing = [_UNDOING[type(command)] for command in commands if _takes_away(command)]
        if undoing and person.id == request[CALLER].id:
            raise Refused(_NOT_ONESELF)
        await self._refuse_taken_email(body.email or "", person.id)
        for command in commands:
            person = await self._changes.execute(request, person.id, command, step=type(command).__name__)
        if undoing:
            await self._keep_one(request, person, undoing)
        return answer(_view(request, person))

    async def _keep_one(self, request: web.Request, person: Person, undoing: Sequence[PersonCommand]) -> None:
        """Two administrators who put out each other at the same moment would leave none: the later change is undone."""
        caller = await self._store.load(PERSON, request[CALLER].id)
        if caller.is_administrator and not caller.is_disabled:
            return
        for undo in undoing:
            await self._changes.execute(request, person.id, undo, step=f"undo {type(undo).__name__}")
        raise Forbidden(f"{caller.user_name} is no administrator any more")

    async def set_password(self, request: web.Request) -> web.Response:
        """Set a person's password.

        Who sets their own says the one they have, if any: a browser left alone is not enough to lock its owner out.
        """
        body = await read(request, PasswordBody)
        person = about(request, PERSON)
        check_password(body.password, user_name=person.user_name, email=person.email)
        is_own = person.id == request[CALLER].id
        if is_own and person.has_password:
            await self._prove(request, person, body.current_password)
        session = request.get(SESSION) if is_own else None
        command = SetPassword(kept_session_id="" if session is None else session.id)

        def set_it(current: Person) -> SetPassword:
            if is_own and current.password_revision != person.password_revision:
                raise Refused("the password was changed meanwhile: try again")
            return command

        secrets = await self._in.passwords.sealed(person.id, body.password)
        await self._changes.execute(request, person.id, set_it, step="password", secrets=secrets)
        return web.Response(status=204)

    async def _prove(self, request: web.Request, person: Person, current: str | None) -> None:
        """Counts as an attempt to sign in. Raises Invalid, and TooMany."""
        if current is None:
            raise Invalid("currentPassword is required of those who have a password", field="currentPassword")
        self._in.attempts.begin(user_name=person.user_name, address=request[ADDRESS])
        if not (await self._in.passwords.check(person, current)).is_right:
            reason = "the password was wrong when a new one was to be set"
            self._in.refused.record(person, SignInMethod.PASSWORD, reason, address=request[ADDRESS])
            raise Invalid("currentPassword is not the password of this account", field="currentPassword")
        self._in.attempts.succeeded(user_name=person.user_name, address=request[ADDRESS])

    async def _refuse_taken_email(self, email: str, person_id: str) -> None:
        """Two who take the same at the same moment both get it: who signs in by it is then asked who they are."""
        if email and any(each.id != person_id for each in await self._store.find_people_by_email(email)):
            raise Refused(f"somebody else has the e-mail address {email}")


def _view(request: web.Request, person: Person) -> views.Account:
    return views.account(person, is_known=to_person(request[WHO], person) is Standing.OWNER)


def _commands(person: Person, body: PersonChangeBody) -> list[PersonCommand]:
    """What is to be done for what differs, in this order. Raises Invalid."""
    commands: list[PersonCommand] = []
    email = None if body.email is None else names.check_email(body.email)
    full_name = None if body.full_name is None else names.check_full_name(body.full_name)
    described = DescribePerson(email=None if email == person.email else email, full_name=full_name)
    if described != DescribePerson():
        commands.append(described)
    if body.is_administrator not in (None, person.is_administrator):
        commands.append(SetAdministrator(is_administrator=bool(body.is_administrator)))
    if body.is_disabled not in (None, person.is_disabled):
        commands.append(DisablePerson() if body.is_disabled else EnablePerson())
    return commands


def _takes_away(command: PersonCommand) -> bool:
    return isinstance(command, DisablePerson) or command == SetAdministrator(is_administrator=False)
