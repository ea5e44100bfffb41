"""This file is HAProxy's configuration as a pure function of the routing table.

frontend public   404 unknown model or route, then 401, in this order; then on to one of
backend <version> its instances: 503 when none is ready or too many wait, 504 when one takes too long
backend stopped   503: the model is known, nobody answers
backend newest    from an old worker to the newest: it decides about calls that still come on old connections
backend api       everything else
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable

import msgspec

from services.core.deadlines import HOLD_S, KEEP_ALIVE_S, derive, hard_stop_after_s
from services.core.ids import VersionId
from services.core.rerouting import entries
from services.core.routing import STOPPED, Backend, RoutingTable, Server

CONFIG = "haproxy.cfg"
HEAD_S = 10  # for a caller to send the head of a request
CONNECT_S = 2
API_TIMEOUT_S = 300
FILE_DESCRIPTORS = 16384  # HAProxy derives from it how many connections it takes
SHOWN = ("model", "openapi.json")  # what of an instance is reachable from outside
CREDENTIALS = ("Authorization", "Proxy-Authorization", "Cookie", "X-Domino-Api-Key")
RETRIED_BYTES = 8192  # of a body: a call that is larger may not fit the buffer that a retry is sent from

_CLOSED = " disabled #"  # the comment makes it a text no address can hold
_UNIQUE_ID = "%[rand(4294967295),hex,bytes(8,8)]%[rand(4294967295),hex,bytes(8,8)]"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while the router runs."""

    public_address: str  # host:port
    newest_socket: str  # a Unix socket: how an old worker reaches the newest
    api_address: str  # host:port
    max_waiting: int = 500  # calls that may wait for one version


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of HAProxy's folder. `digest` names what only a reload changes: all but maps and open servers."""

    config: str
    digest: str
    maps: dict[str, str]


def render(table: RoutingTable, settings: Settings) -> Files:
    """The files that make HAProxy do what `table` says; equal tables give equal files."""
    body = "\n".join((*_defaults(), *_public(settings), *_others(settings), *_versions(table, settings), ""))
    digest = hashlib.sha256(body.replace(_CLOSED, "").encode()).hexdigest()[:32]
    maps = {
        name.file: "".join(f"{key} {value}\n" for key, value in sorted(content.items()))
        for name, content in entries(table).items()
    }
    return Files(config="\n".join((*_global(table, digest), body)), digest=digest, maps=maps)


def digest_of(config: str) -> str:
    """The digest that `config` was rendered with; "" for another's text."""
    found = re.search(r"^ {4}description ([0-9a-f]{32})$", config, re.MULTILINE)
    return "" if found is None else found[1]


def _global(table: RoutingTable, digest: str) -> Iterable[str]:
    hard_stop_s = hard_stop_after_s(each.request_timeout_s for each in table.backends.values())
    yield "# Written by the Modelway router. What is changed here by hand is lost."
    yield "global"
    yield f"    description {digest}"
    yield "    default-path config"
    yield f"    fd-hard-limit {FILE_DESCRIPTORS}"
    yield f"    hard-stop-after {math.ceil(hard_stop_s)}s"


def _defaults() -> Iterable[str]:
    yield "defaults"
    yield "    mode http"
    # Without it a caller with an idle connection sees it closed by every reload.
    yield "    option idle-close-on-response"
    yield f"    timeout http-request {HEAD_S}s"
    yield f"    timeout http-keep-alive {_ms(KEEP_ALIVE_S)}"
    yield f"    timeout connect {CONNECT_S}s"
    yield "    timeout client 60s"
    yield f"    timeout server {API_TIMEOUT_S}s"
    yield f"    unique-id-format {_UNIQUE_ID}"
    for status, reason in _REASONS.items():
        yield f"    http-error status {status} {_body(reason)}{_retry_after(status)}"


_REASONS = {
    400: "The request is not HTTP as this server understands it.",
    408: "The request did not arrive in time.",
    500: "The router failed.",
    502: "The instance ended before it answered.",
    503: "No instance of this model is ready.",
    504: "The call took longer than the request timeout.",
}


def _public(settings: Settings) -> Iterable[str]:
    yield "frontend public"
    yield f"    bind {settings.public_address}"
    yield f"    bind 'unix@{settings.newest_socket}' accept-proxy mode 600"
    yield "    http-request set-header X-Request-Id %[unique-id]"
    yield "    http-after-response set-header X-Request-Id %[unique-id] unless { var(txn.is_passed_on) -m bool }"
    yield "    http-request allow unless { path_beg /models/ }"
    yield from _place()
    yield "    http-request allow unless { var(txn.label) -m found }"
    yield "    http-request set-var(txn.is_passed_on) bool(true) if { stopping }"
    yield "    http-request allow if { stopping }"
    yield from _decisions()
    yield "    use_backend api unless { var(txn.label) -m found }"
    yield "    use_backend newest if { var(txn.is_passed_on) -m bool }"
    yield "    use_backend %[var(txn.backend)]"
    yield f"    default_backend {STOPPED}"  # also for a version this configuration does not have


def _place() -> Iterable[str]:
    """Which model, label and thing the path names: /models/M/latest/… or /models/M/labels/L/…"""
    yield "    http-request set-var(txn.began) date(0,ms)"
    yield "    http-request set-var(txn.model) path,field(3,/)"
    yield "    http-request set-var(txn.label) str(latest) if { path_reg ^/models/[^/]+/latest/ }"
    yield "    http-request set-var(txn.thing) path,field(5,/,0) if { var(txn.label) -m found }"
    yield "    acl is_labelled path_reg ^/models/[^/]+/labels/[^/]+/"
    yield "    http-request set-var(txn.label) path,field(5,/) if is_labelled"
    yield "    http-request set-var(txn.thing) path,field(6,/,0) if is_labelled"


