"""This file decides what may be taken away because nothing needs it: blobs, environments, unpacked files.

Two things save what is held: a reference from something that is decided, and recent use. What is used while nothing
refers to it yet (an upload before its commit, a build before its report) is saved by its age alone, so whoever uses
something that is there already marks it as used again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from services.core.ids import Digest
from services.core.model import Model
from services.core.wanted import needs_its_build

GRACE_S = 86_400.0
EVERY_S = 3600.0


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in a store, as it was when it was looked at."""

    name: str
    used_at: datetime  # made, or marked as used again
    size_bytes: int = 0


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    count: int = 0
    size_bytes: int = 0

    def with_one(self, held: Held) -> Collected:
        return Collected(count=self.count + 1, size_bytes=self.size_bytes + held.size_bytes)


def unused_since(now: datetime, *, grace_s: float, unfinished: Iterable[datetime] = ()) -> datetime:
    """Only what was last used before this instant may go.

    `unfinished` are the instants at which builds that have not ended were ordered: what they made or reused since is
    not referred to yet, however long they take or their report waits.
    """
    return min((now - timedelta(seconds=grace_s), *unfinished))


def collectable(held: Iterable[Held], needed: Container[str], *, unused_since: datetime) -> Iterator[Held]:
    """Those that nothing needs and nobody used lately."""
    return (each for each in held if each.used_at < unused_since and each.name not in needed)


def needed_artifacts(model: Model) -> frozenset[Digest]:
    """The artifacts from which versions of `model` run, or may be started."""
    return frozenset(
        version.artifact for version in model.versions if version.artifact is not None and needs_its_build(version)
    )


def unfinished_builds(model: Model) -> tuple[datetime, ...]:
    """When each build that has not ended was ordered."""
    return tuple(version.created_at for version in model.versions if version.is_unbuilt)
