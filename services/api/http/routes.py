"""This file is what a route is: a method, a path, who answers, what the caller must be allowed to do, and its shapes.

`takes`, `gives` and `query` are what the OpenAPI document says of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from services.core.access import Action

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API = "/api/modelServing/v1"


class Query(NamedTuple):
    """A query parameter. `schema`: its type, with bounds and a default where there is one."""

    name: str
    schema: Any
    description: str
    is_required: bool = False


class Route(NamedTuple):
    """`action` None: open to everyone, also without a key.

    `takes`: the type of the JSON body, None where there is none. `gives`: the type of the JSON answer by status.
    """

    method: str
    path: str
    handler: Handler
    action: Action | None
    takes: Any = None
    gives: Mapping[int, Any] = {}
    query: tuple[Query, ...] = ()


def answer(
    value: Any, *, status: int = 200, at: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`value` as JSON. `at` is the Location of what was made, or will be."""
    named = {**(headers or {}), **({} if at is None else {"Location": at})}
    return web.Response(body=msgspec.json.encode(value), status=status, headers=named, content_type="application/json")
