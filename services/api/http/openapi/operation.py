"""This file describes one route as an operation of the OpenAPI document."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from services.api.http.openapi.parameters import answer_headers, path_parts, request_headers
from services.api.http.routes import Raw, Route
from services.api.http.views.faults import shape
from services.api.sign_in.cookies import SAFE_METHODS
from services.core.access import SEEN_FROM, TABLE, Kind, Standing, who_may

JSON = "application/json"

SchemaOf = Callable[[Any], Mapping[str, Any]]
"""The JSON Schema of a type: a reference, where it is a struct."""


_CERTAIN = {**SEEN_FROM, Kind.PLATFORM: Standing.VISITOR}
"""From which standing on somebody is refused, where they are not told that there is nothing."""


class Undescribed(LookupError):
    """A handler without a docstring: its first line is what the document says of the operation."""


def refusals(route: Route) -> frozenset[int]:
    """The statuses that the route may answer beside those it `gives`, and beside 500.

    >>> sorted(refusals(Route("GET", "/livez", None, None)))
    [400]
    """
    changes = route.method not in SAFE_METHODS
    found = {400, *route.also}
    if route.action is not None:
        found |= {401, 429, 503}
        kind, least = TABLE[route.action]
        if changes or least > _CERTAIN[kind]:  # of a change, also because its CSRF token is missing
            found.add(403)
        if changes:
            found.add(422)
    if "{" in route.path:
        found.add(404)
    if route.takes is not None:
        found.add(413)
    if route.is_tagged and changes:
        found.add(412)
    return frozenset(found - route.gives.keys())


def statuses(route: Route) -> frozenset[int]:
    """All that the route may answer, but 500."""
    return refusals(route) | route.gives.keys()


def operation(route: Route, schema: SchemaOf) -> dict[str, Any]:
    """Raises Undescribed, and UnknownPart for a path that has one."""
    summary, description = said_of(route)
    described: dict[str, Any] = {
        "operationId": operation_id(route),
        "tags": [tag(route)],
        "summary": summary,
        "description": description,
        "security": _security(route),
        "parameters": list(_parameters(route, schema)),
        "responses": {str(status): _response(route, status, schema) for status in sorted(statuses(route))},
    }
    if route.takes is not None:
        described["requestBody"] = {
            "required": not route.is_body_optional,
            "content": _content(route.takes, schema),
        }
    return described


def said_of(route: Route) -> tuple[str, str]:
    """What the handler's docstring says, its first line apart, and who may ask."""
    text = inspect.getdoc(route.handler) or ""
    summary, _, more = text.partition("\n")
    if not summary:
        raise Undescribed(f"{route.method} {route.path}")
    who = "Open to everyone, also without a key." if route.action is None else f"For {who_may(route.action)}."
    return summary.rstrip("."), f"{more.strip()}\n\n{who}".strip()


def tag(route: Route) -> str:
    """The words of the class that answers."""
    return _words(resource(route).__name__)


def _words(name: str) -> str:
    """
    >>> _words("ResourceQuotas"), _words("ApiKeys"), _words("OpenIdConnectSignIn")
    ('Resource quotas', 'API keys', 'OpenID Connect sign in')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()
    return words.replace("Api ", "API ").replace("Open id connect", "OpenID Connect")


def resource(route: Route) -> type:
    """The class whose instance answers."""
    return type(route.handler.__self__)  # type: ignore[attr-defined]  # every handler is a bound method


def operation_id(route: Route) -> str:
    """The class and the method, as one word in camelCase."""
    name = resource(route).__name__
    words = str(getattr(route.handler, "__name__", "")).strip("_").split("_")
    return name[0].lower() + name[1:] + "".join(word.capitalize() for word in words)


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.action is None:
        return []
    session: dict[str, list[str]] = {"session": []}
    if route.method not in SAFE_METHODS:
        session["csrfToken"] = []
    return [{"apiKey": []}, {"bearer": []}, {"basic": []}, session]


def _parameters(route: Route, schema: SchemaOf) -> Iterator[dict[str, Any]]:
    for name, kind in path_parts(route.path):
        yield _parameter(name, "path", schema(kind), is_required=True)
    for query in route.query:
        told = {**schema(query.schema), "description": query.description}
        yield _parameter(query.name, "query", told, is_required=query.is_required)
    for name, kind in request_headers(route):
        yield _parameter(name, "header", schema(kind), is_required=False)


def _parameter(name: str, place: str, schema: Mapping[str, Any], *, is_required: bool) -> dict[str, Any]:
    told = dict(schema)
    description = told.pop("description", "")
    return {"name": name, "in": place, "required": is_required, "description": description, "schema": told}


def _response(route: Route, status: int, schema: SchemaOf) -> dict[str, Any]:
    headers = answer_headers(route, status)
    described: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "headers": {
            name: {"description": description, "schema": {"type": "string"}} for name, description in headers.items()
        },
    }
    given = route.gives[status] if status in route.gives else shape(status)
    if given is not None:
        described["content"] = _content(given, schema)
    return described


def _content(given: Any, schema: SchemaOf) -> dict[str, Any]:
    """By media type: of a tuple, whose members the request's Accept chooses among, every one."""
    if isinstance(given, Raw):
        return {given.media_type: {"schema": _raw(given, schema)}}
    if isinstance(given, tuple):
        return {media: told for each in given for media, told in _content(each, schema).items()}
    return {JSON: {"schema": dict(schema(given))}}


def _raw(given: Raw, schema: SchemaOf) -> dict[str, Any]:
    if given.media_type == JSON:
        return {"description": given.description}
    described: dict[str, Any] = {"type": "string", "description": given.description}
    return described if given.of is None else {**described, "contentMediaType": JSON, "contentSchema": schema(given.of)}
