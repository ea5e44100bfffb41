"""This file is what the parts of paths are, and the headers that requests and answers may have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import Meta

from services.api.http import shapes
from services.api.http.query import ANY_LIMIT, TOTAL
from services.api.http.routes import Route
from services.api.http.shapes import says
from services.api.sign_in.cookies import SAFE_METHODS

_PART = re.compile(r"(?:(?P<before>[^/{}]+)/)?\{(?P<name>\w+)(?::[^{}]*)?\}")

_OWNER_NAME = Annotated[str, says("the user name of the project's owner")]
_PROJECT_NAME = Annotated[str, says("the project's name")]

_PARTS: dict[str, Any] = {
    "model": shapes.ModelId,
    "version": shapes.VersionId,
    "project": shapes.ProjectId,
    "environment": shapes.EnvironmentId,
    "person": shapes.PersonId,
    "commit": shapes.CommitId,
    "organisation": Annotated[shapes.Id, says("the organisation: 24 lower-case hexadecimal characters")],
    "collaborator": Annotated[shapes.Id, says("the person or organisation: 24 lower-case hexadecimal characters")],
    "token": Annotated[shapes.Id, says("the access token: 24 lower-case hexadecimal characters")],
    "quota": Annotated[shapes.Id, says("the resource quota: 24 lower-case hexadecimal characters")],
    "session": Annotated[shapes.Id, says("the browser session: 24 lower-case hexadecimal characters")],
    "revision": Annotated[shapes.Id, says("the revision: 24 lower-case hexadecimal characters")],
    "tag": Annotated[shapes.Id, says("the tag: 24 lower-case hexadecimal characters")],
    "apiKeys/key": Annotated[shapes.Id, says("the API key: 24 lower-case hexadecimal characters")],
    "blobs/key": Annotated[str, says("the content of a file, by the key that lists of files tell")],
    "centralConfig/key": Annotated[str, says("the key's name")],
    "label": Annotated[str, says("the label", among=("latest", "prod"))],
    "owner": _OWNER_NAME,
    "projectName": _PROJECT_NAME,
    "sha256": shapes.Sha256,
    "requestId": Annotated[str, says("the call: 16 capital letters and digits", pattern="^[A-Z0-9]{16}$")],
    "path": Annotated[str, says("a path in the project; its slashes need not be escaped")],
}

_KEY = Annotated[
    str,
    Meta(min_length=1, max_length=255),
    says(
        "any text of the caller's own: repeated by the same person on the same route with the same text, the request "
        "is done once",
        pattern="^[ -~]+$",
    ),
]
_IF_MATCH = Annotated[
    str, says("the ETag of what is meant to be changed, or *: 412 when something else is there by now")
]


class UnknownPart(LookupError):
    """A path has a part that nothing is said of: `_PARTS` is where to say it."""


def document_path(path: str) -> str:
    """
    >>> document_path("/files/{commit}/{path:.*}")
    '/files/{commit}/{path}'
    """
    return re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", path)


def path_parts(path: str) -> Iterator[tuple[str, Any]]:
    """Name and type of each. Raises UnknownPart."""
    for found in _PART.finditer(path):
        name = found["name"]
        named = f"{found['before']}/{name}"
        if name == "project" and "{owner}" in path:
            yield name, _PROJECT_NAME
        elif (kind := _PARTS.get(named, _PARTS.get(name))) is not None:
            yield name, kind
        else:
            raise UnknownPart(f"{name} of {path}")


def request_headers(route: Route) -> Iterator[tuple[str, Any]]:
    if route.method not in SAFE_METHODS and route.action is not None:
        yield "Idempotency-Key", _KEY
    if route.method not in SAFE_METHODS and route.is_tagged:
        yield "If-Match", _IF_MATCH


_ALWAYS = {"X-Request-Id": "the request's id, 16 capital letters and digits, as logs and events have it"}
_RETRY_AFTER = {"Retry-After": "after how many seconds to try again"}
_BY_STATUS = {
    201: {"Location": "where what was made is found"},
    202: {"Location": "where to see how far it is"},
    302: {"Location": "where to go on"},
    401: {"WWW-Authenticate": "Bearer"},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def answer_headers(route: Route, status: int) -> dict[str, str]:
    """Name and description of each."""
    headers = {**_ALWAYS, **_BY_STATUS.get(status, {})}
    if route.is_tagged and status == 200:
        headers["ETag"] = "of what is there now: for If-Match, and so that nothing is overwritten unseen"
    if ANY_LIMIT in route.query and status == 200:
        headers[TOTAL] = "how many items there are in all"
    return headers
