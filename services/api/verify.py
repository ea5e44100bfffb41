"""This file proves the database by its own history: chains hold, and every state is the fold of its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from services.core.aggregates import AGGREGATES, State
from services.core.audit import GENESIS, Link, entry_hash


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: where, and what."""

    aggregate: str
    aggregate_id: str
    revision: int
    what: str


class Verification(msgspec.Struct, kw_only=True):
    """What was read, and what was found wrong in it."""

    aggregates: int = 0
    events: int = 0
    findings: list[Finding] = []


class Evidence(Protocol):
    """What is stored, read in an order that changes meanwhile cannot confuse: a state first, then its events."""

    def states(self, aggregate: str) -> AsyncIterator[tuple[State, str]]:
        """Every state of a kind with the hash of its newest entry."""

    def links(self, aggregate_id: str, *, up_to: int) -> AsyncIterator[Link]:
        """The history of one aggregate up to a revision, oldest first."""

    def aggregates_with_history(self) -> AsyncIterator[tuple[str, str]]:
        """Kind and id of every aggregate that has any event."""


async def verify(evidence: Evidence) -> Verification:
    """Reads the whole history. Finds an altered, removed or inserted event and an altered or removed state.

    It cannot find a history that was cut at its end together with its state, nor one written anew from the start.
    """
    result = Verification(findings=[])
    seen: set[str] = set()
    for aggregate in AGGREGATES:
        async for state, head in evidence.states(aggregate):
            seen.add(state.id)
            result.aggregates += 1
            if (finding := await _verify_one(evidence, aggregate, state, head, result)) is not None:
                result.findings.append(finding)
    async for aggregate, aggregate_id in evidence.aggregates_with_history():
        if aggregate_id not in seen and not await _appeared_meanwhile(evidence, aggregate, aggregate_id):
            what = "it has a history and no state"
            result.findings.append(Finding(aggregate=aggregate, aggregate_id=aggregate_id, revision=0, what=what))
    return result


async def _verify_one(
    evidence: Evidence, aggregate: str, state: State, head: str, result: Verification
) -> Finding | None:
    def finding(revision: int, what: str) -> Finding:
        return Finding(aggregate=aggregate, aggregate_id=state.id, revision=revision, what=what)

    folded: State | None = None
    previous, revision = GENESIS, 0
    async for link in evidence.links(state.id, up_to=state.revision):
        revision += 1
        result.events += 1
        if link.entry.revision != revision:
            return finding(revision, "an event is missing")
        if link.previous_hash != previous or link.hash != entry_hash(link.entry, previous_hash=previous):
            return finding(revision, "an event was altered, or does not follow from the one before it")
        previous = link.hash
        folded = AGGREGATES[aggregate].evolve(folded, link.entry)
    if revision != state.revision or previous != head:
        return finding(revision, "the history ends before the state does")
    if folded != state:
        return finding(revision, "the state is not the fold of its events")
    return None


async def _appeared_meanwhile(evidence: Evidence, aggregate: str, aggregate_id: str) -> bool:
    return any([state.id == aggregate_id async for state, _ in evidence.states(aggregate)])
