"""This file is one backend a version: who may wait, for how long, for which worker, and what is tried again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.core.deadlines import HOLD_S, derive
from services.core.ids import VersionId
from services.core.kept import Kept
from services.core.routing import Backend, Server
from services.router.haproxy.sections import body, defaults, ms, retry_after
from services.router.haproxy.settings import Settings
from services.router.haproxy.words import PEAKS

CREDENTIALS = ("Authorization", "Proxy-Authorization", "Cookie", "X-Domino-Api-Key")
RETRIED_BYTES = 8192  # of a body: a call that is larger may not fit the buffer that a retry is sent from
IDLE_CONNECTIONS = 4  # to one worker; after some five seconds without a call HAProxy closes them
CLOSED = " disabled #"  # the comment makes it a text no address can hold


def versions(backends: Mapping[VersionId, Backend], settings: Settings, last: Kept) -> Iterable[str]:
    """Their sections; `last` has the text of those that stayed as they were."""
    if backends:
        yield from _common(settings)
    for version in sorted(backends):
        yield last.of(version, _section, version, backends[version])
    last.forget_except(backends)


def _common(settings: Settings) -> Iterable[str]:
    """What all versions share, on top of what everything shares."""
    yield from defaults("models")
    yield "    http-request set-path /%[var(txn.thing)]"
    # Nothing secret reaches the user's process: not the token, not the session of whoever calls from the page.
    yield from (f"    http-request del-header {name}" for name in CREDENTIALS)
    yield "    http-request del-header X-Modelway- -m beg"
    yield "    http-request set-header X-Modelway-Base %[var(txn.base)] if { var(txn.base) -m found }"
    full = f"{body('Too many calls wait for this model.')}{retry_after(503)}"
    yield f"    http-request return status 503 {full} if {{ queue ge {settings.max_waiting} }}"
    # A model shares its origin with the platform's page.
    yield "    http-response del-header Set-Cookie"
    yield "    http-send-name-header X-Modelway-Server"
    yield "    balance leastconn"
    # When a connection that was used before ends under a call, HAProxy cuts the caller off without an answer, as an
    # invitation to try again: the call might run twice. On a fresh connection it answers 502.
    yield "    option http-server-close"
    # A caller that leaves gives up its place in the queue.
    yield "    option abortonclose"
    # A call leaves a dead server at once, and the server is left alone until a check finds it alive.
    yield "    option redispatch 1"
    yield from _measured()
    yield (
        f"    default-server maxconn 1 pool-max-conn {IDLE_CONNECTIONS} "
        "check inter 10s fastinter 500ms downinter 500ms fall 1 rise 1 observe layer4 error-limit 1 on-error mark-down"
    )


def _measured() -> Iterable[str]:
    """HAProxy's own longest times leave out who got no answer, or count what was before the call."""
    yield "    http-response set-var(txn.is_answered) bool(true)"
    yield "    http-after-response set-var(txn.took) date(0,ms),sub(txn.began)"
    unanswered = "{ status 503 } !{ var(txn.is_answered) -m bool }"
    for what, condition in (("call", ""), ("wait", f" {unanswered}")):
        is_longest = f"{{ be_name,concat(/{what}),map_str_int({PEAKS},0),sub(txn.took) lt 0 }}"
        yield f"    http-after-response set-map({PEAKS}) %[be_name]/{what} %[var(txn.took)] if {is_longest}{condition}"


def _section(version: VersionId, backend: Backend) -> str:
    return "\n".join(_version(version, backend))


def _version(version: VersionId, backend: Backend) -> Iterable[str]:
    deadlines = derive(backend.request_timeout_s)
    total = ms(deadlines.request_timeout_s)
    yield f"backend {version} from models"
    yield f"    timeout queue {ms(deadlines.queue_timeout_s)}"
    yield f"    timeout server {ms(deadlines.server_timeout_s)}"
    yield f"    retries {deadlines.tries}"
    if backend.keeps_connections:  # its instances see to it that none ends under a call, so calls may share them
        yield "    no option http-server-close"
        yield "    http-reuse always"
    # 503 is a worker's word for "busy, I did not start": `maxconn` is counted per HAProxy process.
    # 502 is its supervisor's word for "it died under the call".
    again = " empty-response junk-response 502" if backend.has_repeatable_calls else ""
    yield f"    retry-on conn-failure 503{again}"
    yield f"    http-request wait-for-body time {total}"
    # How long a busy worker holds the call before it refuses it: to the end, if it cannot be sent elsewhere.
    yield f"    http-request set-header X-Modelway-Hold-Ms {ms(HOLD_S)[:-2]}"
    yield f"    http-request set-header X-Modelway-Hold-Ms {total[:-2]} if {{ req.body_size gt {RETRIED_BYTES} }}"
    yield f"    http-request set-header X-Modelway-Remaining-Ms %[date(0,ms),sub(txn.began),neg,add({total[:-2]})]"
    # What is left is written before the call queues; when it is over is true wherever it is read.
    yield f"    http-request set-header X-Modelway-Deadline-Ms %[var(txn.began),add({total[:-2]})]"
    yield from (f"    {_server(each)}" for each in backend.servers)


def _server(server: Server) -> str:
    place = f"unix@{server.address}" if server.address.startswith("/") else server.address
    return f"server {server.name} '{place}'{'' if server.is_open else CLOSED}"
