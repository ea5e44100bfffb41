"""This file is how the history looks on the wire. Of variables only the names show, of tokens and keys no hash."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.api.http.views.settings import NAMES, settings_of
from services.api.http.views.wire import View, milliseconds
from services.core.audit import Link
from services.core.changes import Difference, Values
from services.core.events import what_happened
from services.core.past import Led, Live

_HIDDEN = frozenset({"token_hash", "key_hash"})
_VARIABLES = "environment_variables"


def audited(link: Link, difference: Difference | None = None) -> View:
    """One entry of the history; with what a change changed: `before` and `after`."""
    entry = link.entry
    details: View = {key: value for key, value in msgspec.to_builtins(entry.event).items() if key not in _HIDDEN}
    if isinstance(settings := details.get("settings"), dict):
        settings[_VARIABLES] = [name for name, _ in settings.get(_VARIABLES, ())]
    details.pop("type", None)
    return {
        "id": entry.id,
        "at": milliseconds(entry.at),
        "what": what_happened(entry.event),
        "actor": {
            "kind": entry.actor.kind,
            "id": entry.actor.id,
            "name": entry.actor.name,
            "address": entry.actor.address,
        },
        "aggregate": entry.aggregate,
        "aggregateId": entry.aggregate_id,
        "revision": entry.revision,
        "details": details,
        **({} if difference is None else changed(difference)),
        "hash": link.hash,
    }


def changed(difference: Difference) -> View:
    """Of variables: which there were and are, and of which the value is another one."""
    sealed = dict(difference.before.get(_VARIABLES) or ())  # type: ignore[call-overload]  # pairs, in core's own words
    return {"before": _values(difference.before), "after": _values(difference.after, sealed)}


def _values(values: Values, sealed: Mapping[str, str] | None = None) -> View:
    shown: View = {}
    for name, value in values.items():
        wire_name = NAMES.get(name, name)
        if name == _VARIABLES:
            pairs: list[tuple[str, str]] = list(value)  # type: ignore[call-overload]
            shown[wire_name] = [
                {"key": key, **({} if sealed is None else {"isChanged": sealed.get(key) != text})}
                for key, text in pairs
            ]
        else:
            shown[wire_name] = msgspec.to_builtins(value)
    return shown


def live(state: Live) -> View:
    """What of a model was live at a moment."""
    numbers: dict[str, int] = {version.id: version.number for version in state.versions}
    return {
        "modelId": state.id,
        "name": state.name,
        "revision": state.revision,
        "isArchived": state.is_archived,
        "isRestricted": state.is_restricted,
        "routes": {label: _led(led, numbers) for label, led in state.routes.items()},
        "versions": [
            {
                "versionId": version.id,
                "versionNumber": version.number,
                "artifact": version.artifact,
                "deployment": version.deployment,
            }
            for version in state.versions
        ],
        "settings": settings_of(state.settings),
        "tokens": [{"id": token.id, "name": token.name} for token in state.tokens],
    }


def _led(led: Led, numbers: Mapping[str, int]) -> View:
    canary = None
    if led.candidate is not None:
        canary = {
            "versionId": led.candidate,
            "versionNumber": numbers.get(led.candidate),
            "share": led.share,
        }
    number = None if led.version_id is None else numbers.get(led.version_id)
    return {"versionId": led.version_id, "versionNumber": number, "canary": canary}
