"""This file is how the history looks on the wire. Of variables only the names show, and no hash of a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from services.api.http.shapes import Id, Milliseconds, ModelId, Number, Sha256, VersionId, says
from services.api.http.views.models import Share
from services.api.http.views.platform import FindingView, found
from services.api.http.views.settings import NAMES, SettingsView, settings_of
from services.api.http.views.wire import Answer, milliseconds
from services.api.verify import Verification as Verified
from services.core import events, past
from services.core.audit import Link
from services.core.changes import Difference, Values
from services.core.lifecycle import DeploymentPhase
from services.core.redaction import HASHES

_HIDDEN = frozenset(HASHES)
_VARIABLES = "environment_variables"


class ActorView(Answer, frozen=True, kw_only=True):
    """Who caused something."""

    kind: Annotated[events.ActorKind, says("a person, or a service of the platform on what it observed")]
    id: Annotated[str, says("the person's id, or the service's name")]
    name: Annotated[str, says("the person's user name, or the service's name")]
    address: Annotated[str, says("where the request came from; empty with a service")]


class AuditEntry(Answer, frozen=True, kw_only=True):
    """One entry of the history: something that happened."""

    id: Annotated[str, says("the entry's id")]
    at: Annotated[Milliseconds, says("when it happened, epoch milliseconds")]
    what: Annotated[str, says("the kind of event, as in model.created")]
    actor: Annotated[ActorView, says("who caused it")]
    aggregate: Annotated[str, says("the kind of thing it happened to, as in model or project")]
    aggregate_id: Annotated[str, says("which one")]
    revision: Annotated[int, says("its place in the history of that thing, from 1 without gaps", low=1)]
    details: Annotated[dict[str, Any], says("what the event holds; no value of a variable, no hash of a secret")]
    before: Annotated[dict[str, Any] | UnsetType, says("with a change: the values that it changed, as they were")] = (
        UNSET
    )
    after: Annotated[dict[str, Any] | UnsetType, says("with a change: the same, as they are since")] = UNSET
    hash: Annotated[Sha256, says("the SHA-256 of the entry and of the one before it, lower-case hexadecimal")]


class LedCanary(Answer, frozen=True, kw_only=True):
    """The version that was tried on a share of a label's calls."""

    version_id: VersionId
    version_number: Annotated[int | None, says("its number")]
    share: Share


class LedTo(Answer, frozen=True, kw_only=True):
    """Where the calls of a label went."""

    version_id: Annotated[VersionId | None, says("the version that answered; null: none did")]
    version_number: Annotated[int | None, says("its number; null: none answered")]
    canary: Annotated[LedCanary | None, says("what answered a share of them; null: nothing did")]


class LiveVersion(Answer, frozen=True, kw_only=True):
    """A version of which instances ran, or were about to."""

    version_id: VersionId
    version_number: Number
    artifact: Annotated[Sha256, says("the SHA-256 of what it ran")]
    deployment: Annotated[DeploymentPhase, says("how far it was")]


class LiveToken(Answer, frozen=True, kw_only=True):
    """An access token that opened the model."""

    id: Annotated[Id, says("the access token: 24 lower-case hexadecimal characters")]
    name: Annotated[str, says("the token's name")]


class LiveModel(Answer, frozen=True, kw_only=True):
    """What of a model was live at a moment."""

    model_id: ModelId
    name: Annotated[str, says("the name it had")]
    revision: Annotated[int, says("the last entry of its history that had happened", low=1)]
    is_archived: Annotated[bool, says("whether it was archived")]
    is_restricted: Annotated[bool, says("whether a call needed an access token")]
    routes: Annotated[dict[str, LedTo], says("label -> where its calls went")]
    versions: Annotated[list[LiveVersion], says("the versions of which instances ran")]
    settings: Annotated[SettingsView, says("with the platform's word where the model said nothing")]
    tokens: Annotated[list[LiveToken], says("the access tokens that opened it")]


class AuditPage(Answer, frozen=True, kw_only=True):
    """A page of the history."""

    items: Annotated[list[AuditEntry], says("newest first")]
    next_cursor: Annotated[str | None, says("what to ask with, as cursor, for what is older; null: there is nothing")]


