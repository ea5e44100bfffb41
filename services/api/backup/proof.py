"""This file proves histories as they pass: each chain holds, and each state is the fold of its events."""

from __future__ import annotations

from services.api.backup.records import Unsound
from services.api.store.whole import EVENTS, Stored
from services.api.verify import StoredState
from services.core.aggregates import AGGREGATES, State
from services.core.audit import GENESIS
from services.core.errors import ModelwayError

MOST = 100  # findings are told; one is enough to know


class Proof:
    """Take every document in its order, then `finish`. Of what is unsound the first `MOST` are kept."""

    def __init__(self) -> None:
        self.unsound: list[Unsound] = []
        self._kind = ""
        self._stored: StoredState | None = None
        self._folded: State | None = None
        self._previous, self._revision = GENESIS, 0
        self._what = ""  # is wrong with the history that passes now

    def take(self, stored: Stored) -> None:
        if stored.kind is not None:
            self.finish()
            self._kind, self._stored = stored.kind, stored.state
            self._folded, self._previous, self._revision = None, GENESIS, 0
            self._what = "" if self._stored.state is not None else "the state cannot be read"
        elif stored.collection == EVENTS and self._stored is not None and not self._what:
            self._take_event(stored)

    def finish(self) -> None:
        """The history that passed last has ended."""
        if self._stored is None:
            return
        what = self._what or self._wrong_at_its_end(self._stored)
        if what and len(self.unsound) < MOST:
            self.unsound.append(Unsound(aggregate=self._kind, aggregate_id=self._stored.id, what=what))
        self._stored = None

    def _wrong_at_its_end(self, stored: StoredState) -> str:
        if stored.state is None or self._revision != stored.state.revision or self._previous != stored.head:
            return "the history ends before the state does"
        if self._folded != stored.state or stored.revision != stored.state.revision:
            return "the state is not the fold of its events"
        return ""

    def _take_event(self, stored: Stored) -> None:
        event = stored.entry
        self._revision += 1
        follows = event.previous_hash == self._previous and event.revision == self._revision
        if not follows or event.hash != event.computed_hash or event.entry is None:
            self._what = f"event {self._revision} was altered, or does not follow from the one before it"
            return
        self._previous = event.hash
        try:
            self._folded = AGGREGATES[self._kind].evolve(self._folded, event.entry)
        except (ValueError, ModelwayError):
            self._what = f"event {self._revision} cannot have happened then"
