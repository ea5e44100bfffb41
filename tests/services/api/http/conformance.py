"""This file holds every answer that tests get to what the OpenAPI document says of it: status, shape, no field more."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from services.api.http.app import Deps, routes
from services.api.http.openapi.operation import statuses
from services.api.http.routes import Raw, Route
from services.api.http.views.faults import shape

_INTERNAL = 500  # no route gives it on purpose, so none tells of it


class Conformance:
    """Watches an application. `faults`: where what it answered is not what it said it would."""

    def __init__(self, deps: Deps) -> None:
        self._routes = {(route.method, _canonical(route.path)): route for route in routes(deps)}
        self.faults: list[str] = []

    def watch(self, app: web.Application) -> None:
        app.on_response_prepare.append(self._hear)

    async def _hear(self, request: web.Request, response: web.StreamResponse) -> None:
        resource = request.match_info.route.resource
        if resource is None or response.status == _INTERNAL:
            return  # there is no such route; or a test had the handler break
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes[method, resource.canonical]
        if (fault := _fault(route, response)) is not None:
            self.faults.append(f"{method} {route.path}: {fault}")


def _canonical(path: str) -> str:
    return web.UrlDispatcher().add_resource(path).canonical


def _fault(route: Route, response: web.StreamResponse) -> str | None:
    if response.status not in statuses(route):
        return f"{response.status} is not among {sorted(statuses(route))}"
    given: Any = route.gives[response.status] if response.status in route.gives else shape(response.status)
    body = response.body if isinstance(response, web.Response) else None
    if given is None:
        return None if not body else f"a body with {response.status}"
    kinds = [each for each in (given if _is_choice(given) else (given,)) if not isinstance(each, Raw)]
    if not kinds or not isinstance(body, bytes) or response.content_type != "application/json":
        return None
    return _misfit(body, kinds[0])


def _is_choice(given: Any) -> bool:
    return isinstance(given, tuple) and not isinstance(given, Raw)


def _misfit(body: bytes, kind: Any) -> str | None:
    try:
        read = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        return f"{error} in {body[:300]!r}"
    said, was = msgspec.json.decode(msgspec.json.encode(read)), msgspec.json.decode(body)
    return None if said == was else f"fields that nobody told of in {body[:2000]!r}"
