"""This file holds the api as a client meets it: on a free port, over a real database and real blobs.

Only what is observed of running instances is said by the test, in a `SaidToBe`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from cryptography.fernet import Fernet

from services.api.bootstrap import bootstrap
from services.api.http.app import Deps, create_app
from services.api.http.rates import Rates
from services.api.ledger import MongoLedger
from services.api.ports import ServiceSeen
from services.api.store.database import connect, prepare
from services.api.store.store import MongoStore
from services.core.calls import Call
from services.core.errors import Unavailable
from services.core.ids import AggregateId, VersionId
from services.core.lifecycle import Seen, Version
from services.core.pace import Pace
from services.core.records import LogLine, Traffic
from services.core.snapshot import SnapshotLimits
from services.kit.blobs import Blobs
from services.kit.clock import now
from services.kit.config import Secret
from services.kit.read_log import PlacedLine
from services.kit.vault import Vault
from tests.parts import Database
from tests.services.api.http.cast import Stage, assemble
from tests.services.api.http.client import Client
from tests.services.api.http.conformance import Conformance

ADMINISTRATOR = "ada"
API_KEY = "the-key-of-the-administrator"
PUBLIC_URL = "http://models.example"
LIMITS = SnapshotLimits(files=50, total_bytes=3000, file_bytes=2000)


class SaidToBe:
    """What is observed, as the test says it is."""

    def __init__(self) -> None:
        self.versions: dict[VersionId, Seen] = {}
        self.measured: dict[VersionId, Traffic] = {}
        self.logs: dict[str, list[LogLine]] = {}
        self.beating: list[ServiceSeen] = []
        self.rejected: dict[str, str] = {}
        self.is_connected = True

    def seen(self, version: Version) -> Seen:
        return self.versions.get(version.id, Seen())

    def traffic(self, version_id: VersionId) -> Traffic | None:
        return self.measured.get(version_id)

    def services(self) -> Sequence[ServiceSeen]:
        return self.beating

    def rejected_configurations(self) -> Mapping[str, str]:
        return self.rejected

    @property
    def is_bus_connected(self) -> bool:
        return self.is_connected

    async def read_log(self, subject: str, *, limit: int, after_ns: int) -> list[PlacedLine]:
        return self._behind(subject, after_ns)[:limit]

    async def read_end(self, subject: str, *, limit: int, after_ns: int) -> list[PlacedLine]:
        return self._behind(subject, after_ns)[-limit:]

    def _behind(self, subject: str, after_ns: int) -> list[PlacedLine]:
        """The places are the lines' own times, a nanosecond apart where they are the same."""
        placed: list[PlacedLine] = []
        last = 0
        for line in sorted(self.logs.get(subject, []), key=lambda line: line.at):
            last = max(last + 1, round(line.at.timestamp() * 1e6) * 1000)
            placed.append(PlacedLine(at=line.at, text=line.text, stream=line.stream, place_ns=last))
        return [line for line in placed if line.place_ns > after_ns]


class SaidOnTheBus:
    """What was recorded of calls and checkpoints, as the test says it was."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.known: dict[int, frozenset[str]] = {}
        self.is_away = False

    async def find(self, model_id: AggregateId, request_id: str, *, within: timedelta) -> list[Call]:
        return [each for each in self.calls if (each.model_id, each.request_id) == (model_id, request_id)]

    async def seals(self) -> Mapping[int, frozenset[str]]:
        if self.is_away:
            raise Unavailable("the bus is away")
        return self.known


@pytest.fixture
def said() -> SaidOnTheBus:
    return SaidOnTheBus()


@pytest.fixture
def observed() -> SaidToBe:
    return SaidToBe()


@pytest.fixture
def deps(store: MongoStore, ledger: MongoLedger, observed: SaidToBe, said: SaidOnTheBus, tmp_path: Path) -> Deps:
    return _deps(store, ledger, observed, said, tmp_path)


def _deps(store: MongoStore, ledger: MongoLedger, observed: SaidToBe, said: SaidOnTheBus, folder: Path) -> Deps:
    return Deps(
        store=store,
        evidence=store.evidence,
        witness=said,
        ledger=ledger,
        observed=observed,
        calls=said,
        blobs=Blobs(f"file://{folder}/blobs"),
        vault=new_vault(),
        variables=new_vault(),
        public_url=PUBLIC_URL,
        predictions_url="http://127.0.0.1:1",  # nobody answers there
        version="0.1.0",
        limits=LIMITS,
    )


@pytest_asyncio.fixture
async def api(deps: Deps, store: MongoStore, ledger: MongoLedger) -> AsyncIterator[Client]:
    """The administrator's client of a new platform."""
    await bootstrap(ledger, store, user_name=ADMINISTRATOR, api_key=Secret(API_KEY))
    app, conformance = create_app(deps), Conformance(deps)
    conformance.watch(app)
    server = TestServer(app)
    await server.start_server()
    async with ClientSession(server.make_url("/"), json_serialize=_encode) as session:
        yield Client(session, API_KEY)
    await server.close()
    assert not conformance.faults


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(database: Database, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One api, with somebody in every role, for all tests of a file: those that take `stage` share its things."""
    connection = connect(database.url)
    store = MongoStore(connection, connection["stage"])
    await prepare(connection["stage"])
    ledger, folder = MongoLedger(store, deployer_id="local", clock=now), tmp_path_factory.mktemp("stage")
    unhurried = Rates(Pace(burst=1, every_s=0), strangers=Pace(burst=1, every_s=0))
    deps = replace(_deps(store, ledger, SaidToBe(), SaidOnTheBus(), folder), rates=unhurried)
    cast = await assemble(ledger, deps.blobs)
    app, conformance = create_app(deps), Conformance(deps)
    conformance.watch(app)
    server = TestServer(app)
    await server.start_server()
    async with ClientSession(server.make_url("/"), json_serialize=_encode) as session:
        yield Stage(cast, Client(session, None), deps)
    await server.close()
    connection.close()
    assert not conformance.faults


def new_vault() -> Vault:
    return Vault.from_text(Secret(Fernet.generate_key().decode()), "KEYS")


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()
