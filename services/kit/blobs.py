"""This file is the store of blobs: named by what they contain, so they never change and may be checked
anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import obstore
import obstore.exceptions
import obstore.store

from services.core.errors import Invalid, NotFound, TooLarge, Unavailable
from services.core.ids import Digest, is_bus_token, is_digest
from services.kit.blob_ages import BlobAges

T = TypeVar("T", bound=msgspec.Struct)

_CHUNK_BYTES = 1 << 20
_HEADS_AT_ONCE = 32
FULL_RETRY_S = 10.0  # somebody has to make room first
_FULL = os.strerror(errno.ENOSPC)  # obstore has a type for it neither
_EMPTY = Digest(hashlib.sha256(b"").hexdigest())


class Blobs:
    """Content-addressed blobs in a directory or an object store, as `BLOBS_URL` names it.

    Every write is atomic: a blob is whole or not there; in a directory it is synced before it counts as
    written. Every read is checked against the digest. All methods raise `Unavailable` when the store
    does not answer.
    """

    def __init__(self, url: str) -> None:
        self._folder = Path(url.removeprefix("file://")) if url.startswith("file://") else None
        self.ages = BlobAges(None if self._folder is None else self._folder / "sha256")
        self._store: obstore.store.ObjectStore = (
            obstore.store.from_url(url) if self._folder is None else obstore.store.LocalStore(self._folder, mkdir=True)
        )

    async def put(self, data: bytes) -> Digest:
        """Store `data`; storing it twice is storing it once."""
        digest = _digest(data)
        if not await self._is_kept(digest, len(data)):
            await self._write(digest, _once(data))
        return digest

    async def put_file(self, path: Path) -> Digest:
        """Store the content of a file, which must not change meanwhile."""
        digest = await asyncio.to_thread(_file_digest, path)
        size = (await asyncio.to_thread(path.stat)).st_size
        if not await self._is_kept(digest, size):
            await self._write(digest, _verified(_read(path), digest))
        return digest

    async def put_as(self, digest: Digest, stream: AsyncIterator[bytes], limit_bytes: int) -> None:
        """Store what `stream` gives if it has that digest. Raises `Invalid` if not, `TooLarge` past the
        limit.
        """
        await self._write(digest, _verified(_limited(stream, limit_bytes), digest))

    async def get(self, digest: Digest) -> bytes:
        """The whole blob. Raises `NotFound`, also for one that is damaged."""
        return b"".join([chunk async for chunk in self._stream(digest)])

    async def fetch(self, digest: Digest, path: Path) -> None:
        """Write the blob to `path`, which appears whole or not at all. Raises `NotFound` as `get` does."""
        with _translated(f"copy the blob {digest}"):
            handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    async for chunk in self._stream(digest):
                        file.write(chunk)
                    file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise

    async def sizes(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """How many bytes each of `digests` has, of those that are stored."""
        if self._folder is not None:
            return await asyncio.to_thread(_sizes_in, self._folder, set(digests))
        waiting = iter(set(digests))  # shared by the lookers, so that a hundred thousand are not a task each
        found: dict[Digest, int] = {}

        async def look() -> None:
            for digest in waiting:
                if (size := await self._size(digest)) is not None:
                    found[digest] = size

        async with asyncio.TaskGroup() as lookers:
            for _ in range(_HEADS_AT_ONCE):
                lookers.create_task(look())
        return found

    async def keep(self, digests: Iterable[Digest]) -> dict[Digest, int]:
        """Like `sizes`; those count as just used from now on, so that collection spares them for its grace."""
        sizes = await self.sizes(digests)
        kept = await self.ages.mark_used(sizes)
        return {digest: size for digest, size in sizes.items() if digest in kept}

    async def claim(self, name: str, data: bytes) -> bytes:
        """Write-once by name: the first writer's bytes, for everyone. `name` is bus tokens joined by `/`;
        `data` is not empty."""
        if not all(is_bus_token(part) for part in name.split("/")):
            raise Invalid(f"not a name for a claim: {name!r}")
        path = f"claims/{name}"
        with _translated(f"claim {name}"):
            try:
                await obstore.put_async(self._store, path, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                result = await obstore.get_async(self._store, path)
                if winner := bytes(await result.bytes_async()):
                    return winner
                # An empty one was torn by a power cut before anybody was told that it had won.
                await obstore.put_async(self._store, path, data)
            await self._sync(path)
            return data

    async def claimed(self, name: str) -> bytes | None:
        """What the first writer claimed under `name`, or None while nobody has."""
        with _translated(f"read the claim {name}"):
            try:
                result = await obstore.get_async(self._store, f"claims/{name}")
                return bytes(await result.bytes_async())
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return None

    async def put_document(self, document: msgspec.Struct) -> Digest:
        """Store a struct as JSON with sorted keys: equal documents have equal digests."""
        return await self.put(msgspec.json.encode(document, order="deterministic"))

    async def get_document(self, digest: Digest, type: type[T]) -> T:
        """The document. Raises `NotFound`, or `Invalid` if it is something else."""
        try:
            return msgspec.json.decode(await self.get(digest), type=type)
        except msgspec.MsgspecError as error:
            raise Invalid(f"the blob {digest} is not a {type.__name__}: {error}") from error

    async def _write(self, digest: Digest, content: AsyncIterator[bytes]) -> None:
        # A content that raises at its end leaves nothing behind: obstore makes the object visible only
        # afterwards.
        path = _path(digest)
        with _translated(f"store the blob {digest}"):
            await obstore.put_async(self._store, path, content)
            await self._sync(path)

    async def _sync(self, path: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_sync_file_and_folder, self._folder / path)

    async def _is_there(self, digest: Digest, size: int) -> bool:
        # After a power cut a file may be there and short; then it is written again.
        return await self._size(digest) == size

    async def _size(self, digest: Digest) -> int | None:
        """None when there is no such blob, also for one that a power cut left empty."""
        with _translated(f"look for the blob {digest}"):
            try:
                size = (await obstore.head_async(self._store, _path(digest)))["size"]
            except (obstore.exceptions.NotFoundError, FileNotFoundError):
                return None
        return size if _is_possible(digest, size) else None

    async def _is_kept(self, digest: Digest, size: int) -> bool:
        if not await self._is_there(digest, size):
            return False
        return bool(await self.ages.mark_used([digest]))

    async def _stream(self, digest: Digest) -> AsyncIterator[bytes]:
        hasher = hashlib.sha256()
        with _translated(f"read the blob {digest}"):
            try:
                result = await obstore.get_async(self._store, _path(digest))
            except (obstore.exceptions.NotFoundError, FileNotFoundError) as error:
                raise NotFound(f"there is no blob {digest}") from error
            async for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
                data = bytes(chunk)
                hasher.update(data)
                yield data
        if hasher.hexdigest() != digest:
            raise NotFound(f"the blob {digest} is damaged")


@contextlib.contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (obstore.exceptions.BaseError, OSError) as error:
        if _FULL in str(error):
            raise Unavailable(f"could not {doing}: the disk is full", retry_after_s=FULL_RETRY_S) from error
        raise Unavailable(f"could not {doing}: {str(error).splitlines()[0]}") from error


def _path(digest: Digest) -> str:
    if not is_digest(digest):
        raise Invalid(f"not a digest: {digest[:80]!r}")
    return f"sha256/{digest[:2]}/{digest}"


def _is_possible(digest: Digest, size: int) -> bool:
    """False for a file that a power cut left empty: it counts as not there, and is written again."""
    return size > 0 or digest == _EMPTY


def _sizes_in(folder: Path, digests: Iterable[Digest]) -> dict[Digest, int]:
    """As `Blobs.sizes`, twenty times as fast as asking for each by itself."""
    found: dict[Digest, int] = {}
    for digest in digests:
        with _translated(f"look for the blob {digest}"), contextlib.suppress(FileNotFoundError):
            size = (folder / _path(digest)).stat().st_size
            if _is_possible(digest, size):
                found[digest] = size
    return found


def _digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def _file_digest(path: Path) -> Digest:
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk


async def _limited(stream: AsyncIterator[bytes], limit_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(f"a blob may have {limit_bytes} bytes")
        yield chunk


async def _verified(stream: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    hasher = hashlib.sha256()
    async for chunk in stream:
        hasher.update(chunk)
        yield chunk
    if hasher.hexdigest() != digest:
        raise Invalid(f"the content does not have the digest {digest}", field="digest")


def _sync_file_and_folder(path: Path) -> None:
    for place in (path, path.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
