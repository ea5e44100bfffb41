"""This file is the secrets as stored: ciphertexts, gone through one page at a time and exchanged one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.api.store.database import Database
from services.api.store.paging import in_pages
from services.api.store.waiting import Waiting


class MongoSecrets:
    """Every method raises `Unavailable` when the database does not answer in time."""

    def __init__(self, database: Database) -> None:
        self._secrets = database["secrets"]
        self._answering = Waiting()

    async def all(self) -> AsyncIterator[tuple[str, bytes]]:
        """Each with its id, in the order of the ids."""
        async for documents in in_pages(self._secrets, self._answering):
            for document in documents:
                yield document["_id"], bytes(document["ciphertext"])

    async def exchange(self, secret_id: str, before: bytes, after: bytes) -> bool:
        """Stores `after` where `before` is stored. False: by now something else is."""
        async with self._answering():
            where = {"_id": secret_id, "ciphertext": before}
            result = await self._secrets.update_one(where, {"$set": {"ciphertext": after}})
        return bool(result.matched_count)