class LiveModels(Answer, frozen=True, kw_only=True):
    """What was live at a moment."""

    time: Annotated[Milliseconds, says("the moment, epoch milliseconds")]
    items: Annotated[list[LiveModel], says("one item a model that there was")]


class Verification(Answer, frozen=True, kw_only=True):
    """What a verification of the history found."""

    aggregates: Annotated[int, says("things whose history was read")]
    events: Annotated[int, says("entries that were read")]
    checkpoints: Annotated[int, says("checkpoints that were read")]
    ahead: Annotated[int, says("things with changes that no checkpoint has yet, as always for up to a minute")]
    witnessed: Annotated[int, says("number of the newest checkpoint that the bus knows; 0: none")]
    unwitnessed_because: Annotated[str, says("why the bus could not be asked; empty: it was")]
    findings: Annotated[list[FindingView], says("what is wrong, 1000 things at most; empty: all is sound")]


def verified(result: Verified) -> Verification:
    return Verification(
        aggregates=result.aggregates,
        events=result.events,
        checkpoints=result.checkpoints,
        ahead=result.ahead,
        witnessed=result.witnessed,
        unwitnessed_because=result.unwitnessed_because,
        findings=[found(finding) for finding in result.findings],
    )


def audited(link: Link, difference: Difference | None = None) -> AuditEntry:
    """One entry of the history; with what a change changed: `before` and `after`."""
    entry = link.entry
    details: dict[str, Any] = {
        key: value for key, value in msgspec.to_builtins(entry.event).items() if key not in _HIDDEN
    }
    if isinstance(settings := details.get("settings"), dict):
        settings[_VARIABLES] = [name for name, _ in settings.get(_VARIABLES, ())]
    details.pop("type", None)
    before, after = (UNSET, UNSET) if difference is None else changed(difference)
    return AuditEntry(
        id=entry.id,
        at=milliseconds(entry.at),
        what=events.what_happened(entry.event),
        actor=ActorView(kind=entry.actor.kind, id=entry.actor.id, name=entry.actor.name, address=entry.actor.address),
        aggregate=entry.aggregate,
        aggregate_id=entry.aggregate_id,
        revision=entry.revision,
        details=details,
        before=before,
        after=after,
        hash=link.hash,
    )


def changed(difference: Difference) -> tuple[dict[str, Any], dict[str, Any]]:
    """Before and after. Of variables: which there were and are, and of which the value is another one."""
    sealed = dict(difference.before.get(_VARIABLES) or ())  # type: ignore[call-overload]  # pairs, in core's own words
    return _values(difference.before), _values(difference.after, sealed)


def _values(values: Values, sealed: Mapping[str, str] | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in values.items():
        wire_name = NAMES.get(name) or _camel(name)
        if name == _VARIABLES:
            pairs: list[tuple[str, str]] = list(value)  # type: ignore[call-overload]
            shown[wire_name] = [
                {"key": key, **({} if sealed is None else {"isChanged": sealed.get(key) != text})}
                for key, text in pairs
            ]
        else:
            shown[wire_name] = msgspec.to_builtins(value)
    return shown


def _camel(name: str) -> str:
    """
    >>> _camel("collaborators.5.is_owner")
    'collaborators.5.isOwner'
    """
    head, *words = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in words)


def live(state: past.Live) -> LiveModel:
    """What of a model was live at a moment."""
    numbers: dict[str, int] = {version.id: version.number for version in state.versions}
    return LiveModel(
        model_id=state.id,
        name=state.name,
        revision=state.revision,
        is_archived=state.is_archived,
        is_restricted=state.is_restricted,
        routes={label: _led(led, numbers) for label, led in state.routes.items()},
        versions=[
            LiveVersion(
                version_id=version.id,
                version_number=version.number,
                artifact=version.artifact,
                deployment=version.deployment,
            )
            for version in state.versions
        ],
        settings=settings_of(state.settings),
        tokens=[LiveToken(id=token.id, name=token.name) for token in state.tokens],
    )


def _led(led: past.Led, numbers: Mapping[str, int]) -> LedTo:
    canary = None
    if led.candidate is not None:
        canary = LedCanary(version_id=led.candidate, version_number=numbers.get(led.candidate), share=led.share)
    number = None if led.version_id is None else numbers.get(led.version_id)
    return LedTo(version_id=led.version_id, version_number=number, canary=canary)
