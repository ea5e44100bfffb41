"""This file is what a route is: a method, a path, who answers, and what the caller must be allowed to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from services.core.access import Action

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API = "/api/modelServing/v1"


class Route(NamedTuple):
    """`action` None: open to everyone, also without a key."""

    method: str
    path: str
    handler: Handler
    action: Action | None


def answer(
    value: Any, *, status: int = 200, at: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """`value` as JSON. `at` is the Location of what was made, or will be."""
    named = {**(headers or {}), **({} if at is None else {"Location": at})}
    return web.Response(body=msgspec.json.encode(value), status=status, headers=named, content_type="application/json")
