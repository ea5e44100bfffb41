"""This file is a router for tests of the api alone: it asks for tokens as HAProxy does, and answers as it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from tests.parts import wait_until

Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class StandInRouter:
    """Calls that passed are in `called`. The next `deaf` calls come before it has heard of any token."""

    store: MongoStore
    called: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    deaf: int = 0
    refused: int = 0
    answers: Answers | None = None
    left: int = 0  # callers that went away before they were answered
    _server: TestServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return str(self._server.make_url("/")).rstrip("/")

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/models/{model}/{place:.+}/model", self._call)
        app.router.add_get("/models/{model}/{place:.+}/openapi.json", self._call)
        self._server = TestServer(app)
        await self._server.start_server()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not await self._is_let_in(request):
            self.refused += 1
            challenges = [("WWW-Authenticate", f'{scheme} realm="Modelway"') for scheme in ("Bearer", "Basic")]
            return web.json_response({"errors": ["a token"]}, status=401, headers=challenges)
        self.called.append((request.path, body, dict(request.headers)))
        if self.answers is not None:
            return await self.answers(request)
        return web.json_response({"result": 10}, headers={"X-Request-Id": "MODELSOWN1234567", "Set-Cookie": "a=b"})

    async def _is_let_in(self, request: web.Request) -> bool:
        if self.deaf:
            self.deaf -= 1
            return False
        model = await self.store.load(MODEL, request.match_info["model"])
        shown = hashlib.sha256(request.headers.get("Authorization", "").removeprefix("Bearer ").encode()).hexdigest()
        return not model.is_restricted or shown in {token.token_hash for token in model.tokens}

    async def never(self, request: web.Request) -> web.StreamResponse:
        """Answers nothing; tells when the caller went away."""
        try:
            await wait_until(lambda: request.transport is None, what="the caller went away")
        finally:
            self.left += request.transport is None
        return web.Response()
