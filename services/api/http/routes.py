"""This file is what a route is: a method, a path, who answers, what the caller must be allowed to do, and its shapes.

`takes`, `gives` and `query` are what the OpenAPI document says of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from aiohttp import web

from services.core.access import Action

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API = "/api/modelServing/v1"


class Parameter(Protocol):
    """What a query may say. `schema`: its type, with bounds and a default where there is one."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def schema(self) -> Any: ...
    @property
    def is_required(self) -> bool: ...


class Query(NamedTuple):
    """A query parameter of which the handler reads the text itself; those of `query.py` are read by themselves."""

    name: str
    schema: Any
    description: str
    is_required: bool = False


class Raw(NamedTuple):
    """A body or an answer that is not one JSON value. `of`: the type of each line, where it is lines of JSON."""

    media_type: str
    description: str
    of: Any = None


class Route(NamedTuple):
    """`action` None: open to everyone, also without a key.

    `takes`: the type of the JSON body, None where there is none. `gives`: the type of the JSON answer by status, None
    where it has no body; a tuple where the request's Accept chooses. `also`: statuses of refusals that do not follow
    from all this, as 404 for a thing that the body names. `is_tagged`: answers have an ETag, changes heed If-Match.
    """

    method: str
    path: str
    handler: Handler
    action: Action | None
    takes: Any = None
    gives: Mapping[int, Any] = {204: None}
    query: tuple[Parameter, ...] = ()
    also: tuple[int, ...] = ()
    is_tagged: bool = False
    is_body_optional: bool = False


class Resource(Protocol):
    """What answers for things of one kind."""

    def routes(self) -> list[Route]: ...


def answer(
    value: Any, *, status: int = 200, at: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`value` as JSON. `at` is the Location of what was made, or will be."""
    named = {**(headers or {}), **({} if at is None else {"Location": at})}
    return web.Response(body=msgspec.json.encode(value), status=status, headers=named, content_type="application/json")
