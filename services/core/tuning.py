"""This file decides what a change of settings does to what runs: at once, or by replacing instances."""

from __future__ import annotations

from collections.abc import Iterator

from services.core import settings as bounds
from services.core.commands import ChangeSettings, RestartVersion, ScaleInstances
from services.core.errors import Refused
from services.core.events import Event, InstancesScaled, RestartOrdered, SettingsChanged
from services.core.lifecycle import Version
from services.core.model import PROD, Model
from services.core.promotion import pick_up, refuse_archived
from services.core.settings import RoutingMode, Settings
from services.core.takeover import Routes, settle


def change_settings(model: Model, command: ChangeSettings) -> tuple[Event, ...]:
    """The settings as they should be. Versions that run with others of those that restart are replaced one by one."""
    refuse_archived(model)
    after = bounds.check(command.settings, command.defaults)
    if after == model.settings:
        return ()
    wanted = [version.source.written_in for version in model.versions if version.is_wanted]
    for language in wanted:
        bounds.check_memory(after, language)
    if len(set(wanted)) == 1:  # one language: what it has not has no effect at all
        bounds.check_effect(after, wanted[0], names=bounds.restarts(model.settings, after))
    return (
        SettingsChanged(settings=after),
        *_leave_advanced(model, after),
        *_restarts(model, command),
    )


def _restarts(model: Model, command: ChangeSettings) -> tuple[Event, ...]:
    orders = tuple(_restart_orders(model, command))
    return (*pick_up(model, command.defaults), *orders) if orders else ()


def _restart_orders(model: Model, command: ChangeSettings) -> Iterator[Event]:
    """What the platform's configuration says by now is no reason to restart, but is picked up when there is one."""
    for version in model.versions:
        before = bounds.effective(model.settings, version.defaults)
        changed = bounds.restarts(
            before, bounds.effective(command.settings, version.defaults), version.source.written_in
        )
        if changed and version.is_wanted and version.is_built:
            yield _restart(version, f"changed: {', '.join(changed)}")


def _leave_advanced(model: Model, after: Settings) -> tuple[Event, ...]:
    if after.routing_mode is RoutingMode.ADVANCED or PROD not in model.known_labels:
        return ()
    kept = Routes(
        labels={label: version for label, version in model.labels.items() if label != PROD},
        canaries={label: canary for label, canary in model.canaries.items() if label != PROD},
    )
    promised = frozenset(
        version.id
        for version in model.versions
        if version.promised == (PROD,) and version.is_wanted and not kept.need(version.id)
    )
    return settle(model, kept, "the routing mode became basic", stopped=promised)


def restart(model: Model, command: RestartVersion) -> tuple[Event, ...]:
    refuse_archived(model)
    version = model.version(command.version_id)
    if not version.is_deployed or not version.is_wanted:
        raise Refused(f"version {version.number} does not run: start it instead")
    return (*pick_up(model, command.defaults), _restart(version, "asked for"))


def _restart(version: Version, reason: str) -> Event:
    return RestartOrdered(version_id=version.id, generation=version.generation + 1, reason=reason)


def scale(model: Model, command: ScaleInstances) -> tuple[Event, ...]:
    """Within the bounds of the model's scaling; nothing when it has none any more."""
    scaling = model.settings.scaling
    if scaling is None or model.is_archived:
        return ()
    instances = min(max(command.instances, scaling.min_instances), scaling.max_instances)
    return () if instances == model.instances else (InstancesScaled(instances=instances, reason=command.reason),)
