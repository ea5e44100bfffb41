"""This file answers with the OpenAPI document, and with a page of it for people. Both are open to everyone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import msgspec
from aiohttp import web

from services.api.http.openapi.document import document
from services.api.http.openapi.page import CONTENT_SECURITY_POLICY, page
from services.api.http.routes import API, Raw, Route

DOCUMENT_AT = API + "/openapi.json"
PAGE_AT = API + "/docs"

_DOCUMENT = Raw("application/json", "an OpenAPI 3.1 document")
_PAGE = Raw("text/html", "the same for people")


class Documentation:
    """The description of this API."""

    def __init__(self, others: Sequence[Route], *, version: str, cookie: str) -> None:
        """`others`: all the routes but its own."""
        self._others = others
        self._version = version
        self._cookie = cookie

    def routes(self) -> list[Route]:
        return [
            Route("GET", DOCUMENT_AT, self.show, None, gives={200: _DOCUMENT, 304: None}),
            Route("GET", PAGE_AT, self.show_page, None, gives={200: _PAGE, 304: None}),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """This document, as OpenAPI 3.1."""
        return _cached(request, self._document, "application/json")

    async def show_page(self, request: web.Request) -> web.Response:
        """The same as a page for people."""
        return _cached(request, self._page, "text/html")

    @cached_property
    def _whole(self) -> dict[str, object]:
        return document([*self._others, *self.routes()], version=self._version, cookie=self._cookie)

    @cached_property
    def _document(self) -> bytes:
        return msgspec.json.encode(self._whole)

    @cached_property
    def _page(self) -> bytes:
        return page(self._whole, document_at=DOCUMENT_AT).encode()


def _cached(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """304 for who has it already."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    if etag in (each.strip() for each in request.headers.get("If-None-Match", "").split(",")):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)
