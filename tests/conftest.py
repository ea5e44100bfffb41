"""This file holds the fixtures that tests of several services share: real parts, each test its own."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from services.kit.bus import Bus
from services.kit.process import Stop
from services.kit.setup import create_all
from tests.instances import Bench, harness_processes
from tests.parts import Database, NatsServer, find_program, running


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """An empty nats-server without users, which the test may kill and start again."""
    server = NatsServer(tmp_path / "nats")
    with running(server):
        yield server


@pytest_asyncio.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """Connected to `nats_server`, with all streams, buckets and consumers made."""
    bus = await Bus.connect(nats_server.config("test"))
    await create_all(bus)
    yield bus
    await bus.close()


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Set when the test ends, so that works end too."""
    stop = Stop()
    yield stop
    stop.set()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An empty database for the tests of one file, which should each use a database name of their own."""
    if find_program("secantusd-py") is None:
        pytest.skip("secantusd-py is not installed")
    part = Database(tmp_path_factory.mktemp("database"))
    with running(part):
        yield part


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """What was logged during the test."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Folders, blobs and an environment to run instances in; nothing may live in them when the test ends."""
    with tempfile.TemporaryDirectory(prefix="mw-") as sockets:
        yield Bench(tmp_path / "bench", Path(sockets))
    left = harness_processes(tmp_path / "bench" / "instances")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"instances left behind: {left}"
