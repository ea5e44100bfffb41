"""This file is HAProxy's front: what it decides about a call before an instance hears of it."""

from __future__ import annotations

from collections.abc import Iterable

from services.core import canary
from services.core.rerouting import CANARIES
from services.core.routing import STOPPED
from services.router.haproxy import access
from services.router.haproxy.sections import body
from services.router.haproxy.settings import Settings

# What of an instance is reachable from outside: calls, what is told of them, and the Open Inference Protocol.
SHOWN = "acl is_shown var(txn.thing) -m str model openapi.json v2", "acl is_shown var(txn.thing) -m beg v2/"
CALLS = "acl is_call var(txn.thing) -m str model", "acl is_call var(txn.thing) -m end /infer"


def public(settings: Settings) -> Iterable[str]:
    yield "frontend public"
    # HTTP/2 in clear text would be spoken to who asks for it; nobody has tried it through a reload.
    yield f"    bind {settings.public_address} proto h1"
    yield f"    bind 'unix@{settings.newest_socket}' accept-proxy mode 600 proto h1"
    yield from access.log(settings)
    # Of the shapes that two servers may read differently HAProxy refuses all others itself, or makes them one.
    refused = body("HTTP/1.0 has no Transfer-Encoding.")
    yield f"    http-request return status 400 {refused} if HTTP_1.0 {{ req.fhdr(Transfer-Encoding) -m found }}"
    yield "    http-request set-header X-Request-Id %[unique-id]"
    yield "    http-after-response set-header X-Request-Id %[unique-id] unless { var(txn.is_passed_on) -m bool }"
    yield "    http-request allow unless { path_beg /models/ }"
    yield from _place()
    yield "    http-request allow unless { var(txn.label) -m found }"
    yield "    http-request set-var(txn.is_passed_on) bool(true) if { stopping }"
    yield "    http-request allow if { stopping }"
    yield from _decisions()
    # A model's document says where the model is.
    yield "    http-request set-var(txn.base) path,regsub(/openapi.json$,) if { var(txn.thing) -m str openapi.json }"
    yield from _probes()
    yield from (f"    {rule}" for rule in CALLS)
    yield f"{access.FROM_HERE_ON} if is_call"
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
    unknown = body("There is no such model or route.")
    yield f"    http-request return status 404 {unknown} unless {{ var(txn.backend) -m found }}"
    nothing = body("There is nothing at this address; a model answers at /model.")
    yield from (f"    {rule}" for rule in SHOWN)
    yield f"    http-request return status 404 {nothing} unless is_shown"
    yield "    http-request set-var(txn.token) http_auth_bearer"
    # Basic: user name and password are both the token; HAProxy's own http_auth_user does not look at the password.
    yield "    http-request set-var(txn.user) http_auth_user"
    yield "    http-request set-var(txn.token) var(txn.user) if { http_auth_pass,strcmp(txn.user) eq 0 }"
    yield "    http-request set-var(txn.hash) var(txn.token),sha2(256),hex,lower"
    yield "    http-request set-var(txn.grant) var(txn.model),concat(/,txn.hash),map_str(tokens.map)"
    yield "    http-request set-var(txn.grant) var(txn.model),map_str(open.map)"
    refused = body("A valid access token of this model is required.")
    challenges = "hdr WWW-Authenticate 'Bearer realm=\"Modelway\"' hdr WWW-Authenticate 'Basic realm=\"Modelway\"'"
    yield f"    http-request return status 401 {refused} {challenges} unless {{ var(txn.grant) -m found }}"
    yield from _canary()


def _probes() -> Iterable[str]:
    """Health as the Open Inference Protocol asks for it: answered here, so that no probe waits for a busy worker."""
    told = "200 content-type application/json string"
    yield "    acl is_look method GET"
    yield "    acl is_live_asked var(txn.thing) -m str v2/health/live"
    yield f"    http-request return status {told} '{{\"live\":true}}' if is_look is_live_asked"
    yield "    acl is_ready_asked var(txn.thing) -m str v2/health/ready"
    ready = "is_look is_ready_asked { var(txn.backend),nbsrv gt 0 }"
    yield f"    http-request return status {told} '{{\"ready\":true}}' if {ready}"
    yield f"    http-request return status 503 {body('No instance of this model is ready.')} if is_look is_ready_asked"


def _canary() -> Iterable[str]:
    """A share of the label's calls goes to its candidate, as long as that has a server that answers."""
    yield f"    http-request set-var(txn.canary) var(txn.model),concat(/,txn.label),map_str({CANARIES.file})"
    yield "    http-request set-var(txn.share) var(txn.canary),field(1,:)"
    yield "    http-request set-var(txn.candidate) var(txn.canary),field(2,:)"
    drawn = f"rand({canary.DRAWN_FROM}),sub(txn.share) lt 0"
    yield f"    http-request set-var(txn.is_tried) bool(true) if {{ var(txn.canary) -m found }} {{ {drawn} }}"
    yield f"    http-request set-var(txn.is_tried) bool(true) if {{ req.hdr({canary.HEADER}) -i always }}"
    yield f"    http-request set-var(txn.is_tried) bool(false) if {{ req.hdr({canary.HEADER}) -i never }}"
    answers = "{ var(txn.is_tried) -m bool } { var(txn.candidate),nbsrv gt 0 }"
    yield f"    http-request set-var(txn.backend) var(txn.candidate) if {answers}"
