"""This file writes a checked archive into an empty platform.

The database is marked until all is there, so that no api starts on a part of it; what was cut short is begun anew.
Blobs are named by what they hold, and storing one twice is storing it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import IO

from services.api.backup.archive import CHUNK_BYTES, Member, documents, members
from services.api.backup.opening import Opening
from services.api.backup.records import BLOBS, DOCUMENTS
from services.api.store.documents import Document
from services.api.store.whole import SECRETS, Whole
from services.core.ids import Digest
from services.kit.blobs import Blobs

_BLOBS_AT_ONCE = 8  # small ones


class Restoring:
    """One restoring, of an archive that `check` has found whole."""

    def __init__(self, whole: Whole, blobs: Blobs, opening: Opening) -> None:
        self._whole = whole
        self._blobs = blobs
        self._opening = opening

    async def restore(self, file: IO[bytes]) -> None:
        """Raises Refused for a platform that is not empty, and what database and store raise."""
        await self._whole.refuse_unless_empty()
        await self._whole.begin()
        small: list[bytes] = []
        for member in members(file):
            if member.name.startswith(DOCUMENTS):
                await self._put_documents(member.data())
            elif member.name.startswith(BLOBS) and member.size <= CHUNK_BYTES:
                small.append(member.data())
                small = await self._put_small(small, at_least=_BLOBS_AT_ONCE)
            elif member.name.startswith(BLOBS):
                await self._put_large(member)
        await self._put_small(small, at_least=1)
        await self._whole.finish()

    async def _put_documents(self, data: bytes) -> None:
        """Those of one member, which fits into memory."""
        collections: dict[str, list[Document]] = {}
        for stored in documents(data):
            collections.setdefault(stored.collection, []).append(stored.document)
            if stored.collection == SECRETS:
                self._opening.try_secret(bytes(stored.document["ciphertext"]))
            elif stored.kind is not None:
                self._opening.try_variables(stored.state.state)
        for collection, found in collections.items():
            await self._whole.put(collection, found)

    async def _put_small(self, contents: list[bytes], *, at_least: int) -> list[bytes]:
        """What is left to be put later: nothing, or all of it while there is little."""
        if len(contents) < at_least:
            return contents
        async with asyncio.TaskGroup() as group:
            for content in contents:
                group.create_task(self._blobs.put(content))
        return []

    async def _put_large(self, member: Member) -> None:
        digest = Digest(member.name.removeprefix(BLOBS))
        await self._blobs.put_as(digest, _stream(member.chunks()), member.size)


async def _stream(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
