"""This file is HAProxy's configuration as a pure function of the routing table.

frontend public   404 unknown model or route, then 401, in this order; then on to one of
backend <version> its instances: 503 when none is ready or too many wait, 504 when one takes too long
backend stopped   503: the model is known, nobody answers
backend newest    from an old worker to the newest: it decides about calls that still come on old connections
backend api       everything else
frontend held     the router keeps a worker from ending until it has read its last counters
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.core.deadlines import hard_stop_after_s
from services.core.ids import VersionId
from services.core.kept import Kept
from services.core.rerouting import entries
from services.core.routing import STOPPED, Backend, RoutingTable
from services.router.haproxy.public import public
from services.router.haproxy.sections import body, defaults, retry_after
from services.router.haproxy.settings import Settings
from services.router.haproxy.versions import CLOSED, versions
from services.router.haproxy.words import HELD, PEAKS

CONFIG = "haproxy.cfg"
FILE_DESCRIPTORS = 16384  # HAProxy derives from it how many connections it takes


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of HAProxy's folder. `digest` names what only a reload changes: all but maps and open servers."""

    config: str
    digest: str
    maps: dict[str, str]


class Renderer:
    """Writes down one table after the other, and again only what changed: most changes touch nothing but maps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = Kept()
        self._versions = Kept()

    def render(self, table: RoutingTable) -> Files:
        """The files that make HAProxy do what `table` says; equal tables give equal files."""
        config, digest = self._config.of(CONFIG, self._rendered, table.backends)
        maps = {
            name.file: "".join([f"{key} {content[key]}\n" for key in sorted(content)])
            for name, content in entries(table).items()
        }
        return Files(config=config, digest=digest, maps={**maps, PEAKS: ""})

    def _rendered(self, backends: Mapping[VersionId, Backend]) -> tuple[str, str]:
        others = (*defaults(), *public(self._settings), *_others(self._settings))
        body = "\n".join((*others, *versions(backends, self._settings, self._versions), ""))
        digest = hashlib.sha256(body.replace(CLOSED, "").encode()).hexdigest()[:32]
        return "\n".join((*_global(backends, self._settings.threads, digest), body)), digest


def render(table: RoutingTable, settings: Settings) -> Files:
    """As a `Renderer` does it that has seen no other table."""
    return Renderer(settings).render(table)


def digest_of(config: str) -> str:
    """The digest that `config` was rendered with; "" for another's text."""
    found = re.search(r"^ {4}description ([0-9a-f]{32})$", config, re.MULTILINE)
    return "" if found is None else found[1]


def _global(backends: Mapping[VersionId, Backend], threads: int, digest: str) -> Iterable[str]:
    hard_stop_s = hard_stop_after_s({each.request_timeout_s for each in backends.values()})
    yield "# Written by the Modelway router. What is changed here by hand is lost."
    yield "global"
    yield f"    description {digest}"
    yield "    default-path config"
    yield f"    nbthread {threads}"
    yield f"    fd-hard-limit {FILE_DESCRIPTORS}"
    yield f"    hard-stop-after {math.ceil(hard_stop_s)}s"


def _others(settings: Settings) -> Iterable[str]:
    yield f"defaults {HELD}"
    yield "    mode tcp"
    yield "    timeout client 1d"
    yield f"frontend {HELD} from {HELD}"
    yield f"    bind 'unix@{settings.held_socket}' mode 600"
    yield "    tcp-request inspect-delay 1d"
    yield "    tcp-request content reject if { req.len gt 0 }"
    yield from defaults("others")
    yield "backend newest"
    yield "    option abortonclose"
    yield f"    server newest 'unix@{settings.newest_socket}' send-proxy-v2"
    yield "backend api"
    yield "    option abortonclose"  # who leaves ends a call that api makes for them
    yield "    option forwardfor"
    told = "content-type application/json lf-string"
    broken = '{"error":"The API ended during the request, which may have been carried out."}'
    yield f"    http-error status 502 {told} '{broken}'"
    away = '{"error":"The API is not reachable at the moment."}'
    yield f"    http-error status 503 {told} '{away}' hdr Retry-After 1"
    yield from _apis(settings.api_address.split(","))
    yield f"backend {STOPPED}"
    yield f"    http-request return status 503 {body('This model is stopped.')}{retry_after(503)}"


def _apis(addresses: Sequence[str]) -> Iterable[str]:
    """One is called whatever it says. Of several, those that answer, in turn; who dies is left out within a second."""
    if len(addresses) == 1:
        yield f"    server api {addresses[0]}"
        return
    yield "    balance roundrobin"
    yield "    option redispatch 1"
    yield "    option httpchk GET /livez"
    yield "    default-server check inter 1s downinter 500ms fall 1 rise 1"
    for number, address in enumerate(addresses, start=1):
        yield f"    server api-{number} {address}"
