"""This file reads who works on projects, without the snapshots of those, of which there may be thousands."""

from __future__ import annotations

from services.api.store.database import Database
from services.api.store.documents import COLLECTIONS, read
from services.api.store.waiting import Waiting
from services.core.aggregates import PROJECT
from services.core.errors import NotFound
from services.core.project import Project
from services.core.standing import Caller, Reach

_WITHOUT_SNAPSHOTS = {"state.snapshots": 0}


class MongoReach:
    """See `ports.Store`."""

    def __init__(self, database: Database, answering: Waiting) -> None:
        self._projects = database[COLLECTIONS[PROJECT.name]]
        self._answering = answering

    async def sharing(self, project_id: str) -> Project:
        async with self._answering():
            document = await self._projects.find_one({"_id": project_id}, _WITHOUT_SNAPSHOTS)
        if document is None:
            raise NotFound(f"there is no project {project_id}")
        return read(document["state"], Project)

    async def of(self, caller: Caller) -> Reach:
        """Two queries, each with an index: SecantusDB answers no `$or` from several."""
        if caller.person.is_administrator:
            return Reach(caller=caller)
        theirs = ({"state.owner_id": caller.person.id}, {"state.collaborators.id": {"$in": sorted(caller.names)}})
        found: dict[str, Project] = {}
        for where in theirs:
            async with self._answering():
                documents = await self._projects.find(where, _WITHOUT_SNAPSHOTS).to_list(None)
            found |= {document["_id"]: read(document["state"], Project) for document in documents}
        return Reach.of(caller, found.values())
