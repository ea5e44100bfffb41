"""This file is how labels move: who takes over, what is not needed any more, and the order that no caller notices.

A version that a label leads to, that is tried on one as its canary, or that has one promised, is needed. What a move
leaves unneeded is stopped in the same decision: routed out first, by the move itself, then stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from services.core.events import CanaryEnded, Event, LabelMoved, StopOrdered
from services.core.ids import VersionId
from services.core.lifecycle import Version
from services.core.model import LATEST, PROD, Canary, Model

T = TypeVar("T")


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """Where the labels of a model lead, and what is tried on them."""

    labels: Mapping[str, VersionId] = {}
    canaries: Mapping[str, Canary] = {}

    def need(self, version_id: VersionId) -> bool:
        tried = {canary.version_id for canary in self.canaries.values()}
        return version_id in tried or version_id in self.labels.values()


def routes_of(model: Model) -> Routes:
    return Routes(labels=model.labels, canaries=model.canaries)


def switch(model: Model, moves: Mapping[str, Version], reason: str) -> tuple[Event, ...]:
    """Every label of `moves` leads to its version; what was tried on such a label is not any more.

    A move of `latest` also stops the versions that were ordered to run before: they would only lose it again.
    """
    moved = {label: version for label, version in moves.items() if model.labels.get(label) != version.id}
    after = Routes(
        labels=model.labels | {label: version.id for label, version in moved.items()},
        canaries={label: canary for label, canary in model.canaries.items() if label not in moved},
    )
    return settle(model, after, reason)


def withdraw(model: Model, label: str, reason: str) -> tuple[Event, ...]:
    """`label` leads to no version any more, and nothing is tried on it."""
    return settle(model, Routes(labels=_without(model.labels, label), canaries=_without(model.canaries, label)), reason)


def end_canary(model: Model, label: str, reason: str) -> tuple[Event, ...]:
    """Nothing is tried on `label` any more."""
    return settle(model, Routes(labels=model.labels, canaries=_without(model.canaries, label)), reason)


def end_canaries_of(model: Model, version: Version, reason: str) -> tuple[Event, ...]:
    """`version`, which has failed, is not tried any more."""
    kept = {label: canary for label, canary in model.canaries.items() if canary.version_id != version.id}
    return tuple(_ended(model, Routes(labels=model.labels, canaries=kept), reason))


def stop(model: Model, version: Version, reason: str) -> tuple[Event, ...]:
    """`version` is routed out and stopped. What was tried on its labels has nothing to be held to any more."""
    if not version.is_wanted:
        return ()
    labels = {label: labelled for label, labelled in model.labels.items() if labelled != version.id}
    canaries = {
        label: canary for label, canary in model.canaries.items() if label in labels and canary.version_id != version.id
    }
    return settle(model, Routes(labels=labels, canaries=canaries), reason, stopped=frozenset({version.id}))


def stop_all(model: Model, reason: str) -> tuple[Event, ...]:
    wanted = frozenset(version.id for version in model.versions if version.is_wanted)
    return settle(model, Routes(), reason, stopped=wanted)


def settle(
    model: Model,
    after: Routes,
    reason: str,
    *,
    stopped: frozenset[VersionId] = frozenset(),
) -> tuple[Event, ...]:
    """What takes the model's routes to `after`; `stopped`, and what that leaves unneeded, stops."""
    latest = _latest(model, after)
    has_moved = LATEST in after.labels and after.labels[LATEST] != model.labels.get(LATEST)
    left = {version for label, version in model.labels.items() if after.labels.get(label) != version}
    left |= {canary.version_id for label, canary in model.canaries.items() if label not in after.canaries}
    return (
        *_moved(model, after),
        *_ended(model, after, reason),
        *(
            StopOrdered(version_id=version.id, reason=reason)
            for version in model.versions
            if version.id in stopped
            or (
                version.is_wanted
                and (version.id in left or (has_moved and _is_outrun(version, latest)))
                and not _stays(version, after, latest)
            )
        ),
    )


def _moved(model: Model, after: Routes) -> Iterator[Event]:
    for label in sorted(model.labels.keys() | after.labels.keys()):
        before, now = model.labels.get(label), after.labels.get(label)
        if before != now:
            yield LabelMoved(label=label, version_id=now, previous=before)


def _ended(model: Model, after: Routes, reason: str) -> Iterator[Event]:
    for label, canary in sorted(model.canaries.items()):
        if label not in after.canaries:
            took_over = after.labels.get(label) == canary.version_id
            why = "it took over" if took_over else reason
            yield CanaryEnded(label=label, version_id=canary.version_id, reason=why)


def _latest(model: Model, after: Routes) -> Version | None:
    version_id = after.labels.get(LATEST)
    return None if version_id is None else model.version(version_id)


def _is_outrun(version: Version, latest: Version | None) -> bool:
    return latest is not None and version.ordered_at < latest.ordered_at


def _stays(version: Version, after: Routes, latest: Version | None) -> bool:
    if after.need(version.id) or PROD in version.promised:
        return True
    return LATEST in version.promised and not _is_outrun(version, latest)


def _without(labelled: Mapping[str, T], label: str) -> dict[str, T]:
    return {each: value for each, value in labelled.items() if each != label}
