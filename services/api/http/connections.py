"""This file is the connection below a request: what is not HTTP is refused in JSON like all else, and nobody idles.

aiohttp answers what it cannot parse by itself, as text, and writes the offending bytes to the log: an API key may be
among them.
"""

from __future__ import annotations

import structlog
from aiohttp import web

from services.api.http.faults import REQUEST_ID_HEADER, new_request_id
from services.api.http.routes import answer

log = structlog.get_logger()

IDLE_S = 60.0  # until the head of a request is whole, from the connection or from the answer before

_NOT_HTTP = "the request is not HTTP as this server understands it"


class Connection(web.RequestHandler):
    """One connection of a client."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The last answer on this connection. What is wrong with the request is the client's to find out."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        request_id = new_request_id()
        log.info("request_not_understood", request_id=request_id, status=status, error=type(exc).__name__)
        reason = _NOT_HTTP if status < 500 else f"internal error; request id {request_id}"
        response = answer({"error": reason}, status=status, headers={REQUEST_ID_HEADER: request_id})
        response.force_close()
        return response


async def meet_expectation(request: web.Request) -> None:
    """Has the client send its body when it waits for the word; whatever else it expects is left aside."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an answer has not been begun


class Runner(web.AppRunner):
    """Serves an application with connections of this kind."""

    def __init__(self, app: web.Application, *, shutdown_s: float) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_s)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            access_log=None,
            keepalive_timeout=IDLE_S,
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)
