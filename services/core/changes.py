"""This file is what a change of settings changed: what differs, before and after.

Events hold what is so from then on, all of it. What was so before follows from the earlier ones of the same aggregate.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.core.events import (
    ConfigurationSet,
    Entry,
    Event,
    InstancesSet,
    ModelCreated,
    ModelDescribed,
    QuotaChanged,
    SettingsChanged,
)

Values = dict[str, object]

CHANGING: tuple[type[Event], ...] = (SettingsChanged, InstancesSet, ModelDescribed, ConfigurationSet, QuotaChanged)
TELLING: tuple[type[Event], ...] = (ModelCreated, *CHANGING)
"""What has to be read of a history to tell what its changes changed."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The values that differ, by the names that core has for them. One that is in `after` alone was not set before."""

    before: Values
    after: Values


def differences(history: Iterable[Entry]) -> dict[int, Difference]:
    """What each change in `history` changed, by revision. `history`: what is `TELLING` of one aggregate, in order."""
    known: Values = {}
    found: dict[int, Difference] = {}
    for entry in history:
        told = _told(entry.event)
        if isinstance(entry.event, CHANGING):
            differing = [name for name, value in told.items() if name not in known or known[name] != value]
            before = {name: known[name] for name in differing if name in known}
            found[entry.revision] = Difference(before=before, after={name: told[name] for name in differing})
        known |= told
    return found


def _told(event: Event) -> Values:
    """What holds from `event` on, of what it speaks about."""
    match event:
        case ModelCreated():
            about = {"name": event.name, "description": event.description, "environment_id": event.environment_id}
            return {**msgspec.structs.asdict(event.settings), **about}
        case SettingsChanged():
            return msgspec.structs.asdict(event.settings)
        case InstancesSet():
            return {"instances": event.instances}
        case ModelDescribed():
            return {"name": event.name, "description": event.description, "environment_id": event.environment_id}
        case ConfigurationSet():
            return {event.key: event.value}
        case QuotaChanged():
            return {f"{event.quota_id}.is_visible": event.is_visible, f"{event.quota_id}.is_default": event.is_default}
        case _:
            return {}
