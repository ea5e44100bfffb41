"""This file makes the OpenAPI document from the routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from services.api.http.openapi.operation import operation, refusals, resource, tag
from services.api.http.openapi.parameters import document_path, path_parts, request_headers
from services.api.http.routes import Raw, Route
from services.api.http.views.faults import shape
from services.api.sign_in.cookies import CSRF_HEADER

OPENAPI = "3.1.0"
_REFERENCE = "#/components/schemas/{name}"

_ABOUT = """The management API of Modelway: people, projects, environments, Model APIs, their versions, and all that is
done with them. `docs/api.md` tells how the API behaves: errors, pages, repeated requests, limits.

All instants are epoch milliseconds, all durations seconds, all sizes bytes, unless a field says otherwise. A field that
is not known is left aside."""


def document(routes: Sequence[Route], *, version: str, cookie: str) -> dict[str, Any]:
    """`cookie`: the name of the one that browser sessions have. Raises Undescribed and UnknownPart."""
    schemas = Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(document_path(route.path), {})[route.method.lower()] = operation(route, schemas.of)
    tags = {tag(route): (resource(route).__doc__ or "").partition("\n\n")[0] for route in routes}
    return {
        "openapi": OPENAPI,
        "info": {"title": "Modelway", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in sorted(tags.items())],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": _security_schemes(cookie)},
    }


class Schemas:
    """The JSON Schemas of every type that the routes name; those of structs are components."""

    def __init__(self, routes: Sequence[Route]) -> None:
        kinds = list(dict.fromkeys(kind for route in routes for kind in _kinds(route)))
        found, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
        self._by_kind: dict[Any, Mapping[str, Any]] = dict(zip(kinds, found, strict=True))
        self.components = dict(sorted(components.items()))

    def of(self, kind: Any) -> Mapping[str, Any]:
        return self._by_kind[kind]


def _kinds(route: Route) -> Iterator[Any]:
    yield from (kind for _, kind in path_parts(route.path))
    yield from (query.schema for query in route.query)
    yield from (kind for _, kind in request_headers(route))
    yield from (shape(status) for status in refusals(route))
    for given in (route.takes, *route.gives.values()):
        for each in given if isinstance(given, tuple) and not isinstance(given, Raw) else (given,):
            kind = each.of if isinstance(each, Raw) else each
            if kind is not None:
                yield kind


def _security_schemes(cookie: str) -> dict[str, Any]:
    return {
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-Domino-Api-Key", "description": "an API key"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "an API key"},
        "basic": {"type": "http", "scheme": "basic", "description": "an API key, as user name and as password"},
        "session": {"type": "apiKey", "in": "cookie", "name": cookie, "description": "a browser session"},
        "csrfToken": {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "the csrfToken that came with the session: every change by a session needs it",
        },
    }
