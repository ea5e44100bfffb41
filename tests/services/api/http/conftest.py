"""This file holds the api as a client meets it: on a free port, over a real database and real blobs.

Only what is observed of running instances is said by the test, in a `SaidToBe`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
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
from services.api.ledger import MongoLedger
from services.api.ports import ServiceSeen
from services.api.secrets import TokenVault
from services.api.store.store import MongoStore
from services.core.ids import VersionId
from services.core.lifecycle import Seen, Version
from services.core.records import LogLine
from services.core.snapshot import SnapshotLimits
from services.kit.blobs import Blobs
from services.kit.config import Secret
from tests.services.api.http.client import Client

ADMINISTRATOR = "ada"
API_KEY = "the-key-of-the-administrator"
PUBLIC_URL = "http://models.example"
LIMITS = SnapshotLimits(files=50, total_bytes=3000, file_bytes=2000)


class SaidToBe:
    """What is observed, as the test says it is."""

    def __init__(self) -> None:
        self.versions: dict[VersionId, Seen] = {}
        self.logs: dict[str, list[LogLine]] = {}
        self.beating: list[ServiceSeen] = []
        self.rejected: dict[str, str] = {}
        self.is_connected = True

    def seen(self, version: Version) -> Seen:
        return self.versions.get(version.id, Seen())

    def services(self) -> Sequence[ServiceSeen]:
        return self.beating

    def rejected_configurations(self) -> Mapping[str, str]:
        return self.rejected

    @property
    def is_bus_connected(self) -> bool:
        return self.is_connected

    async def read_log(self, subject: str, *, since: datetime | None, limit: int) -> list[LogLine]:
        lines = self.logs.get(subject, [])
        return [line for line in lines if since is None or line.at >= since][-limit:]


@pytest.fixture
def observed() -> SaidToBe:
    return SaidToBe()


@pytest.fixture
def deps(store: MongoStore, ledger: MongoLedger, observed: SaidToBe, tmp_path: Path) -> Deps:
    return Deps(
        store=store,
        evidence=store,
        ledger=ledger,
        observed=observed,
        blobs=Blobs(f"file://{tmp_path}/blobs"),
        vault=TokenVault.from_text(Secret(Fernet.generate_key().decode())),
        public_url=PUBLIC_URL,
        version="0.1.0",
        limits=LIMITS,
    )


@pytest_asyncio.fixture
async def api(deps: Deps, store: MongoStore, ledger: MongoLedger) -> AsyncIterator[Client]:
    """The administrator's client of a new platform."""
    await bootstrap(ledger, store, user_name=ADMINISTRATOR, api_key=Secret(API_KEY))
    server = TestServer(create_app(deps))
    await server.start_server()
    async with ClientSession(server.make_url("/"), json_serialize=_encode) as session:
        yield Client(session, API_KEY)
    await server.close()


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()
