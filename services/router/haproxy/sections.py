"""This file is what every section of HAProxy's configuration is made of: its defaults, and what HAProxy says itself."""

from __future__ import annotations

import json
from collections.abc import Iterable

from services.core.deadlines import KEEP_ALIVE_S

HEAD_S = 10  # for a caller to send the head of a request
IDLE_S = 60  # for a caller to send, or take, the next piece of anything
CONNECT_S = 2
API_TIMEOUT_S = 300
# Seven digits for sixteen seconds of time, so that records of a call are found; nine that are drawn. See core/calls.
_UNIQUE_ID = "%[date,hex,bytes(8,7)]%[rand(4294967295),hex,bytes(8,8)]%[rand(16),hex,bytes(15,1)]"

_REASONS = {
    400: "The request is not HTTP as this server understands it.",
    408: "The request did not arrive in time.",
    500: "The router failed.",
    502: "The worker ended during the call; the function may have run. The instance log says more.",
    503: "No instance of this model is ready.",
    504: "The call took longer than the request timeout.",
}


def defaults(name: str = "") -> Iterable[str]:
    yield f"defaults {name}".rstrip()
    yield "    mode http"
    # Without it a caller with an idle connection sees it closed by every reload.
    yield "    option idle-close-on-response"
    yield f"    timeout http-request {HEAD_S}s"
    yield f"    timeout http-keep-alive {ms(KEEP_ALIVE_S)}"
    yield f"    timeout connect {CONNECT_S}s"
    yield f"    timeout client {IDLE_S}s"
    yield f"    timeout server {API_TIMEOUT_S}s"
    yield f"    unique-id-format {_UNIQUE_ID}"
    for status, reason in _REASONS.items():
        yield f"    http-error status {status} {body(reason)}{retry_after(status)}"


def body(reason: str) -> str:
    document = json.dumps({"errors": [reason], "request_id": "REQUEST_ID"}, ensure_ascii=True)
    return f"content-type application/json lf-string '{document.replace('REQUEST_ID', '%[unique-id]')}'"


def retry_after(status: int) -> str:
    return " hdr Retry-After 1" if status == 503 else ""


def ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
