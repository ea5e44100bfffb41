"""This file puts the HTTP layer together: every resource with its ports, every route behind its permission."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from aiohttp import web

from services.api.http.audit import Audit
from services.api.http.callers import LOOPBACK, Callers, Network
from services.api.http.canaries import Canaries
from services.api.http.central import CentralConfiguration
from services.api.http.compatible.choices import Choices
from services.api.http.compatible.control import Control
from services.api.http.compatible.files import ProjectFiles
from services.api.http.compatible.publishing import FlatPublishing
from services.api.http.connections import Runner, meet_expectation
from services.api.http.environments import Environments
from services.api.http.faults import explain, identify
from services.api.http.logs import Logs
from services.api.http.models import Models
from services.api.http.permits import Gate, Permits
from services.api.http.platform import Platform
from services.api.http.projects import Projects
from services.api.http.publish import Publisher
from services.api.http.quotas import ResourceQuotas
from services.api.http.refusals import Refusals
from services.api.http.routes import Route
from services.api.http.settings import ModelSettings
from services.api.http.snapshots import Snapshots
from services.api.http.tokens import Tokens
from services.api.http.versions import Versions
from services.api.ports import Ledger, Observed, Store
from services.api.verify import Evidence
from services.core.snapshot import SnapshotLimits
from services.kit.blobs import Blobs
from services.kit.process import Stop
from services.kit.vault import Vault

_SHUTDOWN_S = 5.0  # for requests that are being answered when the process has to end


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What the handlers need. `proxies` are the peers whose X-Forwarded-For is believed: our own HAProxy."""

    store: Store
    evidence: Evidence
    ledger: Ledger
    observed: Observed
    blobs: Blobs
    vault: Vault  # of access tokens
    variables: Vault  # of the values of environment variables, which deployers open
    public_url: str  # where people and programs reach the platform, as in http://127.0.0.1:8080
    version: str = field(default_factory=lambda: importlib.metadata.version("modelway-platform"))
    limits: SnapshotLimits = field(default_factory=SnapshotLimits)
    proxies: Sequence[Network] = LOOPBACK

    @cached_property
    def permits(self) -> Permits:
        return Permits(self.store, Refusals(self.ledger))


def create_app(deps: Deps) -> web.Application:
    """The management API. Bodies are read by `body.read` and `body.chunks`, which carry their own limits."""
    gate = Gate(Callers(deps.store, proxies=deps.proxies), deps.permits)
    app = web.Application(middlewares=[identify, explain])
    for route in routes(deps):
        handler = route.handler if route.action is None else gate.guard(route.handler, route.action)
        app.router.add_route(route.method, route.path, handler, expect_handler=meet_expectation)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, handler, expect_handler=meet_expectation)
    return app


def routes(deps: Deps) -> list[Route]:
    """Every route of the API. One without an action is open to everyone."""
    store, ledger, observed = deps.store, deps.ledger, deps.observed
    publisher = Publisher(store, ledger, tokens=deps.vault, variables=deps.variables)
    logs = Logs(store, observed)
    resources = (
        Platform(store, observed, version=deps.version),
        Projects(store, ledger),
        Snapshots(store, ledger, deps.blobs, deps.limits),
        Environments(store, ledger),
        Models(store, ledger, observed, publisher, public_url=deps.public_url),
        Versions(store, ledger, observed, publisher),
        ModelSettings(store, ledger, deps.variables),
        Canaries(store, ledger, observed, public_url=deps.public_url),
        logs,
        Tokens(store, ledger, deps.vault),
        ResourceQuotas(store, ledger),
        CentralConfiguration(store, ledger),
        Audit(store, deps.evidence),
        Control(store, ledger, observed, logs),
        FlatPublishing(store, observed, publisher, public_url=deps.public_url),
        ProjectFiles(store, ledger, deps.blobs, deps.limits),
        Choices(store),
    )
    return [route for resource in resources for route in resource.routes()]


async def serve(deps: Deps, stop: Stop, *, host: str, port: int) -> None:
    """Answer on `host`:`port` until `stop`; what is being answered then may end first."""
    runner = Runner(create_app(deps), shutdown_s=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stop.wait()
    finally:
        await runner.cleanup()
