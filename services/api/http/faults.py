"""This file is the edge of the HTTP layer: a request id on every answer, and every error as a status and a sentence."""

from __future__ import annotations

import math
import re
import secrets
import string
from collections.abc import Mapping

import structlog
from aiohttp import web

from services.api import patience
from services.api.http.routes import Handler, answer
from services.api.http.views.faults import LISTED, Fault, ListedFault
from services.core.errors import ModelwayError, TemporaryError, Unauthenticated

log = structlog.get_logger()

REQUEST_ID = web.RequestKey("request_id", str)
REQUEST_ID_HEADER = "X-Request-Id"

_ID = re.compile(r"[A-Z0-9]{16}")
_ID_LETTERS = string.ascii_uppercase + string.digits
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def new_request_id() -> str:
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(16))


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives the request its id, the router's where it has one, and says what it changed in one line of the log."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request_id = given if _ID.fullmatch(given) else new_request_id()
    request[REQUEST_ID] = request_id
    with structlog.contextvars.bound_contextvars(request_id=request_id, method=request.method, path=request.path):
        response = await handler(request)
        write = log.debug if request.method in _READS and response.status < 500 else log.info
        write("request_answered", status=response.status)
    response.headers[REQUEST_ID_HEADER] = request_id
    return response


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what a handler raises into an answer. Never 409: existing clients read it as "please log in again"."""
    try:
        with patience.one_request():
            return await handler(request)
    except ModelwayError as error:
        return _known(request, error)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        reason = f"{request.method} is not allowed here, only {allowed}"
        return fault(request, 405, reason, headers={"Allow": allowed})
    except web.HTTPException as error:
        reason = "there is nothing at this address" if error.status == 404 else error.reason
        return fault(request, error.status, reason)
    except Exception:
        log.exception("request_failed")
        return fault(request, 500, f"internal error; request id {request[REQUEST_ID]}")


def _known(request: web.Request, error: ModelwayError) -> web.Response:
    headers: dict[str, str] = {}
    if isinstance(error, TemporaryError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if error.status >= 500:
        log.warning("request_refused", code=error.code, reason=error.reason)
    return fault(request, error.status, error.reason, headers=headers)


def fault(request: web.Request, status: int, reason: str, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in the shape that its status has on the wire."""
    if status in LISTED:
        return answer(ListedFault(request_id=request[REQUEST_ID], errors=[reason]), status=status, headers=headers)
    return answer(Fault(error=reason), status=status, headers=headers)
