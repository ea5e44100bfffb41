"""This file goes through a whole collection, a page at a time.

By ids that are read first: SecantusDB answers `_id > x` by looking at every document there is, whatever the limit, so
that page after page would cost the square of what is stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from services.api.store.database import CALL_DEADLINE_S
from services.api.store.documents import Document
from services.api.store.waiting import Waiting

AT_ONCE = 50  # SecantusDB looks at each document once for every member of an `$in`
_LISTED_S = 60.0


async def in_pages(
    collection: Any, answering: Waiting, *, page_size: int = AT_ONCE, deadline_s: float = CALL_DEADLINE_S
) -> AsyncIterator[list[Document]]:
    """Every document that is there when this begins, as it is when its page is read, in the order of their ids.

    `deadline_s`: for one page. Raises `Unavailable`.
    """
    async with answering(_LISTED_S):
        listed = await collection.find({}, {"_id": 1}).to_list(None)
    ids = sorted(document["_id"] for document in listed)
    for start in range(0, len(ids), page_size):
        wanted = ids[start : start + page_size]
        async with answering(deadline_s):
            documents = await collection.find({"_id": {"$in": wanted}}).to_list(None)
        yield sorted(documents, key=lambda document: document["_id"])
