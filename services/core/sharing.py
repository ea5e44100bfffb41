"""This file decides who a model is shared with: its visibility, its collaborators, its owner, and whether calls need a
token.
"""

from __future__ import annotations

from services.core.commands import (
    RemoveCollaborator,
    SetCollaborator,
    SetRestriction,
    SetVisibility,
    TransferOwnership,
)
from services.core.errors import NotFound, Refused
from services.core.events import (
    CollaboratorRemoved,
    CollaboratorSet,
    Event,
    OwnershipTransferred,
    RestrictionSet,
    VisibilitySet,
)
from services.core.model import Model
from services.core.promotion import refuse_archived

MAX_COLLABORATORS = 500


def set_visibility(model: Model, command: SetVisibility) -> tuple[Event, ...]:
    refuse_archived(model)
    return () if model.is_public == command.is_public else (VisibilitySet(is_public=command.is_public),)


def set_restriction(model: Model, command: SetRestriction) -> tuple[Event, ...]:
    refuse_archived(model)
    is_so = model.is_restricted == command.is_restricted
    return () if is_so else (RestrictionSet(is_restricted=command.is_restricted),)


def set_collaborator(model: Model, command: SetCollaborator) -> tuple[Event, ...]:
    refuse_archived(model)
    if command.collaborator_id == model.owner_id:
        raise Refused(f"{command.name} owns model {model.name!r} and needs no role in it")
    known = model.collaborator(command.collaborator_id)
    if known is not None and known.role is command.role:
        return ()
    if known is None and len(model.collaborators) >= MAX_COLLABORATORS:
        raise Refused(f"a model has at most {MAX_COLLABORATORS} collaborators: invite an organisation")
    invited = CollaboratorSet(
        collaborator_id=command.collaborator_id, kind=command.kind, name=command.name, role=command.role
    )
    return (invited,)


def remove_collaborator(model: Model, command: RemoveCollaborator) -> tuple[Event, ...]:
    if model.collaborator(command.collaborator_id) is None:
        raise NotFound(f"model {model.name!r} has no collaborator {command.collaborator_id}")
    return (CollaboratorRemoved(collaborator_id=command.collaborator_id),)


def transfer(model: Model, command: TransferOwnership) -> tuple[Event, ...]:
    refuse_archived(model)
    if command.owner_id == model.owner_id:
        return ()
    transferred = OwnershipTransferred(
        owner_id=command.owner_id, previous_id=model.owner_id, previous_name=command.previous_name
    )
    return (transferred,)
