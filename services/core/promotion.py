"""This file decides who answers a model's labels: readiness, promotion, roll back, and canaries.

`latest` goes to the version that was ordered to run last among those that have become wholly ready, so a late, repeated
or reordered observation cannot move it backwards; and a version that fails to build or to start never touches the one
that serves. `prod` goes where a person sends it. A label moves only to a version that is ready: one that is not is
started with the label promised to it.
"""

from __future__ import annotations

from services.core.commands import (
    CompleteCanary,
    DemoteVersion,
    PromoteVersion,
    RecordReady,
    RollBack,
    SetCanary,
    WithdrawCanary,
)
from services.core.errors import Invalid, Refused
from services.core.events import (
    CanarySet,
    DefaultsPickedUp,
    DeploymentOrdered,
    Event,
    LabelPromised,
    StopOrdered,
    VersionBecameReady,
)
from services.core.ids import VersionId
from services.core.lifecycle import Version, evolve_version
from services.core.model import LATEST, PROD, Canary, Model
from services.core.records import BuildPhase
from services.core.settings import Defaults, check_memory
from services.core.takeover import end_canary, routes_of, switch, withdraw

MOST_SHARE = 100.0


def refuse_archived(model: Model) -> None:
    if model.is_archived:
        raise Refused(f"model {model.name!r} is archived: restore it first")


def refuse_failed(version: Version) -> None:
    if version.build is BuildPhase.FAILED:
        raise Refused(f"version {version.number} cannot start: its build failed: {version.reason}")


def order(model: Model, version: Version, promised: tuple[str, ...], defaults: Defaults) -> tuple[Event, ...]:
    """`version` is to run, with what the platform's configuration says by now."""
    refuse_failed(version)
    check_memory(model.settings, version.source.written_in)
    ordered = DeploymentOrdered(version_id=version.id, generation=version.generation + 1, promised=promised)
    return (*pick_up(model, defaults), ordered, *(_promise_prod(model, version) if PROD in promised else ()))


def _promise_prod(model: Model, version: Version) -> tuple[Event, ...]:
    """Whoever was promised it before is not any more, and stops when it was started for that alone."""
    outbid = (
        StopOrdered(version_id=other.id, reason=f"version {version.number} is to be in production instead")
        for other in model.versions
        if other.id != version.id
        and other.is_wanted
        and other.promised == (PROD,)
        and not routes_of(model).need(other.id)
    )
    return (LabelPromised(label=PROD, version_id=version.id), *outbid)


def pick_up(model: Model, defaults: Defaults) -> tuple[Event, ...]:
    return (DefaultsPickedUp(defaults=defaults),) if defaults != model.defaults else ()


def record_ready(model: Model, command: RecordReady) -> tuple[Event, ...]:
    """Every label that the version was promised leads to it, unless `latest` leads to one ordered later."""
    version = model.version(command.version_id)
    ready = VersionBecameReady(version_id=version.id, generation=command.generation)
    if evolve_version(version, ready, model.revision) is version:
        return ()
    serving = model.labels.get(LATEST)
    is_late = serving is not None and model.version(serving).ordered_at > version.ordered_at
    moves = {
        label: version
        for label in version.promised
        if label in model.known_labels and not (label == LATEST and is_late)
    }
    if moves:
        return (ready, *switch(model, moves, f"version {version.number} took over"))
    if version.promised and not routes_of(model).need(version.id):
        return (ready, StopOrdered(version_id=version.id, reason="a version ordered later already serves"))
    return (ready,)


def promote(model: Model, command: PromoteVersion) -> tuple[Event, ...]:
    refuse_archived(model)
    if PROD not in model.known_labels:
        raise Refused(f"model {model.name!r} has the basic routing mode: set it to advanced to promote a version")
    return _lead(model, PROD, model.version(command.version_id), command.defaults)


def roll_back(model: Model, command: RollBack) -> tuple[Event, ...]:
    refuse_archived(model)
    label = command.label or _led(model)
    _check_label(model, label)
    earlier = model.previous.get(label)
    if earlier is None or earlier == model.labels.get(label):
        raise Refused(f"there is no earlier version that {label} led to")
    return _lead(model, label, model.version(earlier), command.defaults)


def _led(model: Model) -> str:
    is_prod_used = PROD in model.known_labels and (PROD in model.labels or PROD in model.previous)
    return PROD if is_prod_used else LATEST


def _lead(model: Model, label: str, version: Version, defaults: Defaults) -> tuple[Event, ...]:
    """`label` leads to `version`: now when it is ready, else as soon as it is."""
    if model.labels.get(label) == version.id:
        return ()
    if version.is_serving:
        return switch(model, {label: version}, f"version {version.number} took over")
    if version.is_wanted:
        if label in version.promised:
            return ()
        return _promise_prod(model, version) if label == PROD else (LabelPromised(label=label, version_id=version.id),)
    return order(model, version, (label,), defaults)


def demote(model: Model, command: DemoteVersion) -> tuple[Event, ...]:
    version = model.version(command.version_id)
    if model.labels.get(PROD) != version.id:
        raise Refused(f"version {version.number} is not in production")
    return withdraw(model, PROD, f"version {version.number} was demoted")


def set_canary(model: Model, command: SetCanary) -> tuple[Event, ...]:
    refuse_archived(model)
    label, version = command.label, model.version(command.version_id)
    _check_label(model, label)
    if not 0 <= command.share <= MOST_SHARE:
        raise Invalid(f"share must be between 0 and 100 percent, got {command.share:g}", field="share")
    _check_candidate(model, label, version)
    if model.canaries.get(label) == Canary(version_id=version.id, share=command.share) and version.is_wanted:
        return ()
    started = () if version.is_wanted else order(model, version, (), command.defaults)
    return (*started, CanarySet(label=label, version_id=version.id, share=command.share))


def _check_candidate(model: Model, label: str, version: Version) -> None:
    refuse_failed(version)
    canary = model.canaries.get(label)
    if label not in model.labels:
        raise Refused(f"{label} leads to no version yet: a canary needs one to be held to")
    if model.labels[label] == version.id:
        raise Refused(f"version {version.number} already answers {label}")
    if label in version.promised:
        raise Refused(f"version {version.number} takes over {label} as soon as it is ready: publish without deploying")
    if canary is not None and canary.version_id != version.id:
        number = model.version(canary.version_id).number
        raise Refused(f"version {number} is tried on {label} already: complete or withdraw it first")


def complete_canary(model: Model, command: CompleteCanary) -> tuple[Event, ...]:
    version = model.version(_candidate(model, command.label))
    if not version.is_serving:
        raise Refused(f"version {version.number} is not ready yet")
    return switch(model, {command.label: version}, f"version {version.number} took over")


def withdraw_canary(model: Model, command: WithdrawCanary) -> tuple[Event, ...]:
    _candidate(model, command.label)
    return end_canary(model, command.label, "it was withdrawn")


def _candidate(model: Model, label: str) -> VersionId:
    _check_label(model, label)
    if label not in model.canaries:
        raise Refused(f"no version is tried on {label}")
    return model.canaries[label].version_id


def _check_label(model: Model, label: str) -> None:
    if label not in model.known_labels:
        known = " or ".join(model.known_labels)
        raise Invalid(f"label must be {known} on model {model.name!r}, got {label!r}", field="label")