def _decisions() -> Iterable[str]:
    yield "    http-request set-var(txn.backend) var(txn.model),concat(/,txn.label),map_str(routes.map)"
    unknown = _body("There is no such model or route.")
    yield f"    http-request return status 404 {unknown} unless {{ var(txn.backend) -m found }}"
    nothing = _body("There is nothing at this address; a model answers at /model.")
    yield f"    http-request return status 404 {nothing} unless {{ var(txn.thing) -m str {' '.join(SHOWN)} }}"
    yield "    http-request set-var(txn.token) http_auth_bearer"
    # Basic: user name and password are both the token; HAProxy's own http_auth_user does not look at the password.
    yield "    http-request set-var(txn.user) http_auth_user"
    yield "    http-request set-var(txn.token) var(txn.user) if { http_auth_pass,strcmp(txn.user) eq 0 }"
    yield "    http-request set-var(txn.hash) var(txn.token),sha2(256),hex,lower"
    yield "    http-request set-var(txn.grant) var(txn.model),concat(/,txn.hash),map_str(tokens.map)"
    yield "    http-request set-var(txn.grant) var(txn.model),map_str(open.map)"
    refused = _body("A valid access token of this model is required.")
    challenges = "hdr WWW-Authenticate 'Bearer realm=\"Modelway\"' hdr WWW-Authenticate 'Basic realm=\"Modelway\"'"
    yield f"    http-request return status 401 {refused} {challenges} unless {{ var(txn.grant) -m found }}"


def _others(settings: Settings) -> Iterable[str]:
    yield "backend newest"
    yield f"    server newest 'unix@{settings.newest_socket}' send-proxy-v2"
    yield "backend api"
    yield "    option forwardfor"
    away = '{"error":"The API is not reachable at the moment."}'
    yield f"    http-error status 503 content-type application/json lf-string '{away}' hdr Retry-After 1"
    yield f"    server api {settings.api_address}"
    yield f"backend {STOPPED}"
    yield f"    http-request return status 503 {_body('This model is stopped.')}{_retry_after(503)}"


def _versions(table: RoutingTable, settings: Settings) -> Iterable[str]:
    if table.backends:
        yield from _common(settings)
    for version, backend in table.backends.items():
        yield from _version(version, backend)


def _common(settings: Settings) -> Iterable[str]:
    """What all versions share, on top of what everything shares."""
    yield from ("defaults models", *list(_defaults())[1:])
    yield "    http-request set-path /%[var(txn.thing)]"
    # Nothing secret reaches the user's process: not the token, not the session of whoever calls from the page.
    yield from (f"    http-request del-header {name}" for name in CREDENTIALS)
    yield "    http-request del-header X-Modelway- -m beg"
    full = f"{_body('Too many calls wait for this model.')}{_retry_after(503)}"
    yield f"    http-request return status 503 {full} if {{ queue ge {settings.max_waiting} }}"
    # A model shares its origin with the platform's page.
    yield "    http-response del-header Set-Cookie"
    yield "    http-send-name-header X-Modelway-Server"
    yield "    balance leastconn"
    # When an instance dies under a call on a connection that was used before, HAProxy cuts the caller off without an
    # answer, as an invitation to try again: the call might run twice. On a fresh connection it answers 502.
    yield "    option http-server-close"
    # A call leaves a dead server at once, and the server is left alone until a check finds it alive.
    yield "    option redispatch 1"
    # 503 is a worker's word for "busy, I did not start": `maxconn` is counted per HAProxy process.
    yield "    retry-on conn-failure 503"
    yield (
        "    default-server maxconn 1 check inter 10s fastinter 500ms downinter 500ms fall 1 rise 1 "
        "observe layer4 error-limit 1 on-error mark-down"
    )


def _version(version: VersionId, backend: Backend) -> Iterable[str]:
    deadlines = derive(backend.request_timeout_s)
    total = _ms(deadlines.request_timeout_s)
    yield f"backend {version} from models"
    yield f"    timeout queue {_ms(deadlines.queue_timeout_s)}"
    yield f"    timeout server {_ms(deadlines.server_timeout_s)}"
    yield f"    retries {deadlines.tries}"
    yield f"    http-request wait-for-body time {total}"
    # How long a busy worker holds the call before it refuses it: to the end, if it cannot be sent elsewhere.
    yield f"    http-request set-header X-Modelway-Hold-Ms {_ms(HOLD_S)[:-2]}"
    yield f"    http-request set-header X-Modelway-Hold-Ms {total[:-2]} if {{ req.body_size gt {RETRIED_BYTES} }}"
    yield f"    http-request set-header X-Modelway-Remaining-Ms %[date(0,ms),sub(txn.began),neg,add({total[:-2]})]"
    # What is left is written before the call queues; when it is over is true wherever it is read.
    yield f"    http-request set-header X-Modelway-Deadline-Ms %[var(txn.began),add({total[:-2]})]"
    yield from (f"    {_server(each)}" for each in backend.servers)


def _server(server: Server) -> str:
    place = f"unix@{server.address}" if server.address.startswith("/") else server.address
    return f"server {server.name} '{place}'{'' if server.is_open else _CLOSED}"


def _body(reason: str) -> str:
    document = json.dumps({"errors": [reason], "request_id": "REQUEST_ID"}, ensure_ascii=True)
    return f"content-type application/json lf-string '{document.replace('REQUEST_ID', '%[unique-id]')}'"


def _retry_after(status: int) -> str:
    return " hdr Retry-After 1" if status == 503 else ""


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
