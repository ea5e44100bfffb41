"""This file is one aggregate of any kind and all that happened to it, for tests of its two pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any, Generic, TypeVar

from services.core.aggregates import Aggregate, State, entries, fold
from services.core.commands import Command
from services.core.events import Entry, Event
from services.core.ids import AggregateId, CommandId
from tests.makers import PERSON, START

S = TypeVar("S", bound=State)
ID = AggregateId("7" * 24)


class Life(Generic[S]):
    """Each command is a second after the one before."""

    def __init__(self, aggregate: Aggregate[S], *commands: Command) -> None:
        self.aggregate = aggregate
        self.entries: list[Entry] = []
        self._state: S | None = None
        self._numbers = count(1)
        self.do(*commands)

    @property
    def state(self) -> S:
        assert self._state is not None
        return self._state

    def do(self, *commands: Command) -> list[Event]:
        """What the last of them brought about."""
        events: Sequence[Event] = ()
        for command in commands:
            number = next(self._numbers)
            events = self.aggregate.decide(self._state, command)
            fresh = entries(
                self.aggregate.name,
                ID,
                events,
                after_revision=len(self.entries),
                command_id=CommandId(f"command-{number}"),
                at=START + timedelta(seconds=number),
                actor=PERSON,
            )
            self._state = fold(self.aggregate, fresh, self._state)
            self.entries.extend(fresh)
        return list(events)

    def happens(self, event: Any) -> S:
        """The state after an event that nobody decided."""
        entry = Entry(
            id=f"x.{len(self.entries)}",  # type: ignore[arg-type]
            at=START + timedelta(days=1),
            actor=PERSON,
            aggregate=self.aggregate.name,
            aggregate_id=ID,
            revision=len(self.entries) + 1,
            event=event,
        )
        self.entries.append(entry)
        self._state = self.aggregate.evolve(self._state, entry)
        return self.state
