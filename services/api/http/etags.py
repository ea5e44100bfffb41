"""This file keeps editors from overwriting each other: an ETag with what is read, `If-Match` with what is changed."""

from __future__ import annotations

import hashlib

import msgspec
from aiohttp import web

from services.core.errors import Invalid, PreconditionFailed

_MOST = 20  # tags in one header


def etag(value: msgspec.Struct) -> str:
    """Another one for every other value, in the quotes that the header wants."""
    return f'"{hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:32]}"'


def check_if_match(request: web.Request, current: str, *, what: str) -> None:
    """Returns when the caller changes what is there now, or does not say what they mean to change.

    Raises PreconditionFailed, and Invalid for a header that is not one.
    """
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return
    tags = [tag.strip() for tag in given.split(",")]
    if len(tags) > _MOST or not all(len(tag) > 1 and tag[0] == tag[-1] == '"' for tag in tags):
        raise Invalid('If-Match must be the ETag that came with what is changed, as in "3f2a…"', field="If-Match")
    if current not in tags:
        raise PreconditionFailed(f"{what} changed since they were read: read them again, and change those")
