"""This file is the archive as a file: written as a stream, and read as one, in little memory whatever is in it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import secrets
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from services.api.backup.records import BLOBS, DOCUMENTS, BadArchive
from services.api.store.whole import Stored, unpacked
from services.core.errors import Invalid

T = TypeVar("T")

CHUNK_BYTES = 4 << 20
MEMBER_BYTES = 1 << 26  # of one with documents: more than any that is written
_QUICK = 1  # of gzip's levels: a tenth larger than the usual one, in a third of the time
_MODE = 0o600
_TORN = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


class Writer:
    """Writes one archive. `opened` puts it in its place when it is whole."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._documents = io.BytesIO()
        self._members = 0
        self.sha256: dict[str, str] = {}

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[Writer]:
        """Until the end of it `path` is what it was. Raises OSError."""
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with (
                    gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_QUICK, mtime=0, filename="") as packed,
                    tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
                ):
                    yield cls(tar)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def add(self, name: str, data: bytes) -> None:
        """A member that is noted with its SHA-256."""
        self.sha256[name] = hashlib.sha256(data).hexdigest()
        self._add(name, len(data), io.BytesIO(data))

    def add_document(self, stored: Stored) -> None:
        self._documents.write(stored.packed())
        if self._documents.tell() >= CHUNK_BYTES:
            self.end_documents()

    def end_documents(self) -> None:
        """The documents that were added are a member now."""
        if self._documents.tell():
            self._members += 1
            self.add(f"{DOCUMENTS}{self._members:06}.bson", self._documents.getvalue())
            self._documents = io.BytesIO()

    def add_blob(self, digest: str, size: int, content: IO[bytes]) -> None:
        self._add(f"{BLOBS}{digest}", size, content)

    def _add(self, name: str, size: int, content: IO[bytes]) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, _MODE
        self._tar.addfile(member, content)


class Member:
    """One member, to be read once, before the next."""

    def __init__(self, name: str, size: int, content: IO[bytes]) -> None:
        self.name = name
        self.size = size
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        """Raises BadArchive."""
        with reading():
            while chunk := self._content.read(CHUNK_BYTES):
                yield chunk

    def data(self) -> bytes:
        """All of it. Raises BadArchive, also for more than a reader may hold."""
        if self.size > MEMBER_BYTES:
            raise BadArchive(f"the archive is damaged: {self.name!r} cannot be so large")
        return b"".join(self.chunks())


def members(file: IO[bytes]) -> Iterator[Member]:
    """Every member from the beginning of `file`, to its last byte. Raises BadArchive when it is torn or no archive."""
    file.seek(0)
    with (
        reading(),
        gzip.GzipFile(fileobj=file, mode="rb") as packed,
        tarfile.open(fileobj=packed, mode="r|") as tar,
    ):
        for info in tar:
            content = tar.extractfile(info) if info.isreg() else None
            if content is None:
                raise BadArchive(f"the archive is damaged: {info.name!r} is not a file")
            yield Member(info.name, info.size, content)
        while packed.read(CHUNK_BYTES):  # to where its checksum is
            pass


def decoded(name: str, data: bytes, cls: type[T]) -> T:
    """The document in member `name`. Raises BadArchive."""
    try:
        return msgspec.json.decode(data, type=cls)
    except msgspec.MsgspecError as error:
        raise BadArchive(f"the archive is damaged: {name!r} cannot be read: {error}") from error


def documents(data: bytes) -> Iterator[Stored]:
    """Those in one member. Raises BadArchive."""
    try:
        yield from unpacked(data)
    except Invalid as error:
        raise BadArchive(f"the archive holds something that this Modelway cannot read: {error}") from error


@contextlib.contextmanager
def reading() -> Iterator[None]:
    try:
        yield
    except _TORN as error:
        raise BadArchive(f"the archive is damaged, or is no backup of Modelway: {error}") from error
