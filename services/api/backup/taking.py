"""This file takes a backup while the platform works.

Every aggregate is read as of one revision: its state, with the secrets of that revision, then its events up to there.
What refers to something is read before it: checkpoints before states, models before projects, blobs last. Nothing that
is referred to is ever deleted, so what is read later is there, and is no older. What changes meanwhile is in the backup
or not, but never by half.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from services.api.backup.archive import CHUNK_BYTES, Writer
from services.api.backup.needed import Digests
from services.api.backup.proof import Proof
from services.api.backup.records import CONTENTS, FORMAT, HEAD, KEYS, Contents, Counts, Head
from services.api.referred import of_bundle, of_snapshot
from services.api.sign_in.passwords import secret_id
from services.api.store.database import SCHEMA_VERSION
from services.api.store.whole import CHECKPOINTS, KEY_USES, Stored, Whole
from services.api.verify import StoredState
from services.core.aggregates import AGGREGATES, ENVIRONMENT, MODEL, ORGANISATION, PERSON, PROJECT, State
from services.core.collection import needed_artifacts
from services.core.errors import Invalid, NotFound
from services.core.ids import Digest
from services.core.model import Model
from services.core.person import Person
from services.core.project import Project
from services.kit.blobs import Blobs

_FIRST = [each.name for each in (MODEL, PROJECT, ENVIRONMENT, ORGANISATION, PERSON)]
ORDER = (*_FIRST, *(name for name in AGGREGATES if name not in _FIRST))
"""Kinds, each before those it refers to."""


def secrets_of(stored: StoredState) -> list[str]:
    """The ids of the secrets that are stored beside a state."""
    match stored.state:
        case Model(tokens=tokens):
            return [token.id for token in tokens]
        case Person(has_password=True):
            return [secret_id(stored.id)]
        case _:
            return []


class Taking:
    """One backup."""

    def __init__(self, whole: Whole, blobs: Blobs, writer: Writer) -> None:
        self._whole = whole
        self._blobs = blobs
        self._writer = writer
        self._counts = Counts()
        self._proof = Proof()
        self._missing = 0
        self._names = hashlib.sha256()

    async def take(
        self, *, version: str, clock: Callable[[], datetime], keys: Mapping[str, str], scratch: Path
    ) -> Contents:
        """Write all of it. `keys`: what key files hold, by their names. `scratch`: a folder for what must not be in
        memory. Raises what database and store raise.
        """
        head = Head(format=FORMAT, schema=SCHEMA_VERSION, version=version, began_at=clock())
        self._writer.add(HEAD, msgspec.json.encode(head))
        for name, text in keys.items():
            self._writer.add(f"{KEYS}{name}", text.encode())
        with Digests.opened(scratch / "digests") as needed:
            async for stored in self._whole.all_of(CHECKPOINTS):
                self._add(stored)
            for kind in ORDER:
                await self._take_kind(kind, needed)
            async for stored in self._whole.all_of(KEY_USES):
                self._add(stored)
            self._writer.end_documents()
            self._proof.finish()
            for page in needed.pages():
                await self._take_blobs(page, scratch)
        contents = Contents(
            counts=self._counts,
            sha256=dict(self._writer.sha256),
            blobs_sha256=self._names.hexdigest(),
            has_keys=bool(keys),
            missing=self._missing,
            unsound=self._proof.unsound,
        )
        self._writer.add(CONTENTS, msgspec.json.encode(contents))
        return contents

    async def _take_kind(self, kind: str, needed: Digests) -> None:
        async for stored, secrets in self._whole.aggregates(kind, secrets_of):
            for each in (stored, *secrets):
                self._add(each)
            state = stored.state
            async for event in self._whole.history(state.id, up_to=stored.document["revision"]):
                self._add(event)
            async for digests in self._referred(state.state, needed):
                needed.add(digests)

    def _add(self, stored: Stored) -> None:
        self._proof.take(stored)
        self._counts.count(stored)
        self._writer.add_document(stored)

    async def _referred(self, state: State | None, known: Digests) -> AsyncIterator[set[Digest]]:
        """The blobs that a state refers to. Of what cannot be read its own name: it is missing when its turn comes."""
        of: Callable[[Blobs, Digest], Awaitable[set[Digest]]]
        match state:
            case Model() as model:
                of, names = of_bundle, needed_artifacts(model)
            case Project(snapshots=snapshots):
                of, names = of_snapshot, frozenset(each.snapshot for each in snapshots)
            case _:
                return
        for name in names:
            if known.has(name):
                continue
            try:
                yield await of(self._blobs, name)
            except (NotFound, Invalid):
                yield {name}

    async def _take_blobs(self, digests: list[Digest], scratch: Path) -> None:
        sizes = await self._blobs.sizes(digests)
        for digest in digests:
            size = sizes.get(digest)
            try:
                if size is None:
                    raise NotFound(f"there is no blob {digest}")
                await self._take_blob(digest, size, scratch)
            except NotFound:
                self._missing += 1
                continue
            self._names.update(f"{digest}\n".encode())
            self._counts.blobs += 1
            self._counts.blob_bytes += size

    async def _take_blob(self, digest: Digest, size: int, scratch: Path) -> None:
        """Only once all of it was read and has its digest. Raises NotFound."""
        if size <= CHUNK_BYTES:
            self._writer.add_blob(digest, size, io.BytesIO(await self._blobs.get(digest)))
            return
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            copy = Path(folder) / "blob"
            await self._blobs.fetch(digest, copy)
            with copy.open("rb") as content:
                self._writer.add_blob(digest, size, content)
