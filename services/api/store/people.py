"""This file is people and organisations as lists, who goes by a name, and when keys were last used.

key_uses    {_id, used_at}    by the id of the key: observed, so not in its owner's history
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from services.api.ports import NameQuery
from services.api.store.database import Database
from services.api.store.documents import COLLECTIONS, Document, read
from services.api.store.waiting import Waiting
from services.core.aggregates import ORGANISATION, PERSON, Aggregate
from services.core.organisation import Organisation
from services.core.person import Person

KEY_USES = "key_uses"
_AT_ONCE = 200


class MongoPeople:
    """See `ports.People`."""

    def __init__(self, database: Database, answering: Waiting) -> None:
        self._database = database
        self._answering = answering

    async def page(self, query: NameQuery) -> tuple[list[Person], int]:
        return await self._page(PERSON, ("state.user_name", "state.full_name", "state.email"), query)

    async def organisations(self, query: NameQuery) -> tuple[list[Organisation], int]:
        return await self._page(ORGANISATION, ("state.name",), query)

    async def find(self, ids: Collection[str]) -> list[Person]:
        async with self._answering():
            documents = await self._of(PERSON).find({"_id": {"$in": list(ids)}}).to_list(None)
        return [read(document["state"], Person) for document in documents]

    async def who_is_called(self, name: str) -> str | None:
        alike = {"$regex": f"^{re.escape(name)}$", "$options": "i"}
        async with self._answering():
            for aggregate, field in ((PERSON, "state.user_name"), (ORGANISATION, "state.name")):
                document = await self._of(aggregate).find_one({field: alike}, {"_id": 1})
                if document is not None:
                    return str(document["_id"])
        return None

    async def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        changes = [UpdateOne({"_id": key}, {"$max": {"used_at": at}}, upsert=True) for key, at in uses.items()]
        for start in range(0, len(changes), _AT_ONCE):
            async with self._answering():
                await self._database[KEY_USES].bulk_write(changes[start : start + _AT_ONCE], ordered=False)

    async def key_uses(self, key_ids: Collection[str]) -> dict[str, datetime]:
        async with self._answering():
            documents = await self._database[KEY_USES].find({"_id": {"$in": list(key_ids)}}).to_list(None)
        return {document["_id"]: document["used_at"] for document in documents}

    async def forget_key_use(self, key_id: str) -> None:
        async with self._answering():
            await self._database[KEY_USES].delete_one({"_id": key_id})

    async def _page(
        self, aggregate: Aggregate[Any], fields: tuple[str, ...], query: NameQuery
    ) -> tuple[list[Any], int]:
        """In the order of the first of the fields, any of which may have `query.name` in it."""
        sought = {"$regex": re.escape(query.name or ""), "$options": "i"}
        where: Document = {"$or": [{field: sought} for field in fields]} if query.name else {}
        async with self._answering():
            total = await self._of(aggregate).count_documents(where)
            cursor = self._of(aggregate).find(where).sort([(fields[0], 1), ("_id", 1)])
            documents = await cursor.skip(query.offset).limit(query.limit).to_list(query.limit)
        return [read(document["state"], aggregate.state) for document in documents], total

    def _of(self, aggregate: Aggregate[Any]) -> Any:
        return self._database[COLLECTIONS[aggregate.name]]
