"""Changes are refused before the platform's disk is full, so that nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.api.ledger import MongoLedger
from services.api.room import Room
from services.api.store.database import connect, prepare
from services.api.store.store import MongoStore
from services.api.verify import verify
from services.core.aggregates import ENVIRONMENT
from services.core.commands import CreateEnvironment, ReviseEnvironment
from services.core.errors import Unavailable
from services.core.ids import AggregateId, CommandId
from services.kit.clock import now
from tests.bad_days import SmallDisk, mounted
from tests.makers import PERSON
from tests.parts import Database, find_program, running

MEGABYTE = 1_000_000
ENVIRONMENT_ID = "9" * 24


class Disk:
    """What a file system says of itself, as the test says it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, size: int) -> None:
        self.size, self.free, self.is_lost = size, size, False
        monkeypatch.setattr("services.api.room.os.statvfs", self._statvfs)

    def _statvfs(self, path: object) -> SimpleNamespace:
        if self.is_lost:
            raise FileNotFoundError(str(path))
        return SimpleNamespace(f_bavail=self.free // 1000, f_blocks=self.size // 1000, f_frsize=1000)


def has_room(guard: Room) -> bool:
    try:
        guard.check()
    except Unavailable:
        return False
    return True


def test_a_reserve_is_kept_free_and_never_more_than_a_tenth_of_a_small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, reserve in ((1000 * MEGABYTE, 32 * MEGABYTE), (100 * MEGABYTE, 10 * MEGABYTE)):
        disk = Disk(monkeypatch, size=size)
        guard = Room(Path("/"), reserve_bytes=32 * MEGABYTE)
        disk.free = reserve
        assert has_room(guard)
        disk.free = reserve - 1000
        assert not has_room(guard)
        disk.free = reserve
        assert has_room(guard), "there is room again"


def test_what_is_refused_says_what_is_left_and_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, size=1000 * MEGABYTE)
    disk.free = 7 * MEGABYTE
    with pytest.raises(Unavailable) as refused:
        Room(Path("/"), reserve_bytes=32 * MEGABYTE).check()
    assert refused.value.reason == (
        "the platform's disk is nearly full: 7 MB left; nothing is changed until there are 32 MB"
    )
    assert refused.value.retry_after_s >= 1


def test_a_disk_that_cannot_be_asked_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, size=1000 * MEGABYTE)
    disk.free = 0
    assert not has_room(Room(Path("/")))
    disk.is_lost = True
    assert has_room(Room(Path("/")))


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    folder = Path(tempfile.mkdtemp(prefix="mw"))
    try:
        with mounted(folder / "disk", megabytes=512) as small:
            yield small
    finally:
        shutil.rmtree(folder)


def take(disk: SmallDisk, *, until_left: int) -> None:
    """Somebody else's file takes what is free, but for so many bytes."""
    found = os.statvfs(disk.path)
    descriptor = os.open(disk.path / ".filler", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, found.f_bavail * found.f_frsize - until_left)
    finally:
        os.close(descriptor)


async def keep(ledger: MongoLedger, number: int) -> None:
    command = ReviseEnvironment(revision_id=f"{number:024x}", requirements=f"# {number}" + "x" * 100_000)
    command_id = CommandId(f"revision-{number}")
    await ledger.execute(ENVIRONMENT, ENVIRONMENT_ID, command, actor=PERSON, command_id=command_id)


async def revise(ledger: MongoLedger, number: int) -> bool:
    """Whether the platform says that it keeps another revision; False when its disk is nearly full."""
    try:
        await keep(ledger, number)
    except Unavailable as error:
        if "nearly full" not in error.reason:
            raise
        return False
    return True


async def test_what_was_acknowledged_while_the_disk_filled_up_is_there_when_the_database_is_back(
    disk: SmallDisk,
) -> None:
    if find_program("secantusd-py") is None:
        pytest.skip("secantusd-py is not installed")
    database = Database(disk.path / "database")
    with running(database):
        client = connect(database.url)
        store = MongoStore(client, client["modelway"])
        await prepare(client["modelway"])
        ledger = MongoLedger(store, deployer_id="local", clock=now, room=Room(disk.path))
        created = CreateEnvironment(owner_id=AggregateId(PERSON.id), name="lean", revision_id="0" * 24)
        await ledger.execute(ENVIRONMENT, ENVIRONMENT_ID, created, actor=PERSON)
        take(disk, until_left=36 << 20)
        kept = 0
        while await revise(ledger, kept + 1):
            kept += 1
        assert kept, "there was room at first"
        assert (await store.load(ENVIRONMENT, ENVIRONMENT_ID)).latest.number == kept + 1, "what is there is shown"
        unchanged = await ledger.execute(ENVIRONMENT, ENVIRONMENT_ID, created, actor=PERSON)
        assert unchanged.latest.number == kept + 1, "what changes nothing needs no room"
        disk.fill()
        with pytest.raises(Unavailable):  # also by a database that gave up because it could not tidy up
            await keep(ledger, kept + 2)
        client.close()

        database.kill()
        disk.free()
        database.start()
        client = connect(database.url)
        store = MongoStore(client, client["modelway"])
        assert (await store.load(ENVIRONMENT, ENVIRONMENT_ID)).latest.number == kept + 1
        assert (await verify(store.evidence)).findings == []
        assert await revise(MongoLedger(store, deployer_id="local", clock=now, room=Room(disk.path)), kept + 1)
        client.close()
