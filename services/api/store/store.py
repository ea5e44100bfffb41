"""This file is the store: states, history, outbox and secrets, read by query and written one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pymongo.errors import DuplicateKeyError

from services.api.ports import EntryQuery, ModelQuery
from services.api.store.catalogue import Catalogue
from services.api.store.checkpoints import MongoCheckpoints, unchecked_document
from services.api.store.database import Client, Database
from services.api.store.documents import (
    COLLECTIONS,
    Document,
    OutboxRow,
    link_document,
    plain,
    read,
    read_link,
    read_row,
    row_document,
)
from services.api.store.evidence import MongoEvidence
from services.api.store.history import History
from services.api.store.orphans import Orphans
from services.api.store.paging import in_pages
from services.api.store.people import MongoPeople
from services.api.store.reach import MongoReach
from services.api.store.waiting import Waiting
from services.core.aggregates import (
    AGGREGATES,
    ENVIRONMENT,
    MODEL,
    ORGANISATION,
    PERSON,
    PROJECT,
    Aggregate,
    State,
)
from services.core.audit import Link
from services.core.errors import NotFound, Refused, RevisionConflict, Unavailable
from services.core.events import Entry
from services.core.ids import AggregateId
from services.core.lifecycle import DeploymentPhase
from services.core.model import Model
from services.core.organisation import Organisation
from services.core.person import Person
from services.core.project import Project
from services.core.standing import Caller, Reach

S = TypeVar("S", bound=State)

_MARGIN_S = 0.25
_FORGOTTEN_AT_ONCE = 50  # SecantusDB takes four times as long for twice as many from here on
_MOVING = [
    str(phase)
    for phase in (
        DeploymentPhase.STARTING,
        DeploymentPhase.STALLED,
        DeploymentPhase.RESTARTING,
        DeploymentPhase.STOPPING,
    )
]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one aggregate, stored whole or not at all."""

    aggregate: str
    state: State
    before_revision: int  # 0: the aggregate is new
    links: tuple[Link, ...]
    outbox: tuple[OutboxRow, ...]
    secrets: Mapping[str, bytes | None] = {}  # None deletes


