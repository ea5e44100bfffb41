"""This file proves the database by its own history, by the checkpoints of it, and by what the bus knows of those."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

import msgspec

from services.core.aggregates import AGGREGATES, State
from services.core.audit import GENESIS
from services.core.checkpoint import Head, Sighting, Sightings
from services.core.errors import Unavailable
from services.core.events import Entry
from services.core.ids import AggregateId

MOST_FINDINGS = 1000  # that are told: of a database that is somebody else's nothing fits
CHAIN = ("checkpoint", "chain")  # what a finding about the checkpoints themselves is about


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: where, and what."""

    aggregate: str
    aggregate_id: str
    revision: int  # of a finding about checkpoints: the number of one
    what: str


class Verification(msgspec.Struct, kw_only=True):
    """What was read, and what was found wrong in it."""

    aggregates: int = 0
    events: int = 0
    checkpoints: int = 0
    ahead: int = 0  # histories with changes that no checkpoint has yet
    witnessed: int = 0  # the newest checkpoint that the bus knows; 0: none
    unwitnessed_because: str = ""  # "": the bus was asked
    findings: list[Finding] = []

    def note(self, aggregate: str, aggregate_id: str, revision: int, what: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            found = Finding(aggregate=aggregate, aggregate_id=aggregate_id, revision=revision, what=what)
            self.findings.append(found)


class StoredEntry(NamedTuple):
    """An entry of the history as it is stored. `computed_hash`: what its hash has to be."""

    revision: int
    previous_hash: str
    hash: str
    computed_hash: str
    entry: Entry | None  # None: it cannot be read


class StoredState(NamedTuple):
    id: str
    revision: int  # 0: it is not said, or not twice the same
    head: str
    state: State | None  # None: it cannot be read


class StoredCheckpoint(NamedTuple):
    number: int
    previous_hash: str
    hash: str
    computed_hash: str
    heads: Mapping[AggregateId, Head] | None  # None: they cannot be read


class Evidence(Protocol):
    """What is stored, in pages. Raises `Unavailable`, and nothing for what cannot be read."""

    def checkpoints(self) -> AsyncIterator[StoredCheckpoint]:
        """All, in the order of their numbers."""

    def states(self, aggregate: str) -> AsyncIterator[StoredState]:
        """Every state of a kind."""

    async def state(self, aggregate: str, aggregate_id: str) -> StoredState | None: ...

    def entries(self, aggregate_id: str, *, up_to: int) -> AsyncIterator[StoredEntry]:
        """The history of one aggregate up to a revision, oldest first."""

    def histories(self) -> AsyncIterator[str]:
        """The id of every aggregate that has any event."""

    async def kind_of(self, aggregate_id: str) -> str:
        """What the events of an aggregate say that it is."""


class Witness(Protocol):
    """Who knows of checkpoints without the database."""

    async def seals(self) -> Mapping[int, frozenset[str]]:
        """The hashes it was told, by the checkpoint's number; the oldest may be forgotten. Raises `Unavailable`."""


async def verify(evidence: Evidence, witness: Witness | None = None) -> Verification:
    """Reads all there is. What was first is read last, so that changes meanwhile confuse nothing: the bus hears of a
    checkpoint that is stored, a checkpoint is of states that are stored, and a state is stored with its events.
    """
    result = Verification(findings=[])
    seals = await _seals(witness, result)
    sightings = await _verify_checkpoints(evidence, seals, result)
    seen: set[str] = set()
    for aggregate in AGGREGATES:
        async for stored in evidence.states(aggregate):
            seen.add(stored.id)
            result.aggregates += 1
            await _History(evidence, aggregate, stored, sightings.of(stored.id), result).verify()
    async for aggregate_id in evidence.histories():
        if aggregate_id not in seen:
            seen.add(aggregate_id)
            aggregate = await evidence.kind_of(aggregate_id)
            if await evidence.state(aggregate, aggregate_id) is None:
                result.note(aggregate, aggregate_id, 0, "it has a history and no state")
    for aggregate, aggregate_id in sightings.histories():
        if aggregate_id not in seen:
            last = sightings.of(aggregate_id)[-1]
            what = f"it is gone, state and history: checkpoint {last.number} saw it at revision {last.revision}"
            result.note(aggregate, aggregate_id, 0, what)
    return result


async def _seals(witness: Witness | None, result: Verification) -> Mapping[int, frozenset[str]]:
    if witness is None:
        result.unwitnessed_because = "nobody was asked"
        return {}
    try:
        seals = await witness.seals()
    except Unavailable as error:
        result.unwitnessed_because = error.reason
        return {}
    result.witnessed = max(seals, default=0)
    return seals


async def _verify_checkpoints(
    evidence: Evidence, seals: Mapping[int, frozenset[str]], result: Verification
) -> Sightings:
    """What the sound ones among them say. Of many that the bus knows otherwise only the first is told."""
    sightings = Sightings()
    previous, number, is_denied = GENESIS, 0, False
    async for stored in evidence.checkpoints():
        result.checkpoints += 1
        if stored.number != number + 1:
            result.note(*CHAIN, number + 1, "a checkpoint is missing")
        elif stored.previous_hash != previous:
            result.note(*CHAIN, stored.number, "a checkpoint does not follow from the one before it")
        if stored.computed_hash != stored.hash or stored.heads is None:
            result.note(*CHAIN, stored.number, "a checkpoint was altered")
        else:
            sightings.add(stored.number, stored.heads)
        previous, number = stored.hash, stored.number
        known = seals.get(number, frozenset())
        if known - {stored.hash} and not is_denied:
            is_denied = True
            result.note(*CHAIN, number, "the bus knows another checkpoint of this number: the chain was written anew")
    if result.witnessed > number:
        what = f"the chain of checkpoints was cut: the bus knows checkpoint {result.witnessed}"
        result.note(*CHAIN, number + 1, what)
    return sightings


class _History:
    """One aggregate: its state, its events, and what checkpoints saw of them. At most one thing is told of it."""

    def __init__(
        self, evidence: Evidence, aggregate: str, stored: StoredState, sighted: list[Sighting], result: Verification
    ) -> None:
        self._evidence = evidence
        self._aggregate = aggregate
        self._stored = stored
        self._last = sighted[-1] if sighted else None
        self._sighted: dict[int, list[Sighting]] = {}
        for each in sighted:
            self._sighted.setdefault(each.revision, []).append(each)
        self._result = result
        self._borne_out = 0  # the last revision that a checkpoint saw and that is as it saw it

    async def verify(self) -> None:
        if (wrong := await self._wrong()) is not None:
            self._result.note(self._aggregate, self._stored.id, *wrong)
        elif self._last is None or self._last.revision < self._stored.revision:
            self._result.ahead += 1

    async def _wrong(self) -> tuple[int, str] | None:
        stored = self._stored
        if stored.state is None:
            return stored.revision, "the state cannot be read"
        folded: State | None = None
        previous, revision = GENESIS, 0
        async for event in self._evidence.entries(stored.id, up_to=stored.state.revision + 1):
            if event.revision > stored.state.revision:
                if await self._is_left_behind():
                    return event.revision, "the history goes on after its state"
                break
            revision += 1
            self._result.events += 1
            if event.revision != revision:
                return revision, "an event is missing"
            if event.entry is None or event.previous_hash != previous or event.hash != event.computed_hash:
                return revision, "an event was altered, or does not follow from the one before it"
            if (wrong := self._unlike_what_was_seen(revision, event.hash)) is not None:
                return revision, wrong
            previous = event.hash
            try:
                folded = AGGREGATES[self._aggregate].evolve(folded, event.entry)
            except ValueError:
                return revision, "an event does not follow from what happened before it"
        return self._wrong_at_its_end(folded, revision, previous)

    def _wrong_at_its_end(self, folded: State | None, revision: int, newest: str) -> tuple[int, str] | None:
        stored = self._stored
        if stored.state is None or revision != stored.state.revision:
            return revision, "the history ends before the state does"
        if newest != stored.head:
            return revision, "the state does not hold the hash of its newest event"
        if folded != stored.state or revision != stored.revision:
            return revision, "the state is not the fold of its events"
        if self._last is not None and self._last.revision > revision:
            what = f"state and history were cut off: checkpoint {self._last.number} saw revision {self._last.revision}"
            return revision + 1, what
        return None

    def _unlike_what_was_seen(self, revision: int, event_hash: str) -> str | None:
        seen = self._sighted.get(revision, [])
        for each in seen:
            if each.hash.hex() != event_hash:
                return (
                    f"the history was written anew: it is not what checkpoint {each.number} saw, "
                    f"the last revision that is as seen is {self._borne_out}"
                )
        if seen:
            self._borne_out = revision
        return None

    async def _is_left_behind(self) -> bool:
        """A change meanwhile brings its state along."""
        now = await self._evidence.state(self._aggregate, self._stored.id)
        return now is None or now.revision == self._stored.revision
