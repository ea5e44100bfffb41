"""This file checks an archive, all of it, before anything of it is used: that it is ours, whole, and sound."""

from __future__ import annotations

import hashlib
from typing import IO

import msgspec

from services.api.backup.archive import Member, decoded, documents, members
from services.api.backup.proof import Proof
from services.api.backup.records import (
    BLOBS,
    CONTENTS,
    DOCUMENTS,
    FORMAT,
    HEAD,
    KEYS,
    BadArchive,
    Contents,
    Counts,
    Head,
    Unsound,
)
from services.core.ids import is_digest


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole reading of an archive has shown. `keys`: what key files held, by their names; not to be shown."""

    head: Head
    contents: Contents
    unsound: list[Unsound]
    keys: dict[str, str]

    def __repr__(self) -> str:
        return f"Checked({self.head}, {self.contents.counts})"


def check(file: IO[bytes], *, schema: int) -> Checked:
    """Reads all of `file`. Raises BadArchive for what is damaged, is no archive, or is newer than `schema`."""
    checking = _Checking(schema)
    for member in members(file):
        checking.take(member)
    return checking.finish()


class _Checking:
    """Holds what passes against what the archive says of itself at its end."""

    def __init__(self, schema: int) -> None:
        self._schema = schema
        self._head: Head | None = None
        self._contents: Contents | None = None
        self._sha256: dict[str, str] = {}
        self._names = hashlib.sha256()
        self._counts = Counts()
        self._keys: dict[str, str] = {}
        self._proof = Proof()

    def take(self, member: Member) -> None:
        if self._head is None and member.name != HEAD:
            raise BadArchive("this is not a backup of Modelway")
        if self._contents is not None:
            raise BadArchive(f"the archive is damaged: {member.name!r} is behind its end")
        if member.name.startswith(BLOBS):
            self._take_blob(member)
            return
        data = member.data()
        if member.name == CONTENTS:
            self._contents = decoded(member.name, data, Contents)
            return
        self._sha256[member.name] = hashlib.sha256(data).hexdigest()
        self._take_data(member.name, data)

    def finish(self) -> Checked:
        if self._head is None:
            raise BadArchive("this is not a backup of Modelway")
        if self._contents is None:
            raise BadArchive("the archive is damaged: it ends too early")
        self._proof.finish()
        said = self._contents
        if (said.sha256, said.blobs_sha256, said.counts) != (self._sha256, self._names.hexdigest(), self._counts):
            raise BadArchive("the archive is damaged: it does not hold what it says at its end")
        return Checked(head=self._head, contents=said, unsound=self._proof.unsound, keys=self._keys)

    def _take_data(self, name: str, data: bytes) -> None:
        if name == HEAD:
            self._head = self._known(decoded(name, data, Head))
        elif name.startswith(DOCUMENTS):
            for stored in documents(data):
                self._proof.take(stored)
                self._counts.count(stored)
        elif name.startswith(KEYS):
            self._keys[name.removeprefix(KEYS)] = data.decode("ascii", "replace")
        else:
            raise BadArchive(f"the archive holds {name!r}, of which this Modelway does not know")

    def _known(self, head: Head) -> Head:
        if head.format > FORMAT or head.schema > self._schema:
            raise BadArchive(
                f"the archive was written by Modelway {head.version}, in a form that this one does not know yet: "
                "restore it with that one, or a newer one"
            )
        return head

    def _take_blob(self, member: Member) -> None:
        digest, hasher = member.name.removeprefix(BLOBS), hashlib.sha256()
        for chunk in member.chunks():
            hasher.update(chunk)
        if not is_digest(digest) or hasher.hexdigest() != digest:
            raise BadArchive(f"the archive is damaged: the blob {digest[:64]} is not what its name says")
        self._names.update(f"{digest}\n".encode())
        self._counts.blobs += 1
        self._counts.blob_bytes += member.size
