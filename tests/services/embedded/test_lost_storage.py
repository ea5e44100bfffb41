"""Somebody deletes the bus's storage while it runs: it is started again, empty, and takes what is new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx

from services.core.errors import Unavailable
from services.core.records import Heartbeat
from services.core.subjects import Bucket
from services.embedded import credentials
from services.embedded.revival import StreamFolders
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.config import BusConfig, Secret
from services.kit.setup import create_all
from tests.parts import wait_until, wait_until_async
from tests.services.embedded.conftest import Servers


def times_asked(servers: Servers) -> int:
    """How often the supervisor has asked NATS how it is: each time, it has looked at the streams before."""
    settings = json.loads((servers.home / "config" / "nats.conf").read_text())
    said = httpx.get(f"http://{settings['http']}{settings['http_base_path']}/varz").json()
    return sum(times for path, times in said["http_req_stats"].items() if path.endswith("/healthz"))


async def test_a_bus_whose_storage_is_deleted_is_started_again(servers: Servers) -> None:
    password = credentials.read(credentials.bus_password(servers.home, "api"))
    url = f"nats://127.0.0.1:{servers.ports.nats}"
    bus = await Bus.connect(BusConfig(nats_url=url, nats_user="api", nats_password=Secret(password)))
    await create_all(bus)
    before = servers.state("nats").pid
    streams = servers.home / "nats" / "jetstream" / "$G" / "streams"
    await wait_until(lambda: len(list(streams.iterdir())) >= len(Bucket), what="the streams are on disk")
    asked = times_asked(servers)
    await wait_until(lambda: times_asked(servers) > asked, 20, what="the supervisor has looked at them")
    shutil.rmtree(servers.home / "nats" / "jetstream")
    await wait_until(lambda: servers.state("nats").pid not in {0, before}, 30, what="nats was started again")

    async def takes_what_is_new() -> bool:
        beat = Heartbeat(revision=1, service="api", service_id="api-1", at=now(), started_at=now())
        try:
            await create_all(bus)
            return await bus.bucket(Bucket.HEARTBEATS, Heartbeat).put("api.api-1", beat)
        except Unavailable:
            return False

    await wait_until_async(takes_what_is_new, 30, what="the bus takes what is new")
    await bus.close()


def test_only_a_folder_that_went_away_under_the_same_server_is_a_loss(tmp_path: Path) -> None:
    streams = tmp_path / "jetstream" / "$G" / "streams"
    folders = StreamFolders(tmp_path)
    assert not folders.has_lost_one(1)
    (streams / "EVENTS").mkdir(parents=True)
    assert not folders.has_lost_one(1)
    (streams / "EVENTS").rename(tmp_path / "moved")
    (streams / "EVENTS").mkdir()
    assert folders.has_lost_one(1)
    (streams / "EVENTS").rmdir()
    assert not folders.has_lost_one(2)
