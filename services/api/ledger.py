"""This file is the ledger, the one way to change anything: decide, and store state, history and effects together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from services.api.room import Room
from services.api.store.documents import OutboxRow
from services.api.store.store import Change, MongoStore
from services.core import subjects
from services.core.aggregates import Aggregate, State, entries, fold
from services.core.audit import GENESIS, chained
from services.core.commands import AnyCommand, Command
from services.core.errors import NotFound, PermanentError, RevisionConflict, TemporaryError, Unavailable
from services.core.events import Actor, Entry, Event, what_happened
from services.core.ids import AggregateId, CommandId
from services.core.model import Model
from services.core.redaction import redacted
from services.core.wanted import changed, wanted
from services.kit.ids import new_object_id

S = TypeVar("S", bound=State)

DEADLINE_S = 8.0


class MongoLedger:
    """See `ports.Ledger`. `on_change` is told the new state after each stored change."""

    def __init__(
        self,
        store: MongoStore,
        *,
        deployer_id: str,
        clock: Callable[[], datetime],
        on_change: Callable[[State], None] = lambda state: None,
        room: Room | None = None,
    ) -> None:
        self._store = store
        self._deployer_id = deployer_id
        self._clock = clock
        self._on_change = on_change
        self._room = room  # None: whoever keeps the data sees to it

    async def execute(
        self,
        aggregate: Aggregate[S],
        aggregate_id: str,
        command: AnyCommand | Callable[[S], AnyCommand],
        *,
        actor: Actor,
        command_id: CommandId | None = None,
        secrets: Mapping[str, bytes | None] = {},
    ) -> S:
        command_id = command_id or CommandId(new_object_id())
        last: TemporaryError | None = None
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        return await self._try(aggregate, aggregate_id, command, actor, command_id, secrets)
                    except RevisionConflict as error:
                        last = error
                        # Those who collide should not collide again at the same moment.
                        await asyncio.sleep(error.retry_after_s * (1 + random.random()))  # noqa: S311
        except TimeoutError:
            why = "the database does not answer in time" if last is None else "too many changes at once"
            raise Unavailable(f"{why}; try again soon") from last

    async def _try(
        self,
        aggregate: Aggregate[S],
        aggregate_id: str,
        command: AnyCommand | Callable[[S], AnyCommand],
        actor: Actor,
        command_id: CommandId,
        secrets: Mapping[str, bytes | None],
    ) -> S:
        found = await self._store.load_with_head(aggregate, aggregate_id)
        before, head = found if found is not None else (None, GENESIS)
        events = await self._decide(aggregate, before, command, command_id)
        if not events or await self._store.is_recorded(f"{command_id}.1"):
            if before is None:
                raise NotFound(f"there is no {aggregate.name} {aggregate_id}")
            return before
        history = entries(
            aggregate.name,
            AggregateId(aggregate_id),
            events,
            after_revision=before.revision if before is not None else 0,
            command_id=command_id,
            at=to_milliseconds(self._clock()),
            actor=actor,
        )
        after = fold(aggregate, history, before)
        if after is None:
            raise NotFound(f"there is no {aggregate.name} {aggregate_id}")
        change = Change(
            aggregate=aggregate.name,
            state=after,
            before_revision=before.revision if before is not None else 0,
            links=chained(history, head=head),
            outbox=outbox_rows(before, after, history, deployer_id=self._deployer_id),
            secrets=secrets,
        )
        if self._room is not None:
            self._room.check()
        await self._store.commit(change)
        self._on_change(after)
        return after

    async def _decide(
        self,
        aggregate: Aggregate[S],
        before: S | None,
        command: AnyCommand | Callable[[S], AnyCommand],
        command_id: CommandId,
    ) -> tuple[Event, ...]:
        """What comes of the command; nothing of one that was carried out already and would be refused by now."""
        try:
            if isinstance(command, Command):
                return aggregate.decide(before, command)
            if before is None:
                raise NotFound(f"there is no such {aggregate.name}")
            return aggregate.decide(before, command(before))
        except PermanentError:
            if before is None or not await self._store.is_recorded(f"{command_id}.1"):
                raise
            return ()


def outbox_rows(
    before: State | None, after: State, history: tuple[Entry, ...], *, deployer_id: str
) -> tuple[OutboxRow, ...]:
    """What is to be published about a change: its events, then the effects that it makes wanted."""
    bodies: list[tuple[subjects.Bucket | None, str, bytes]] = [
        (None, subjects.event(entry.aggregate, entry.aggregate_id, _token(entry)), msgspec.json.encode(redacted(entry)))
        for entry in history
    ]
    if isinstance(after, Model):
        was = wanted(before, deployer_id=deployer_id) if isinstance(before, Model) else {}
        effects = changed(was, wanted(after, deployer_id=deployer_id), revision=after.revision)
        bodies += [(effect.bucket, effect.key, msgspec.json.encode(effect.body)) for effect in effects]
    return tuple(
        OutboxRow(aggregate_id=after.id, revision=after.revision, place=place, bucket=bucket, key=key, body=body)
        for place, (bucket, key, body) in enumerate(bodies)
    )


def _token(entry: Entry) -> str:
    """`version.published` as one token of a subject: `version-published`."""
    return what_happened(entry.event).replace(".", "-")


def to_milliseconds(at: datetime) -> datetime:
    """All that the database keeps: what is hashed has to be what is read back."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
