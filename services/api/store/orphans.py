"""This file ends what a killed process left under way in the database.

A transaction lives in the database, not in the process: when that is killed, what it had written to stays locked for a
minute, for everybody. So each process writes down the sessions that its transactions run in, and whoever knows that it
is dead has the database end them.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import structlog
from bson import Binary
from bson.binary import UUID_SUBTYPE

from services.api.store.database import Client, Database
from services.api.store.waiting import Waiting

log = structlog.get_logger()

WRITERS = "writers"
_NOTED_AGAIN_S = 600.0  # drivers give up sessions that nobody used for half an hour
_AT_ONCE = 100


class Orphans:
    """The sessions of every process. `process` is who we are; "": nobody who could leave anything."""

    def __init__(self, client: Client, database: Database, answering: Waiting, *, process: str = "") -> None:
        self._client = client
        self._writers = database[WRITERS]
        self._answering = answering
        self._process = process
        self._noted: dict[str, float] = {}

    async def note(self, session: Any) -> None:
        """Before a transaction begins in it. Raises as the database does."""
        name = bytes(session.session_id["id"]).hex()
        if self._process and time.monotonic() - self._noted.get(name, -_NOTED_AGAIN_S) >= _NOTED_AGAIN_S:
            await self._writers.replace_one({"_id": name}, {"_id": name, "process": self._process}, upsert=True)
            self._noted[name] = time.monotonic()

    async def processes(self) -> set[str]:
        """Others than us that have sessions. Raises `Unavailable`."""
        async with self._answering():
            documents = await self._writers.find({}, {"process": 1}).to_list(None)
        return {document["process"] for document in documents} - {self._process}

    async def end(self, processes: Collection[str]) -> None:
        """All that these, which are dead, or were we before this start, have under way. Raises `Unavailable`."""
        async with self._answering():
            documents = await self._writers.find({}).to_list(None)
        names = [each["_id"] for each in documents if each["process"] in processes and each["_id"] not in self._noted]
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            sessions = [{"id": Binary(bytes.fromhex(name), UUID_SUBTYPE)} for name in some]
            async with self._answering():
                await self._client.admin.command({"killSessions": sessions})
                await self._writers.delete_many({"_id": {"$in": some}})
        if names:
            log.info("sessions_ended", processes=sorted(processes), count=len(names))
