"""The disk of a home fills up under its servers: they come back by themselves once there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pymongo
import pytest
from pymongo.errors import PyMongoError

from services.core.errors import Unavailable
from services.core.records import Heartbeat
from services.core.subjects import Bucket
from services.embedded import credentials
from services.embedded.database import NAME
from services.embedded.home import open_home
from services.embedded.ports import Ports, free_port
from services.kit.bucket import KeyValue
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.config import BusConfig, Secret
from services.kit.setup import create_all
from tests.bad_days import SmallDisk, mounted
from tests.parts import wait_until, wait_until_async
from tests.services.embedded.conftest import FRONT, Servers, short_folder

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with short_folder() as root, mounted(root, megabytes=96) as small:
        yield small


@pytest.fixture
def cramped(disk: SmallDisk) -> Iterator[Servers]:
    """Servers in a home on a small disk."""
    home = open_home(disk.path)
    ports = Ports(public=free_port(), api=free_port(), nats=0, database=0, health={})
    (home / "haproxy" / "haproxy.cfg").write_text(FRONT.format(port=ports.public))
    servers = Servers(home, ports)
    servers.start()
    yield servers
    disk.free()
    servers.supervisor.stop(within_s=40)


def write_to_database(servers: Servers, value: int) -> bool:
    url = credentials.read(servers.home / "secrets" / "database-url")
    with pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000) as client:
        try:
            client[NAME]["things"].insert_one({"_id": value, "text": "x" * 100_000})
        except PyMongoError:
            return False
    return True


def heartbeat(revision: int) -> Heartbeat:
    return Heartbeat(revision=revision, service="api", service_id="api-1", at=now(), started_at=now())


async def is_put(beats: KeyValue[Heartbeat], revision: int) -> bool:
    try:
        return await beats.put("api.api-1", heartbeat(revision))
    except Unavailable:
        return False


async def test_servers_that_a_full_disk_has_broken_are_started_again_once_there_is_room(
    cramped: Servers, disk: SmallDisk
) -> None:
    password = credentials.read(credentials.bus_password(cramped.home, "api"))
    bus = await Bus.connect(
        BusConfig(nats_url=f"nats://127.0.0.1:{cramped.ports.nats}", nats_user="api", nats_password=Secret(password))
    )
    await create_all(bus)
    beats = bus.bucket(Bucket.HEARTBEATS, Heartbeat)
    assert await beats.put("api.api-1", heartbeat(1))
    assert write_to_database(cramped, 0)
    before = {name: cramped.state(name).pid for name in ("nats", "database")}

    disk.fill()
    refused_at = 2
    while await is_put(beats, refused_at):
        refused_at += 1
    kept = 0
    while await asyncio.to_thread(write_to_database, cramped, kept + 1):
        kept += 1
    assert {name: cramped.state(name).pid for name in before} == before, "nothing is gained while it is full"

    disk.free()
    await wait_until_async(lambda: is_put(beats, 1_000_000), 40, what="the bus takes what is new")
    await wait_until(lambda: write_to_database(cramped, 1_000_000), 40, what="the database takes what is new")
    url = credentials.read(cramped.home / "secrets" / "database-url")
    with pymongo.MongoClient[dict[str, object]](url) as client:
        found = {document["_id"] for document in client[NAME]["things"].find({}, {"_id": 1})}
    # SecantusDB acknowledges the write that fills the disk and may lose it, in a transaction too. Here it is written to
    # as it is; api refuses changes before it comes to that, which tests/services/api/test_room.py holds it to.
    assert found >= {*range(kept), 1_000_000}
    await bus.close()
