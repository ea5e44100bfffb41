"""This file is the catalogue: all models as lists show them, kept in memory, so that a page costs what is on it.

SecantusDB reads every document that a query matches, whatever the limit, and counts by reading them as well; MongoDB
has no index for a part of a name. So the models are read once; our own changes are heard of at once, and before each
answer the database is asked for what others have changed: as much as a change may be on its way, and no more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextvars import Context
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from services.api.ports import ModelQuery
from services.api.store.documents import read
from services.api.store.waiting import Waiting
from services.core.ids import AggregateId
from services.core.listed import listed
from services.core.model import Model
from services.kit.clock import now

UNDER_WAY = timedelta(seconds=20)  # from the moment that a change bears until it is stored, and between two clocks
READ_ANEW = timedelta(minutes=10)


class Row(NamedTuple):
    """One model: what it is found by, and the rest packed."""

    id: AggregateId
    revision: int
    name: str
    created_at: datetime
    project_id: str
    environment_id: str
    is_archived: bool
    is_public: bool
    owner_id: str
    collaborators: frozenset[str]  # people and organisations
    packed: bytes

    @property
    def model(self) -> Model:
        return msgspec.msgpack.decode(self.packed, type=Model)


class Catalogue:
    """Lists models. `models` is their collection, `all_models` reads each of them."""

    def __init__(self, models: Any, all_models: Callable[[], AsyncIterator[Model]], answering: Waiting) -> None:
        self._models = models
        self._all_models = all_models
        self._answering = answering
        self._rows: dict[AggregateId, Row] = {}
        self._sorted: dict[str, list[Row]] = {}  # by what they are in the order of; empty after a change
        self._known_until: datetime | None = None  # what was stored by then is here; None: nothing is
        self._read_at: datetime | None = None
        self._reading: asyncio.Task[None] | None = None

    async def page(self, query: ModelQuery) -> tuple[list[Model], int]:
        """See `ports.Store.list_models`."""
        await self._catch_up()
        is_found = _matcher(query)
        found = [row for row in self._in_order(query.order_by) if is_found(row)]
        if query.is_descending:
            found.reverse()
        return [row.model for row in found[query.offset : query.offset + query.limit]], len(found)

    def changed(self, model: Model) -> None:
        """Hear of a state that was stored."""
        known = self._rows.get(model.id)
        if known is None or known.revision < model.revision:
            self._rows[model.id] = _row(model)
            self._sorted = {}

    async def _catch_up(self) -> None:
        """Everything that was stored before the call is here when this returns."""
        if self._read_at is None or now() - self._read_at > READ_ANEW:
            self._read_at_all()
        if self._known_until is None and self._reading is not None:
            async with self._answering():
                await asyncio.shield(self._reading)
        began, since = now(), self._known_until
        if since is None:
            return
        async with self._answering():
            where = {"state.changed_at": {"$gte": since - UNDER_WAY}}
            fresh = await self._models.find(where, {"revision": 1}).to_list(None)
            ids = [each["_id"] for each in fresh if not self._has(each["_id"], each["revision"])]
            documents = await self._models.find({"_id": {"$in": ids}}).to_list(None) if ids else []
        for document in documents:
            self.changed(read(document["state"], Model))
        self._known_until = max(began, self._known_until or began)

    def _read_at_all(self) -> None:
        """Reads all there is, for everybody who waits: no request that gives up ends it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), context=Context())
            self._reading.add_done_callback(_note_end)

    async def _read(self) -> None:
        began = now()
        async for model in self._all_models():
            self.changed(model)
        self._read_at = began
        self._known_until = max(began, self._known_until or began)

    def _has(self, model_id: AggregateId, revision: int) -> bool:
        known = self._rows.get(model_id)
        return known is not None and known.revision >= revision

    def _in_order(self, order_by: str) -> Iterable[Row]:
        if order_by not in self._sorted:
            key = _by_age if order_by == "created" else _by_name
            self._sorted[order_by] = sorted(self._rows.values(), key=key)
        return self._sorted[order_by]


def _row(model: Model) -> Row:
    return Row(
        id=model.id,
        revision=model.revision,
        name=model.name,
        created_at=model.created_at,
        project_id=model.project_id,
        environment_id=model.environment_id,
        is_archived=model.is_archived,
        is_public=model.is_public,
        owner_id=model.owner_id,
        collaborators=frozenset(each.id for each in model.collaborators),
        packed=msgspec.msgpack.encode(listed(model)),
    )


def _by_name(row: Row) -> tuple[str, str]:
    return row.name, row.id


def _by_age(row: Row) -> tuple[datetime, str]:
    return row.created_at, row.id


def _matcher(query: ModelQuery) -> Callable[[Row], bool]:
    name = re.compile(query.name, re.IGNORECASE) if query.name else None
    reach = None if query.visible_to is None or query.visible_to.is_whole else query.visible_to
    names = frozenset[str]() if reach is None else frozenset(reach.caller.names)
    projects = frozenset[str]() if reach is None else frozenset(reach.modelled_in)

    def is_found(row: Row) -> bool:
        return (
            row.is_archived == query.is_archived
            and (query.project_id is None or row.project_id == query.project_id)
            and (query.environment_id is None or row.environment_id == query.environment_id)
            and (
                reach is None
                or row.is_public
                or row.project_id in projects
                or not names.isdisjoint(row.collaborators)
                or row.owner_id == reach.caller.person.id
            )
            and (name is None or name.search(row.name) is not None)
        )

    return is_found


def _note_end(reading: asyncio.Task[None]) -> None:
    """Those who wait for it hear of its failure; the next one begins anew."""
    if not reading.cancelled():
        reading.exception()
