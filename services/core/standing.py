"""This file says how a person stands to a thing: from its owner, its collaborators, its visibility and the project
behind it. What that allows is the table in core/access.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec

from services.core.access import Standing
from services.core.environment import Environment
from services.core.events import ModelRole, ProjectRole
from services.core.ids import AggregateId
from services.core.model import Collaborator, Model
from services.core.organisation import Organisation
from services.core.person import Person
from services.core.project import Project

PUBLIC, SEARCHABLE, PRIVATE = "Public", "Searchable", "Private"
VISIBILITIES = (PUBLIC, SEARCHABLE, PRIVATE)
GLOBAL = "Global"  # of environments: everybody's to use

_OF_MODEL = {
    ModelRole.VIEWER: Standing.VIEWER,
    ModelRole.EDITOR: Standing.EDITOR,
    ModelRole.OWNER: Standing.OWNER,
}
_OF_PROJECT = {
    ProjectRole.CONTRIBUTOR: Standing.EDITOR,
    ProjectRole.RESULTS_CONSUMER: Standing.VIEWER,
    ProjectRole.LAUNCHER_USER: Standing.FINDER,
    ProjectRole.PROJECT_IMPORTER: Standing.FINDER,
}
_OF_ANYONE = {PUBLIC: Standing.VISITOR, SEARCHABLE: Standing.FINDER}


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A person with the organisations they are a member of."""

    person: Person
    organisations: frozenset[AggregateId] = frozenset()

    @property
    def names(self) -> Set[AggregateId]:
        """Every id under which a collaborator may be this person."""
        return {self.person.id, *self.organisations}


def is_owned(caller: Caller, model: Model) -> bool:
    """Whether the caller may do everything to the model, whatever its project says."""
    return caller.person.is_administrator or caller.person.id == model.owner_id


def to_platform(caller: Caller) -> Standing:
    return Standing.OWNER if caller.person.is_administrator else Standing.VISITOR


def to_person(caller: Caller, person: Person) -> Standing:
    return Standing.OWNER if caller.person.id == person.id else to_platform(caller)


def to_organisation(caller: Caller, organisation: Organisation) -> Standing:
    member = organisation.member(caller.person.id)
    if caller.person.is_administrator or (member is not None and member.is_owner):
        return Standing.OWNER
    return Standing.VISITOR if member is None else Standing.VIEWER


def to_environment(caller: Caller, environment: Environment) -> Standing:
    if caller.person.is_administrator or caller.person.id == environment.owner_id:
        return Standing.OWNER
    return Standing.VISITOR if environment.visibility == GLOBAL else Standing.STRANGER


def to_project(caller: Caller, project: Project) -> Standing:
    if caller.person.is_administrator:
        return Standing.OWNER
    return max(_as_collaborator(caller, project), _OF_ANYONE.get(project.visibility, Standing.STRANGER))


def to_model(caller: Caller, model: Model, project: Project) -> Standing:
    """`project`: the model's own. Its collaborators reach all models of it; visitors of a public one do not."""
    return _to_model(caller, model, _as_collaborator(caller, project))


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """A caller with the projects they work on: enough to say how they stand to many models."""

    caller: Caller
    projects: Mapping[AggregateId, Standing] = {}

    @classmethod
    def of(cls, caller: Caller, projects: Iterable[Project]) -> Reach:
        """`projects`: those that the caller owns or collaborates on, all of them."""
        return cls(caller=caller, projects={each.id: _as_collaborator(caller, each) for each in projects})

    def to_model(self, model: Model) -> Standing:
        return _to_model(self.caller, model, self.projects.get(model.project_id, Standing.STRANGER))

    @property
    def is_whole(self) -> bool:
        """Whether they see everything."""
        return self.caller.person.is_administrator

    @property
    def modelled_in(self) -> list[AggregateId]:
        """The projects whose models they see, all of them."""
        return [project_id for project_id, standing in self.projects.items() if standing >= Standing.VIEWER]


def _to_model(caller: Caller, model: Model, in_project: Standing) -> Standing:
    if is_owned(caller, model):
        return Standing.OWNER
    by_role = max((_OF_MODEL[each.role] for each in _mine(caller, model.collaborators)), default=Standing.STRANGER)
    by_project = in_project if in_project >= Standing.VIEWER else Standing.STRANGER
    standing = max(by_role, by_project, Standing.VISITOR if model.is_public else Standing.STRANGER)
    if standing is Standing.EDITOR and by_project:
        return Standing.PUBLISHER
    return standing


def _as_collaborator(caller: Caller, project: Project) -> Standing:
    if caller.person.id == project.owner_id:
        return Standing.OWNER
    roles = (_OF_PROJECT[each.role] for each in project.collaborators if each.id in caller.names)
    return max(roles, default=Standing.STRANGER)


def _mine(caller: Caller, collaborators: Iterable[Collaborator]) -> Iterable[Collaborator]:
    return (each for each in collaborators if each.id in caller.names)
