"""This file fills a database to any size, fast: documents as api stores them, made from one model's real past.

What is shown of a model and of an event is as real as the original; only chains of hashes are not made, so `verify`
would find nothing sound here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

import msgspec
from msgspec.structs import replace
from pymongo.errors import AutoReconnect

from benchmarks.histories import many_versions, model_of
from services.api.store.database import Database
from services.api.store.documents import ONE_IN, Document, link_document, plain
from services.core.aggregates import MODEL, fold
from services.core.audit import GENESIS, chained
from services.core.events import Actor, ActorKind
from services.core.ids import AggregateId
from services.core.model import Model
from services.core.person import ApiKey, Person
from services.core.project import Project
from services.kit.clock import now
from tests.makers import PERSON as OWNER

PLAIN_KEY = "p" * 64  # of the person who is no administrator
PLAIN_ID = AggregateId("1" * 24)
ACTORS = 40
_AT_ONCE = 100
_TRIES, _REST_S = 20, 2.0
_APART = timedelta(milliseconds=7_000)


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is. `shared`: models that the plain person may see."""

    models: int
    versions: int  # of each
    events: int  # of all
    shared: int

    def __str__(self) -> str:
        return f"{self.models:,} models, {self.models * self.versions:,} versions, {self.events:,} events"


async def fill(database: Database, size: Size) -> None:
    """Everything that `size` says, into an empty database whose schema is there."""
    history = many_versions(0, size.versions)
    original = fold(MODEL, history)
    if original is None:
        raise ValueError("a model has a history")
    await database["people"].insert_one(_person())
    await _insert(database, "projects", (_project(number) for number in range(1 + size.models // 100)))
    await _insert(database, "models", (_model(original, number, size) for number in range(size.models)), 20)
    await _insert(database, "events", _events([link_document(link) for link in chained(history, head=GENESIS)], size))


def actor_of(number: int) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=f"{number % ACTORS:024x}", name=f"person-{number % ACTORS}")


def project_of(number: int) -> AggregateId:
    return AggregateId(f"c{number // 100:023x}")


def _model(original: Model, number: int, size: Size) -> Document:
    """Every so manieth one belongs to the plain person."""
    is_shared = number % (size.models // size.shared) == 0 and number // (size.models // size.shared) < size.shared
    state = replace(
        original,
        id=model_of(number),
        name=f"model-{number:05}",
        owner_id=PLAIN_ID if is_shared else AggregateId(OWNER.id),
        project_id=project_of(number),
        changed_at=now() - timedelta(hours=1, seconds=size.models - number),
    )
    return {"_id": state.id, "revision": state.revision, "head": "0" * 64, "state": plain(state)}


def _project(number: int) -> Document:
    at = now() - timedelta(days=100)
    state = Project(
        id=project_of(100 * number),
        revision=1,
        owner_id=AggregateId(OWNER.id),
        owner_name="ada",
        name=f"project-{number}",
        description="",
        visibility="Private",
        created_at=at,
    )
    return {"_id": state.id, "revision": 1, "head": "0" * 64, "state": plain(state)}


def _person() -> Document:
    key = ApiKey(id="2" * 24, name="plain", key_hash=hashlib.sha256(PLAIN_KEY.encode()).hexdigest(), created_at=now())
    state = Person(
        id=PLAIN_ID,
        revision=1,
        user_name="plain",
        email="plain@example.com",
        full_name="",
        is_administrator=False,
        created_at=now(),
        api_keys=(key,),
    )
    return {"_id": state.id, "revision": 1, "head": "0" * 64, "state": plain(state)}


def _events(originals: Sequence[Document], size: Size) -> Iterator[Document]:
    """The past of each model in turn, an event of one after an event of another, by one actor after another."""
    began = now() - _APART * size.events
    for number in range(size.events):
        model, revision = number % size.models, number // size.models
        original = originals[(revision + model) % len(originals)]  # events of one time are of all types
        yield _event(original, number, model, revision + 1, began + _APART * number)


def _event(original: Document, number: int, model: int, revision: int, at: datetime) -> Document:
    actor = plain(actor_of(number // 7))
    event = {
        **original,
        "_id": f"{number}.1",
        "aggregate_id": model_of(model),
        "revision": revision,
        "at": at,
        "actor": actor,
    }
    event.pop("sampled_at", None)
    return {**event, "sampled_at": at} if number % ONE_IN == 0 else event


async def _insert(database: Database, collection: str, documents: Iterable[Document], at_once: int = _AT_ONCE) -> None:
    waiting = iter(documents)
    while some := list(islice(waiting, at_once)):
        for _ in range(_TRIES):
            try:
                await database[collection].insert_many(some, ordered=False)
                break
            except AutoReconnect:  # a database that writes so much is silent for seconds at times
                await asyncio.sleep(_REST_S)
                there = await database[collection].distinct("_id", {"_id": {"$in": [each["_id"] for each in some]}})
                some = [each for each in some if each["_id"] not in there]
                if not some:
                    break
