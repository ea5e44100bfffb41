"""A store of blobs on a disk that is full: writing says so and leaves nothing half there, reading goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.core.errors import NotFound, Unavailable
from services.core.ids import Digest
from services.kit.blobs import FULL_RETRY_S, Blobs
from tests.bad_days import SmallDisk, mounted

BIG = os.urandom(12 << 20)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "small", megabytes=8) as small:
        yield small


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 16):
        yield data[start : start + (1 << 16)]


def files(disk: SmallDisk) -> list[str]:
    return sorted(path.name for path in disk.path.rglob("*") if path.is_file() and path.name != ".filler")


async def test_a_blob_that_does_not_fit_is_unavailable_leaves_nothing_and_fits_later(disk: SmallDisk) -> None:
    blobs = Blobs(f"file://{disk.path}/blobs")
    kept = await blobs.put(b"kept")
    before = files(disk)
    digest = Digest(hashlib.sha256(BIG).hexdigest())
    copy = disk.path / "copy"
    disk.fill()
    for writing in (
        blobs.put(BIG),
        blobs.put_as(digest, pieces(BIG), len(BIG)),
        blobs.claim("locks/a", b"x" * 5000),
        blobs.fetch(kept, copy),
    ):
        with pytest.raises(Unavailable, match="the disk is full") as refused:
            await writing
        assert refused.value.retry_after_s == FULL_RETRY_S
        assert str(disk.path) not in refused.value.reason
    assert files(disk) == before
    assert await blobs.get(kept) == b"kept"
    disk.free()
    assert await blobs.claim("locks/a", b"second") == b"second"
    await blobs.fetch(kept, copy)
    assert copy.read_bytes() == b"kept"
    with pytest.raises(NotFound):
        await blobs.get(digest)