class MongoStore:
    """The store on anything that speaks MongoDB's protocol with transactions."""

    def __init__(self, client: Client, database: Database, *, process: str = "") -> None:
        self._client = client
        self._database = database
        self._answering = Waiting()
        self.orphans = Orphans(client, database, self._answering, process=process)
        self._history = History(database, self._answering)
        self.evidence = MongoEvidence(database, self._answering)
        self.checkpoints = MongoCheckpoints(client, database, self._answering)
        self.people = MongoPeople(database, self._answering)
        self._reach = MongoReach(database, self._answering)
        self._catalogue = Catalogue(self._of(MODEL), self.all_models, self._answering)

    async def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S:
        found = await self.load_with_head(aggregate, aggregate_id)
        if found is None:
            raise NotFound(f"there is no {aggregate.name} {aggregate_id}")
        return found[0]

    async def load_with_head(self, aggregate: Aggregate[S], aggregate_id: str) -> tuple[S, str] | None:
        """The state and the hash of its newest entry; None for an aggregate that does not exist."""
        async with self._answering():
            document = await self._of(aggregate).find_one({"_id": aggregate_id})
        return None if document is None else (read(document["state"], aggregate.state), document["head"])

    async def list_models(self, query: ModelQuery) -> tuple[list[Model], int]:
        return await self._catalogue.page(query)

    async def sharing(self, project_id: str) -> Project:
        return await self._reach.sharing(project_id)

    async def reach(self, caller: Caller) -> Reach:
        return await self._reach.of(caller)

    async def list_all(self, aggregate: Aggregate[S]) -> list[S]:
        name = "state.user_name" if aggregate.name == "person" else "state.name"
        async with self._answering():
            documents = await self._of(aggregate).find({}).sort(name, 1).to_list(None)
        return [read(document["state"], aggregate.state) for document in documents]

    async def find_project(self, *, owner_name: str, name: str) -> Project | None:
        where = {"state.owner_name": owner_name, "state.name": name}
        return await self._find_one(PROJECT, where)

    async def find_project_by_tag(self, tag_id: str) -> Project | None:
        return await self._find_one(PROJECT, {"state.tags.id": tag_id})

    async def find_person(self, *, key_hash: str) -> Person | None:
        return await self._find_one(PERSON, {"state.api_keys.key_hash": key_hash})

    async def find_person_by_name(self, user_name: str) -> Person | None:
        return await self._find_one(PERSON, {"state.user_name": user_name})

    async def find_person_by_session(self, *, session_hash: str) -> Person | None:
        return await self._find_one(PERSON, {"state.sessions.session_hash": session_hash})

    async def find_people_by_email(self, email: str) -> list[Person]:
        return await self._find(PERSON, {"state.email": email.lower()})

    async def find_person_by_identity(self, *, issuer: str, subject: str) -> Person | None:
        found = await self._find(PERSON, {"state.identity.subject": subject})
        return next((each for each in found if each.identity is not None and each.identity.issuer == issuer), None)

    async def organisations_of(self, person_id: str) -> list[Organisation]:
        return await self._find(ORGANISATION, {"state.members.person_id": person_id})

    async def find_organisation(self, *, name: str) -> Organisation | None:
        return await self._find_one(ORGANISATION, {"state.name": name})

    async def find_environment_id(self, *, name: str) -> AggregateId | None:
        found = await self._find_one(ENVIRONMENT, {"state.name": name})
        return None if found is None else found.id

    async def secret(self, secret_id: str) -> bytes:
        async with self._answering():
            document = await self._database["secrets"].find_one({"_id": secret_id})
        if document is None:
            raise NotFound(f"there is no secret {secret_id}")
        return bytes(document["ciphertext"])

    async def entries(self, query: EntryQuery, *, limit: int) -> list[Link]:
        return await self._history.page(query, limit=limit)

    async def telling(self, aggregate_id: str, *, up_to: int) -> list[Entry]:
        return await self._history.telling(aggregate_id, up_to=up_to)

    async def ping(self) -> None:
        async with self._answering(2.0):
            await self._database.command("ping")

    async def moving_models(self) -> list[Model]:
        """Models with a version on which an observation may conclude something."""
        async with self._answering():
            cursor = self._of(MODEL).find({"state.versions.deployment": {"$in": _MOVING}})
            return [read(document["state"], Model) for document in await cursor.to_list(None)]

    async def scaling_models(self) -> list[Model]:
        """Models whose number of instances follows how busy they are."""
        where = {"state.settings.scaling.max_instances": {"$gt": 0}, "state.is_archived": False}
        async with self._answering():
            documents = await self._of(MODEL).find(where).to_list(None)
        return [read(document["state"], Model) for document in documents]

    async def all_models(self) -> AsyncIterator[Model]:
        """Every model, archived ones too, in the order of their ids; in pages, so that none takes long."""
        async for documents in in_pages(self._of(MODEL), self._answering):
            for document in documents:
                yield read(document["state"], Model)

    async def states(self, aggregate: str) -> AsyncIterator[tuple[State, str]]:
        """Every state of a kind with the hash of its newest entry, in pages by id."""
        async for documents in in_pages(self._of(AGGREGATES[aggregate]), self._answering):
            for document in documents:
                yield read(document["state"], AGGREGATES[aggregate].state), document["head"]

    async def links(self, aggregate_id: str, *, up_to: int, page_size: int = 1000) -> AsyncIterator[Link]:
        """The history of one aggregate up to a revision, oldest first, in pages."""
        for after in range(0, up_to, page_size):
            where = {"aggregate_id": aggregate_id, "revision": {"$gt": after, "$lte": min(after + page_size, up_to)}}
            async with self._answering():
                documents = await self._database["events"].find(where).sort("revision", 1).to_list(None)
            for document in documents:
                yield read_link(document)

    async def is_recorded(self, entry_id: str) -> bool:
        async with self._answering():
            return await self._database["events"].find_one({"_id": entry_id}, {"_id": 1}) is not None

    async def commit(self, change: Change) -> None:
        """Stores `change` in one transaction.

        Raises RevisionConflict when the aggregate moved on or an entry of it is recorded already, Refused when a unique
        name is taken, Unavailable otherwise; after Unavailable it may be stored or not.
        """
        committing = asyncio.create_task(self._commit_in_time(change))
        try:
            # Not by waiting for its end: what a failed transaction leaves to be tidied up hangs as well.
            await asyncio.wait({committing}, timeout=self._answering.longest_s() + _MARGIN_S)
            if not committing.done():
                raise Unavailable("the database does not answer; try again soon")
            committing.result()
            if isinstance(change.state, Model):
                self._catalogue.changed(change.state)
        except DuplicateKeyError as error:
            raise await self._explain(change) from error
        finally:
            committing.add_done_callback(_note_end)

    async def _commit_in_time(self, change: Change) -> None:
        async with self._answering():
            await self._transact(change)

    async def _transact(self, change: Change) -> None:
        async with await self._client.start_session() as session:
            await self.orphans.note(session)
            await self._transact_in(session, change)

    async def _transact_in(self, session: Any, change: Change) -> None:
        async with session.start_transaction():
            states = self._database[COLLECTIONS[change.aggregate]]
            document = {
                "_id": change.state.id,
                "revision": change.state.revision,
                "head": change.links[-1].hash,
                "state": plain(change.state),
            }
            if change.before_revision == 0:
                await states.insert_one(document, session=session)
            else:
                where = {"_id": change.state.id, "revision": change.before_revision}
                result = await states.replace_one(where, document, session=session)
                if result.matched_count == 0:
                    raise RevisionConflict("another change came first", retry_after_s=0.02)
            await self._database["events"].insert_many(map(link_document, change.links), session=session)
            newest = change.links[-1]
            unchecked = unchecked_document(change.aggregate, change.state.id, newest.entry.revision, newest.hash)
            await self._database["unchecked"].insert_one(unchecked, session=session)
            if change.outbox:
                await self._database["outbox"].insert_many(map(row_document, change.outbox), session=session)
            for secret_id, ciphertext in change.secrets.items():
                await self._write_secret(secret_id, ciphertext, session)

    async def _write_secret(self, secret_id: str, ciphertext: bytes | None, session: Any) -> None:
        secrets = self._database["secrets"]
        if ciphertext is None:
            await secrets.delete_one({"_id": secret_id}, session=session)
        else:
            document = {"_id": secret_id, "ciphertext": ciphertext}
            await secrets.replace_one({"_id": secret_id}, document, upsert=True, session=session)

    async def _explain(self, change: Change) -> RevisionConflict | Refused:
        """What a duplicate key meant: it is asked of the data, since servers word it differently."""
        async with self._answering():
            where = {"aggregate_id": change.state.id, "revision": {"$gt": change.before_revision}}
            moved_on = await self._database["events"].find_one(where, {"_id": 1})
        if moved_on is not None or await self.is_recorded(change.links[0].entry.id):
            return RevisionConflict("another change came first", retry_after_s=0.02)
        return Refused(f"there is already {_article(change.aggregate)} with this name")

    async def unpublished(self, *, limit: int) -> Sequence[OutboxRow]:
        """Rows that wait to be published, those of one aggregate in their order."""
        async with self._answering():
            cursor = self._database["outbox"].find({}).sort([("aggregate_id", 1), ("revision", 1), ("place", 1)])
            return [read_row(document) for document in await cursor.limit(limit).to_list(limit)]

    async def count_unpublished(self) -> int:
        async with self._answering():
            return int(await self._database["outbox"].count_documents({}))

    async def forget(self, rows: Sequence[OutboxRow]) -> None:
        """Takes published rows out of the outbox; some may be gone already."""
        ids = [row.id for row in rows]
        for start in range(0, len(ids), _FORGOTTEN_AT_ONCE):
            async with self._answering():
                await self._database["outbox"].delete_many({"_id": {"$in": ids[start : start + _FORGOTTEN_AT_ONCE]}})

    async def _find(self, aggregate: Aggregate[S], where: Document) -> list[S]:
        async with self._answering():
            documents = await self._of(aggregate).find(where).to_list(None)
        return [read(document["state"], aggregate.state) for document in documents]

    async def _find_one(self, aggregate: Aggregate[S], where: Document) -> S | None:
        async with self._answering():
            document = await self._of(aggregate).find_one(where)
        return None if document is None else read(document["state"], aggregate.state)

    def _of(self, aggregate: Aggregate[Any]) -> Any:
        return self._database[COLLECTIONS[aggregate.name]]


def _note_end(committing: asyncio.Task[None]) -> None:
    """Its failure was told, or it was too late for anybody to hear."""
    if not committing.cancelled():
        committing.exception()


def _article(aggregate: str) -> str:
    return f"an {aggregate}" if aggregate[0] in "aeiou" else f"a {aggregate}"
