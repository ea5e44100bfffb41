"""This file is the deployer and monitor under test, started and ended with each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from services.deployer.__main__ import stop_all
from services.deployer.config import FoldersConfig
from services.kit.bus import Bus
from tests.instances import Bench
from tests.parts import NatsServer
from tests.services.deployer.parts import Platform


@pytest_asyncio.fixture
async def platform(bus: Bus, nats_server: NatsServer, bench: Bench, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(bus, nats_server, bench, tmp_path / "services")
    await platform.start()
    yield platform
    for service in (platform.deployer, platform.monitor):
        await asyncio.to_thread(service.stop)
    await stop_all(FoldersConfig(instances_dir=bench.instances_dir, sockets_dir=bench.sockets_dir))
    for service in (platform.deployer, platform.monitor):
        assert "Traceback" not in service.output, service.output
