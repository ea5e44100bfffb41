from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.core.routing import RoutingTable
from services.kit.bus import Bus
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.files import Folder
from services.router.haproxy.render import CONFIG, render
from tests.parts import NatsServer
from tests.services.router.parts import HAProxyProcess, Place, StandIn, haproxy_binary
from tests.services.router.world import RouterProcess, World


@contextlib.contextmanager
def some_place() -> Iterator[Place]:
    binary = haproxy_binary()
    if binary is None:
        pytest.skip("HAProxy is not installed")
    place = Place(Path(tempfile.mkdtemp(prefix="mw-", dir="/tmp")), binary)
    place.haproxy_dir.mkdir()
    try:
        yield place
    finally:
        place.close()
        shutil.rmtree(place.folder)


@contextlib.contextmanager
def started(place: Place, table: RoutingTable) -> Iterator[HAProxyProcess]:
    files = render(table, place.settings)
    for name, text in {**files.maps, CONFIG: files.config}.items():
        Folder(place.haproxy_dir).write(name, text)
    process = HAProxyProcess(place)
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.fixture
def place() -> Iterator[Place]:
    """A short folder, and free ports, for one HAProxy."""
    with some_place() as place:
        yield place


@pytest.fixture
def haproxy(place: Place) -> Iterator[HAProxyProcess]:
    """HAProxy on its first configuration."""
    with started(place, RoutingTable()) as process:
        yield process


@pytest.fixture
def data_plane(place: Place, haproxy: HAProxyProcess) -> HAProxy:
    return place.data_plane()


@pytest.fixture
def stand_in(place: Place) -> Iterator[StandIn]:
    """Two workers in one process."""
    stand_in = StandIn(place.folder, "one.0", "two.0")
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest_asyncio.fixture
async def client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=place.url, timeout=20) as client:
        yield client


@pytest.fixture
def router(place: Place, haproxy: HAProxyProcess, nats_server: NatsServer) -> Iterator[RouterProcess]:
    router = RouterProcess(place, nats_server)
    router.start()
    yield router
    router.stop()


@pytest.fixture
async def world(bus: Bus, stand_in: StandIn) -> World:
    return World(bus, stand_in)
