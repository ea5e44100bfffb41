"""This file lets a request pass to its handler when its caller may do what the route does, to the thing it is about."""

from __future__ import annotations

from typing import Any, NoReturn

from aiohttp import web

from services.api.http.callers import WHO, Callers, actor
from services.api.http.intent import idempotency_key
from services.api.http.refusals import Refusals
from services.api.http.routes import Handler
from services.api.ports import S, Store
from services.api.sign_in.cookies import SAFE_METHODS
from services.core import standing
from services.core.access import TABLE, Action, Kind, Standing, Verdict, judge, who_may
from services.core.aggregates import ENVIRONMENT, MODEL, ORGANISATION, PERSON, PROJECT, Aggregate, State
from services.core.environment import Environment
from services.core.errors import Forbidden, NotFound
from services.core.model import Model
from services.core.names import shortened
from services.core.organisation import Organisation
from services.core.person import Person
from services.core.project import Project
from services.core.standing import Caller

_ABOUT = web.RequestKey[Any]("about", object)
_STANDING = web.RequestKey("standing", Standing)
_NO_MERE_LOOK = frozenset({Action.SEE_TOKENS})  # who has seen a token's secret can use it
_NAMED_BY: dict[Kind, tuple[str, Aggregate[Any]]] = {  # the part of a path that names a thing, and what it is
    Kind.MODEL: ("model", MODEL),
    Kind.ENVIRONMENT: ("environment", ENVIRONMENT),
    Kind.PERSON: ("person", PERSON),
    Kind.ORGANISATION: ("organisation", ORGANISATION),
}


def about(request: web.Request, aggregate: Aggregate[S]) -> S:
    """What the request's path names, as the gate loaded it."""
    found = request[_ABOUT]
    if not isinstance(found, aggregate.state):
        raise TypeError(f"the path {request.path} names no {aggregate.name}")
    return found


def may_also(request: web.Request, action: Action) -> bool:
    """Whether the caller may do this too to what the path names."""
    return judge(request[_STANDING], action) is Verdict.ALLOWED


class Permits:
    """Asks the table in core/access, whoever stands where."""

    def __init__(self, store: Store, refusals: Refusals) -> None:
        self._store = store
        self._refusals = refusals

    async def require(self, request: web.Request, action: Action, thing: State | None = None) -> Standing:
        """How the caller stands to `thing` (None: to the platform), if so that they may do `action` to it.

        Raises NotFound for a thing that the caller may not even know of, Forbidden else. What was refused is recorded,
        unless it was only looking.
        """
        who = request[WHO]
        found = await self.standing(who, thing)
        verdict = judge(found, action)
        if verdict is Verdict.ALLOWED:
            return found
        if request.method not in SAFE_METHODS or action in _NO_MERE_LOOK:
            await self._refusals.record(request, action, about_id="" if thing is None else thing.id, by=actor(request))
        if verdict is Verdict.HIDDEN and thing is not None:
            raise NotFound(_missing(request, thing))
        what = str(action).replace("-", " ")
        raise Forbidden(f"{who.person.user_name} may not {what}: that takes {who_may(action)}")

    async def refuse(self, request: web.Request, action: Action, reason: str, *, about_id: str) -> NoReturn:
        """For what the table allows, and a rule of the thing itself does not. Recorded like all that is refused."""
        await self._refusals.record(request, action, about_id=about_id, by=actor(request))
        raise Forbidden(reason)

    async def standing(self, who: Caller, thing: State | None) -> Standing:
        """How the caller stands to `thing`; None: to the platform."""
        match thing:
            case Model():
                if standing.is_owned(who, thing):
                    return Standing.OWNER
                return standing.to_model(who, thing, await self._store.sharing(thing.project_id))
            case Project():
                return standing.to_project(who, thing)
            case Environment():
                return standing.to_environment(who, thing)
            case Organisation():
                return standing.to_organisation(who, thing)
            case Person():
                return standing.to_person(who, thing)
            case _:
                return standing.to_platform(who)

    async def named(self, request: web.Request, kind: Kind) -> State | None:
        """What the path names, if it names a thing of this kind. Raises NotFound."""
        parts = request.match_info
        if kind is Kind.PROJECT and "owner" in parts:
            name = parts.get("projectName") or parts["project"]
            project = await self._store.find_project(owner_name=parts["owner"], name=name)
            if project is None:
                raise NotFound(_no_project(parts["owner"], name))
            return project
        if kind is Kind.PROJECT and "project" in parts:
            return await self._store.load(PROJECT, parts["project"])
        if kind in _NAMED_BY and _NAMED_BY[kind][0] in parts:
            name, aggregate = _NAMED_BY[kind]
            found: State = await self._store.load(aggregate, parts[name])
            return found
        return None


class Gate:
    """Stands before every handler that is not open to everyone."""

    def __init__(self, callers: Callers, permits: Permits) -> None:
        self._callers = callers
        self._permits = permits

    def guard(self, handler: Handler, action: Action) -> Handler:
        """`handler`, for those who may do `action` to what the path names.

        Where the path names nothing of the action's kind the handler asks for itself: it is in the body or the query.
        """
        kind = TABLE[action][0]

        async def guarded(request: web.Request) -> web.StreamResponse:
            await self._callers.identify(request)
            thing = await self._permits.named(request, kind)
            request[_ABOUT] = thing
            if thing is not None or kind is Kind.PLATFORM:
                request[_STANDING] = await self._permits.require(request, action, thing)
            idempotency_key(request)  # a wrong one is refused also where nothing comes to be done
            return await handler(request)

        return guarded


def _missing(request: web.Request, thing: State) -> str:
    """The very sentence that a thing gets which does not exist."""
    if isinstance(thing, Project) and "owner" in request.match_info:
        return _no_project(request.match_info["owner"], thing.name)
    return f"there is no {type(thing).__name__.lower()} {thing.id}"


def _no_project(owner: str, name: str) -> str:
    return f"there is no project {shortened(f'{owner}/{name}')}"
