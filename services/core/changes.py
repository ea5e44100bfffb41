"""This file is what a change changed, of settings, descriptions and who has access: what differs, before and after.

Events hold what is so from then on, all of it. What was so before follows from the earlier ones of the same aggregate.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.core import events
from services.core.events import Entry, Event, ModelRole

Values = dict[str, object]

CHANGING: tuple[type[Event], ...] = (
    events.SettingsChanged,
    events.InstancesSet,
    events.ModelDescribed,
    events.VisibilitySet,
    events.RestrictionSet,
    events.CollaboratorSet,
    events.CollaboratorRemoved,
    events.OwnershipTransferred,
    events.ProjectDescribed,
    events.ProjectCollaboratorSet,
    events.ProjectCollaboratorRemoved,
    events.ProjectTagged,
    events.EnvironmentRevised,
    events.PersonDescribed,
    events.AdministratorSet,
    events.PersonDisabled,
    events.PersonEnabled,
    events.MemberSet,
    events.MemberRemoved,
    events.ConfigurationSet,
    events.QuotaChanged,
)
TELLING: tuple[type[Event], ...] = (
    events.ModelCreated,
    events.ProjectCreated,
    events.PersonAdded,
    events.OrganisationCreated,
    *CHANGING,
)
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
            differing = [name for name, value in told.items() if known.get(name) != value]
            before = {name: known[name] for name in differing if name in known}
            found[entry.revision] = Difference(before=before, after={name: told[name] for name in differing})
        known |= told
    return found


def _told(event: Event) -> Values:
    """What holds from `event` on, of what it speaks about."""
    match event:
        case events.ConfigurationSet():
            return {event.key: event.value}
        case events.QuotaChanged():
            return {f"{event.quota_id}.is_visible": event.is_visible, f"{event.quota_id}.is_default": event.is_default}
        case events.PersonDisabled() | events.PersonEnabled():
            return {"is_disabled": isinstance(event, events.PersonDisabled)}
        case events.ProjectTagged():
            return {"tags": tuple(tag.name for tag in event.tags)}
        case events.EnvironmentRevised():
            return {"requirements": event.requirements}
        case _:
            return _of_settings(event) | _of_description(event) | _of_sharing(event)


def _of_settings(event: Event) -> Values:
    match event:
        case events.ModelCreated() | events.SettingsChanged():
            return msgspec.structs.asdict(event.settings)
        case events.InstancesSet():
            return {"instances": event.instances}
        case _:
            return {}


_DESCRIBING: dict[type[Event], tuple[str, ...]] = {
    events.ModelCreated: ("name", "description", "environment_id", "owner_id", "is_restricted"),
    events.ModelDescribed: ("name", "description", "environment_id"),
    events.VisibilitySet: ("is_public",),
    events.RestrictionSet: ("is_restricted",),
    events.ProjectCreated: ("description", "visibility"),
    events.ProjectDescribed: ("description", "visibility"),
    events.PersonAdded: ("email", "full_name", "is_administrator"),
    events.PersonDescribed: ("email", "full_name"),
    events.AdministratorSet: ("is_administrator",),
}


def _of_description(event: Event) -> Values:
    fixed: Values = {"is_public": False} if isinstance(event, events.ModelCreated) else {}
    return fixed | {name: getattr(event, name) for name in _DESCRIBING.get(type(event), ())}


def _of_sharing(event: Event) -> Values:
    """Who is a collaborator or a member, by their ids; None: not any more."""
    match event:
        case events.CollaboratorSet() | events.ProjectCollaboratorSet():
            return {f"collaborators.{event.collaborator_id}": str(event.role)}
        case events.CollaboratorRemoved() | events.ProjectCollaboratorRemoved():
            return {f"collaborators.{event.collaborator_id}": None}
        case events.OwnershipTransferred():
            return {
                "owner_id": event.owner_id,
                f"collaborators.{event.owner_id}": None,
                f"collaborators.{event.previous_id}": str(ModelRole.EDITOR),
            }
        case events.OrganisationCreated():
            return {f"members.{event.owner_id}": "owner"}
        case events.MemberSet():
            return {f"members.{event.person_id}": "owner" if event.is_owner else "member"}
        case events.MemberRemoved():
            return {f"members.{event.person_id}": None}
        case _:
            return {}
