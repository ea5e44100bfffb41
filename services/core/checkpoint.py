"""This file is the proof that nothing was cut off: where the histories had come to, again and again, in one chain.

A checkpoint holds the heads that changed since the one before it. A history that was cut at its end, taken away whole
or written anew does not lead through its heads any more; a checkpoint that was altered or taken away breaks the chain.
Of the chain's own end others keep the word: see `Seal`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from services.core.audit import GENESIS, content_hash
from services.core.ids import AggregateId

HEADS = 1000  # in one checkpoint at most


class Head(NamedTuple):
    """The newest entry of one history."""

    aggregate: str
    revision: int
    hash: str


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as the bus and the log keep it: whoever changes the chain changes its hash, too."""

    number: int
    at: datetime
    hash: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain; `number` counts from 1 without gaps."""

    number: int
    at: datetime
    heads: dict[AggregateId, Head]
    previous_hash: str
    hash: str

    @property
    def seal(self) -> Seal:
        return Seal(number=self.number, at=self.at, hash=self.hash)


def following(newest: Seal | None, heads: Mapping[AggregateId, Head], *, at: datetime) -> Checkpoint:
    """The checkpoint behind `newest`; None: the first of all."""
    number, previous_hash = (1, GENESIS) if newest is None else (newest.number + 1, newest.hash)
    content = {"number": number, "at": at, "heads": dict(heads)}
    digest = checkpoint_hash(content, previous_hash=previous_hash)
    return Checkpoint(number=number, at=at, heads=dict(heads), previous_hash=previous_hash, hash=digest)


def checkpoint_hash(content: Mapping[str, Any], *, previous_hash: str) -> str:
    """Of `number`, `at` and `heads`, as `audit.content_hash` makes one."""
    return content_hash(content, previous_hash=previous_hash)


def newest_heads(changed: Iterable[tuple[AggregateId, Head]]) -> dict[AggregateId, Head]:
    """Of each history the head that is farthest on."""
    heads: dict[AggregateId, Head] = {}
    for aggregate_id, head in changed:
        if aggregate_id not in heads or heads[aggregate_id].revision < head.revision:
            heads[aggregate_id] = head
    return heads


class Sighting(NamedTuple):
    """A checkpoint's word about one history."""

    revision: int
    number: int  # the checkpoint's
    hash: bytes


class Sightings:
    """All that the checkpoints say, by history: some fifty bytes for each head."""

    _SIZE = 8 + 8 + 32

    def __init__(self) -> None:
        self._by_history: dict[str, tuple[str, bytearray]] = {}

    def add(self, number: int, heads: Mapping[AggregateId, Head]) -> None:
        for aggregate_id, head in heads.items():
            _, packed = self._by_history.setdefault(aggregate_id, (head.aggregate, bytearray()))
            packed += head.revision.to_bytes(8, "big") + number.to_bytes(8, "big") + bytes.fromhex(head.hash)

    def of(self, aggregate_id: str) -> list[Sighting]:
        """In order of revision."""
        _, packed = self._by_history.get(aggregate_id, ("", b""))
        pieces = (packed[at : at + self._SIZE] for at in range(0, len(packed), self._SIZE))
        return sorted(
            Sighting(int.from_bytes(each[:8], "big"), int.from_bytes(each[8:16], "big"), bytes(each[16:]))
            for each in pieces
        )

    def histories(self) -> Iterator[tuple[str, str]]:
        """Kind and id of all that any checkpoint ever saw."""
        return ((kind, aggregate_id) for aggregate_id, (kind, _) in self._by_history.items())
