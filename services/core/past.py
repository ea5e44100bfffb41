"""This file is what was live at an earlier moment: the history of a model, folded up to there.

The state of a model is nothing but the fold of its events, so a moment of the past is shown by the very code that shows
the present, and needs no records of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import takewhile

import msgspec

from services.core.aggregates import MODEL, fold
from services.core.events import Entry
from services.core.ids import AggregateId, Digest, VersionId
from services.core.lifecycle import DeploymentPhase, Version
from services.core.model import AccessToken, Model
from services.core.settings import Settings, effective


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """A version of which instances ran, or were about to, or were about to end."""

    id: VersionId
    number: int
    artifact: Digest
    deployment: DeploymentPhase


class Led(msgspec.Struct, frozen=True, kw_only=True):
    """Where the calls of a label went; `version_id` None: nobody answered. `candidate`: its canary, ready to answer."""

    version_id: VersionId | None
    candidate: VersionId | None = None
    share: float = 0.0  # percent of the calls that went to `candidate`


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What of a model was live at a moment. Of tokens only the names are told."""

    id: AggregateId
    revision: int  # of the last entry that had happened
    name: str
    is_archived: bool
    is_restricted: bool
    routes: dict[str, Led]  # none of an archived model
    versions: tuple[Ran, ...]
    settings: Settings  # with the platform's word where the model says nothing
    tokens: tuple[AccessToken, ...]


def state_at(history: Iterable[Entry], at: datetime) -> Model | None:
    """The model as it was at `at`, what happened in that very millisecond included; None: it was not there yet.

    `history` is in order of revision. It counts up to the first entry that is later, also where clocks went back.
    """
    return fold(MODEL, takewhile(lambda entry: entry.at <= at, history))


def live(model: Model) -> Live:
    """What of `model` callers and operators meet."""
    return Live(
        id=model.id,
        revision=model.revision,
        name=model.name,
        is_archived=model.is_archived,
        is_restricted=model.is_restricted,
        routes={} if model.is_archived else {label: _led(model, label) for label in model.known_labels},
        versions=tuple(_ran(version) for version in model.versions if version.is_deployed),
        settings=effective(model.settings, model.defaults),
        tokens=model.listed_tokens,
    )


def _led(model: Model, label: str) -> Led:
    canary = model.canaries.get(label)
    if canary is None or not model.version(canary.version_id).is_serving:
        return Led(version_id=model.labels.get(label))
    return Led(version_id=model.labels.get(label), candidate=canary.version_id, share=canary.share)


def _ran(version: Version) -> Ran:
    if version.artifact is None:
        raise ValueError(f"version {version.id} is built and has no artifact")
    return Ran(id=version.id, number=version.number, artifact=version.artifact, deployment=version.deployment)
