"""This file puts the HTTP layer together: every resource with its ports, every route behind its permission."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from aiohttp import web

from services.api.http.api_keys import ApiKeys
from services.api.http.audit import Audit
from services.api.http.browser_sessions import BrowserSessions
from services.api.http.call_records import CallRecords
from services.api.http.callers import LOOPBACK, Callers, Network
from services.api.http.canaries import Canaries
from services.api.http.central import CentralConfiguration
from services.api.http.compatible.choices import Choices
from services.api.http.compatible.collaborators import ProjectCollaborators
from services.api.http.compatible.control import Control
from services.api.http.compatible.files import ProjectFiles
from services.api.http.compatible.projects import OldProjects
from services.api.http.compatible.publishing import FlatPublishing
from services.api.http.compatible.tags import ProjectTags
from services.api.http.connections import Runner, meet_expectation
from services.api.http.environments import Environments
from services.api.http.faults import explain, identify
from services.api.http.invoke import Invocation
from services.api.http.logs import Logs
from services.api.http.model_calls import ModelCalls
from services.api.http.models import Models
from services.api.http.open_id_connect import OpenIdConnectSignIn, sign_in_with
from services.api.http.openapi.served import Documentation
from services.api.http.organisations import Organisations
from services.api.http.people import Accounts
from services.api.http.permits import Gate, Permits
from services.api.http.person_changes import PersonChanges
from services.api.http.platform import Platform
from services.api.http.project_files import Commits
from services.api.http.project_sharing import ProjectSharing
from services.api.http.projects import Projects
from services.api.http.publish import Publisher
from services.api.http.quotas import ResourceQuotas
from services.api.http.rates import Rates
from services.api.http.refusals import Refusals
from services.api.http.routes import Resource, Route
from services.api.http.session import CurrentSession
from services.api.http.settings import ModelSettings
from services.api.http.sharing import Sharing
from services.api.http.snapshots import Snapshots
from services.api.http.tokens import Tokens
from services.api.http.versions import Versions
from services.api.key_uses import KeyUses
from services.api.ports import Calls, Ledger, Observed, Store
from services.api.sign_in.oidc import OpenIdConnect
from services.api.sign_in.provider import Account
from services.api.sign_in.sessions import LASTS_S
from services.api.sign_in.signing_in import SigningIn
from services.api.verify import Evidence, Witness
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
    witness: Witness
    ledger: Ledger
    observed: Observed
    calls: Calls
    blobs: Blobs
    vault: Vault  # of access tokens and of what passwords were hashed to
    variables: Vault  # of the values of environment variables, which deployers open
    public_url: str  # where people and programs reach the platform, as in http://127.0.0.1:8080
    predictions_url: str = ""  # where api itself calls models: a router; "": the public URL
    version: str = field(default_factory=lambda: importlib.metadata.version("modelway-platform"))
    limits: SnapshotLimits = field(default_factory=SnapshotLimits)
    proxies: Sequence[Network] = LOOPBACK
    session_lasts_s: float = LASTS_S  # from the sign-in on
    provider: Account | None = None  # of OpenID Connect
    rates: Rates = field(default_factory=Rates)

    @cached_property
    def open_id_connect(self) -> OpenIdConnect | None:
        return sign_in_with(self.provider, self.vault, public_url=self.public_url)

    @cached_property
    def callers(self) -> Callers:
        return Callers(
            self.store,
            proxies=self.proxies,
            cookie=self.signing_in.cookie,
            uses=self.key_uses,
            rates=self.rates,
        )

    @cached_property
    def key_uses(self) -> KeyUses:
        return KeyUses(self.store.people)

    @cached_property
    def signing_in(self) -> SigningIn:
        return SigningIn.of(
            self.store, self.ledger, self.vault, public_url=self.public_url, lasts_s=self.session_lasts_s
        )

    @cached_property
    def model_calls(self) -> ModelCalls:
        return ModelCalls(self.predictions_url or self.public_url)

    @cached_property
    def permits(self) -> Permits:
        return Permits(self.store, Refusals(self.ledger))


def create_app(deps: Deps) -> web.Application:
    """The management API. Bodies are read by `body.read` and `body.chunks`, which carry their own limits."""
    gate = Gate(deps.callers, deps.permits)
    app = web.Application(middlewares=[identify, explain])
    app.on_cleanup.append(deps.model_calls.close)
    app.on_cleanup.append(deps.signing_in.refused.close)
    if deps.open_id_connect is not None:
        app.on_cleanup.append(deps.open_id_connect.close)
    for route in routes(deps):
        handler = route.handler if route.action is None else gate.guard(route.handler, route.action)
        app.router.add_route(route.method, route.path, handler, expect_handler=meet_expectation)
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, handler, expect_handler=meet_expectation)
    return app


def routes(deps: Deps) -> list[Route]:
    """Every route of the API. One without an action is open to everyone."""
    store, ledger, observed = deps.store, deps.ledger, deps.observed
    publisher = Publisher(store, ledger, deps.permits, tokens=deps.vault, variables=deps.variables)
    logs = Logs(observed)
    resources: tuple[Resource, ...] = (
        Platform(store, observed, version=deps.version),
        Projects(store, ledger, deps.permits),
        Snapshots(ledger, deps.blobs, deps.limits),
        Environments(store, ledger, deps.permits),
        Models(store, ledger, observed, publisher, public_url=deps.public_url),
        Versions(store, ledger, observed, publisher),
        ModelSettings(store, ledger, deps.variables),
        Canaries(store, ledger, observed, public_url=deps.public_url),
        logs,
        Tokens(store, ledger, deps.vault),
        Sharing(store, ledger, observed, public_url=deps.public_url),
        Invocation(store, ledger, deps.vault, deps.model_calls),
        ProjectSharing(store, ledger, deps.permits),
        Commits(deps.blobs),
        ResourceQuotas(store, ledger),
        CentralConfiguration(store, ledger),
        Audit(store, deps.permits, deps.evidence, deps.witness),
        CallRecords(store, deps.calls),
        Control(store, ledger, observed, logs, deps.permits),
        FlatPublishing(observed, publisher, public_url=deps.public_url),
        ProjectFiles(store, ledger, deps.blobs, deps.limits),
        Choices(store),
        OldProjects(store, ledger, deps.permits),
        ProjectCollaborators(store, ledger),
        ProjectTags(store, ledger, deps.permits),
        *_of_people(deps),
        OpenIdConnectSignIn(deps.open_id_connect, store, ledger, signing_in=deps.signing_in, callers=deps.callers),
    )
    found = [route for resource in resources for route in resource.routes()]
    documentation = Documentation(found, version=deps.version, cookie=deps.signing_in.cookie.name)
    return [*found, *documentation.routes()]


def _of_people(deps: Deps) -> tuple[Resource, ...]:
    store, ledger, callers, permits = deps.store, deps.ledger, deps.callers, deps.permits
    changes = PersonChanges(ledger, callers)
    provider = None if deps.open_id_connect is None else deps.open_id_connect.name
    return (
        CurrentSession(store, ledger, deps.signing_in, callers, provider=provider),
        Accounts(store, permits, changes, deps.signing_in),
        ApiKeys(store, permits, changes),
        BrowserSessions(changes),
        Organisations(store, ledger, callers),
    )


async def serve(deps: Deps, stop: Stop, *, host: str, port: int) -> None:
    """Answer on `host`:`port` until `stop`; what is being answered then may end first."""
    runner = Runner(create_app(deps), shutdown_s=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await deps.key_uses.run(stop)
    finally:
        await runner.cleanup()
        await deps.key_uses.write()
