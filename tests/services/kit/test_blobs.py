from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from services.core.errors import Invalid, NotFound, TooLarge, Unavailable
from services.core.ids import Digest
from services.core.records import Bundle, Manifest
from services.kit.blobs import Blobs

ABSENT = Digest("0" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(folder: Path) -> Blobs:
    return Blobs(f"file://{folder}")


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"a", b"x" * 3_000_000])
async def test_a_blob_comes_back_as_it_was_put_under_its_digest(blobs: Blobs, data: bytes, tmp_path: Path) -> None:
    digest = await blobs.put(data)
    assert digest == digest_of(data)
    assert await blobs.get(digest) == data
    await blobs.fetch(digest, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert await blobs.sizes([digest, ABSENT]) == {digest: len(data)}


async def test_a_file_is_stored_under_the_digest_of_its_content(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"y" * 2_500_000)
    digest = await blobs.put_file(tmp_path / "file")
    assert digest == digest_of(b"y" * 2_500_000)
    assert await blobs.get(digest) == b"y" * 2_500_000
    assert await blobs.put_file(tmp_path / "file") == digest


async def test_an_upload_with_the_right_digest_is_stored(blobs: Blobs) -> None:
    await blobs.put_as(digest_of(b"ab"), pieces(b"a", b"b"), limit_bytes=2)
    assert await blobs.get(digest_of(b"ab")) == b"ab"


async def test_an_upload_with_another_digest_is_refused_and_leaves_nothing(blobs: Blobs, folder: Path) -> None:
    with pytest.raises(Invalid):
        await blobs.put_as(ABSENT, pieces(b"a" * 8_000_000, b"b"), limit_bytes=10_000_000)
    assert await blobs.sizes([ABSENT]) == {}
    assert files_in(folder) == []


async def test_an_upload_past_its_limit_is_refused_and_leaves_nothing(blobs: Blobs, folder: Path) -> None:
    with pytest.raises(TooLarge):
        await blobs.put_as(digest_of(b"abc"), pieces(b"ab", b"c"), limit_bytes=2)
    assert files_in(folder) == []


async def test_an_aborted_upload_leaves_nothing_and_its_error_comes_through(blobs: Blobs, folder: Path) -> None:
    async def aborted() -> AsyncIterator[bytes]:
        yield b"a" * 8_000_000
        raise ConnectionResetError("gone")

    with pytest.raises((ConnectionResetError, Unavailable)):
        await blobs.put_as(ABSENT, aborted(), limit_bytes=10_000_000)
    assert files_in(folder) == []


async def test_the_same_blob_uploaded_at_the_same_time_is_stored_once(blobs: Blobs, folder: Path) -> None:
    data = b"z" * 6_000_000
    uploads = (blobs.put_as(digest_of(data), pieces(data), limit_bytes=len(data)) for _ in range(6))
    await asyncio.gather(*uploads)
    assert await blobs.get(digest_of(data)) == data
    assert len(files_in(folder)) == 1


async def test_a_blob_nobody_stored_is_not_found(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await blobs.get(ABSENT)
    with pytest.raises(NotFound):
        await blobs.fetch(ABSENT, tmp_path / "copy")
    assert leftovers(tmp_path) == []


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob("*copy*"))


async def test_a_damaged_blob_is_never_handed_out(blobs: Blobs, folder: Path, tmp_path: Path) -> None:
    digest = await blobs.put(b"precious")
    (file,) = files_in(folder)
    file.write_bytes(b"PRECIOUS")
    with pytest.raises(NotFound, match="damaged"):
        await blobs.get(digest)
    with pytest.raises(NotFound, match="damaged"):
        await blobs.fetch(digest, tmp_path / "copy")
    assert leftovers(tmp_path) == []


async def test_a_blob_cut_short_by_a_power_cut_is_written_again(blobs: Blobs, folder: Path) -> None:
    digest = await blobs.put(b"precious")
    (file,) = files_in(folder)
    file.write_bytes(b"")
    assert await blobs.sizes([digest]) == {}
    await blobs.put(b"precious")
    assert await blobs.get(digest) == b"precious"


async def test_what_is_no_digest_is_refused(blobs: Blobs) -> None:
    for digest in ("", "../../etc/passwd", "A" * 64):
        with pytest.raises(Invalid):
            await blobs.get(Digest(digest))


async def test_of_racing_claims_one_wins_and_everyone_learns_which(folder: Path) -> None:
    stores = [Blobs(f"file://{folder}") for _ in range(4)]
    claims = (stores[n % 4].claim("locks/numpy", f"lock {n}".encode()) for n in range(20))
    answers = set(await asyncio.gather(*claims))
    assert len(answers) == 1
    assert await stores[0].claim("locks/numpy", b"late") in answers


async def test_a_claim_torn_by_a_power_cut_is_made_again(blobs: Blobs, folder: Path) -> None:
    await blobs.claim("locks/numpy", b"lock")
    (file,) = files_in(folder)
    file.write_bytes(b"")
    assert await blobs.claim("locks/numpy", b"again") == b"again"
    assert await blobs.claim("locks/numpy", b"late") == b"again"


async def test_a_claims_name_cannot_leave_its_place(blobs: Blobs) -> None:
    for name in ("", "../x", "a//b", "/a", "a/../../b"):
        with pytest.raises(Invalid):
            await blobs.claim(name, b"")


async def test_equal_documents_have_equal_digests_and_come_back_equal(blobs: Blobs) -> None:
    bundle = Bundle(files=ABSENT, environment=ABSENT, lock=ABSENT, python="3.11", harness_version="1")
    digest = await blobs.put_document(bundle)
    assert digest == await blobs.put_document(msgspec.structs.replace(bundle))
    assert await blobs.get_document(digest, Bundle) == bundle


async def test_a_document_of_another_kind_is_invalid(blobs: Blobs) -> None:
    with pytest.raises(Invalid):
        await blobs.get_document(await blobs.put(b"no json"), Manifest)


async def test_a_store_that_cannot_be_written_is_unavailable(blobs: Blobs, folder: Path) -> None:
    (folder / "sha256").write_text("in the way")
    with pytest.raises(Unavailable):
        await blobs.put(b"a")


async def test_what_is_kept_or_stored_again_counts_as_just_used_and_is_not_taken_away(tmp_path: Path) -> None:
    blobs = Blobs(f"file://{tmp_path}")
    kept, stored, file, unused = [await blobs.put(content) for content in (b"k", b"s", b"f", b"u")]
    for path in (tmp_path / "sha256").glob("*/*"):
        os.utime(path, (0, 0))
    since = datetime.now(UTC) - timedelta(minutes=1)

    assert await blobs.keep([kept, Digest("0" * 64)]) == {kept: 1}
    await blobs.put(b"s")
    (tmp_path / "f").write_bytes(b"f")
    await blobs.put_file(tmp_path / "f")

    held = {each.name: each for each in await blobs.ages.held()}
    assert set(held) == {kept, stored, file, unused}
    for digest in held:
        assert await blobs.ages.take_away(digest, unused_since=since) is (digest == unused)
    assert set(await blobs.sizes(held)) == {kept, stored, file}  # type: ignore[arg-type]


async def test_in_an_object_store_nothing_is_held_to_be_collected() -> None:
    blobs = Blobs("memory:///")
    digest = await blobs.put(b"x")
    assert await blobs.keep([digest]) == {digest: 1}
    assert not blobs.ages.is_kept
    assert await blobs.ages.held() == []
    assert not await blobs.ages.take_away(digest, unused_since=datetime.now(UTC))
