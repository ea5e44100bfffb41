"""This file says where the versions of a model should be: by the model's own history, and by what was ordered.

It folds on its own and in words of the wire only, so that it can contradict the platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

RUN, STOP = "run", "stop"
AT_REST = {"Stopped", "Ready to run", "Failed"}

_BUILD = {
    "version.published": "Preparing to build",
    "build.started": "Building",
    "build.completed": "",
    "build.failed": "Failed",
}
_DEPLOYMENT = {
    "version.published": "Ready to run",
    "version.deployment-ordered": "Starting",
    "version.became-ready": "Running",
    "version.stalled": "Stalled",
    "version.failed": "Failed",
    "version.stop-ordered": "Stopping",
    "version.stopped": "Stopped",
}


@dataclass(frozen=True)
class Told:
    """One version as its events tell it."""

    number: int = 0
    build: str = ""  # "" once it is built
    deployment: str = ""
    generation: int = 0

    @property
    def status(self) -> str:
        if self.build:
            return self.build
        return "Stopped" if self.deployment == "Stopping" else self.deployment


@dataclass
class History:
    """One model as its events tell it. `latest`: the version that the label points to."""

    versions: dict[str, Told] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    latest: str | None = None


def read_history(items: Iterable[Mapping[str, Any]]) -> History:
    """Audit items, oldest first, as a history."""
    history = History()
    for item in items:
        what, details = item["what"], item["details"]
        version_id = details.get("version_id")
        match what:
            case "token.created":
                history.tokens.add(details["token_id"])
            case "token.revoked":
                history.tokens.discard(details["token_id"])
            case "label.moved":
                history.latest = version_id
            case _ if what in _BUILD or what in _DEPLOYMENT:
                history.versions[version_id] = _moved(history.versions.get(version_id, Told()), what, details)
    return history


def _moved(told: Told, what: str, details: Mapping[str, Any]) -> Told:
    moved = replace(
        told,
        build=_BUILD.get(what, told.build),
        deployment=_DEPLOYMENT.get(what, told.deployment),
        generation=details.get("generation", told.generation),
    )
    if what == "version.published":
        return replace(moved, number=details["number"])
    if what == "version.stop-ordered" and told.build:
        return replace(moved, deployment="Ready to run")  # nothing of it was ever started
    return moved


@dataclass(frozen=True)
class Order:
    """What somebody asked of a version, and the platform accepted."""

    version_id: str
    wish: str
    is_broken: bool = False


def broken_promises(orders: Iterable[Order], history: History) -> list[str]:
    """Orders that the history does not show obeyed, once all is settled."""
    orders = list(orders)
    last = {order.version_id: (place, order) for place, order in enumerate(orders)}
    said = [f"version {each} was accepted and is unknown" for each in last if each not in history.versions]
    runs = {place: order for place, order in last.values() if order.wish == RUN}
    good = [place for place, order in runs.items() if not order.is_broken]
    ever_later = {place for place, order in enumerate(orders) if order.wish == RUN and not order.is_broken}
    for place, order in sorted(last.values(), key=lambda pair: pair[0]):
        if order.version_id not in history.versions:
            continue
        told = history.versions[order.version_id]
        is_newest = bool(good) and place == max(good) and not any(each > place for each in ever_later)
        said += _judge(order, told, is_newest=is_newest)
    return said


def _judge(order: Order, told: Told, *, is_newest: bool) -> list[str]:
    named = f"version {told.number}"
    if order.wish == STOP:
        return [] if told.status in AT_REST else [f"{named} was ordered to stop and is {told.status}"]
    if order.is_broken:
        return [] if told.status in AT_REST else [f"{named} cannot work and is {told.status}"]
    if is_newest and told.status != "Running":
        return [f"{named} was ordered to run last and is {told.status}"]
    return [] if told.status in {"Running", *AT_REST} else [f"{named} is {told.status}"]
