"""This file is a platform with somebody in every role there is, and one thing of every kind and visibility."""

from __future__ import annotations

import hashlib
from itertools import count

import msgspec

from services.api.http.app import Deps
from services.api.ports import Ledger
from services.core.aggregates import ENVIRONMENT, MODEL, ORGANISATION, PERSON, PROJECT
from services.core.commands import (
    AddApiKey,
    AddPerson,
    AddTags,
    AnyCommand,
    CommitSnapshot,
    CreateEnvironment,
    CreateOrganisation,
    CreateProject,
    DisablePerson,
    SetCollaborator,
    SetMember,
    SetProjectCollaborator,
    SetVisibility,
)
from services.core.events import CollaboratorKind, ModelRole, ProjectRole, Tag
from services.core.ids import AggregateId, Digest
from services.core.model import Model
from services.core.names import DEFAULT_ENVIRONMENT
from services.core.project import Project
from services.core.records import FileEntry, Manifest
from services.kit.blobs import Blobs
from tests.makers import PERSON as MAKER
from tests.makers import create, publish, source, version_id
from tests.services.api.http.client import CODE, Client

WITH_ACCOUNT = (
    "stranger",  # an account, and nothing else
    "launcher",  # the projects' Launcher User
    "consumer",  # the projects' Results Consumer
    "contributor",  # the projects' Contributor
    "projectOwner",
    "viewer",  # the models' Viewer
    "editor",  # the models' Editor, and nobody in the projects
    "colleague",  # the models' Editor, and the projects' Results Consumer
    "coOwner",  # invited to the models as Owner
    "modelOwner",
    "member",  # of an organisation that is the models' Editor
    "head",  # an owner of another organisation
    "keeper",  # who owns an environment
    "somebody",  # whom the routes of people are about
    "administrator",
)
ROLES = ("nobody", "disabled", *WITH_ACCOUNT)  # no key at all; the key of an Owner whose account is disabled

_IN_PROJECTS = {
    "launcher": ProjectRole.LAUNCHER_USER,
    "consumer": ProjectRole.RESULTS_CONSUMER,
    "contributor": ProjectRole.CONTRIBUTOR,
    "colleague": ProjectRole.RESULTS_CONSUMER,
}
_IN_MODELS = {
    "viewer": ModelRole.VIEWER,
    "editor": ModelRole.EDITOR,
    "colleague": ModelRole.EDITOR,
    "coOwner": ModelRole.OWNER,
    "disabled": ModelRole.OWNER,
}
_ids = count(1)


def new_id() -> AggregateId:
    return AggregateId(f"{next(_ids):024x}")


class Cast(msgspec.Struct):
    """Things by their visibility. A private model is in a public project, and the other way round: each by itself."""

    people: dict[str, AggregateId] = {}
    models: dict[str, Model] = {}  # public, private
    projects: dict[str, Project] = {}  # Public, Searchable, Private
    environments: dict[str, AggregateId] = {}  # Global, Private
    organisation: AggregateId = AggregateId("")

    def key(self, role: str) -> str | None:
        return None if role == "nobody" else f"the-key-of-{role}"


class Stage(msgspec.Struct):
    """`client`: of nobody yet."""

    cast: Cast
    client: Client
    deps: Deps

    def as_(self, role: str) -> Client:
        return self.client.as_holder_of(self.cast.key(role))


async def assemble(ledger: Ledger, blobs: Blobs) -> Cast:
    content = FileEntry(path="predict.py", mode=0o644, size_bytes=len(CODE), digest=await blobs.put(CODE))
    files = await blobs.put_document(Manifest(files=(content,)))
    cast = Cast()
    for role in ROLES[1:]:
        cast.people[role] = await _person(ledger, role)
    team = await _do(ledger, ORGANISATION, CreateOrganisation(name="team", owner_id=cast.people["administrator"]))
    await _do(ledger, ORGANISATION, SetMember(person_id=cast.people["member"]), team)
    cast.organisation = await _do(ledger, ORGANISATION, CreateOrganisation(name="club", owner_id=cast.people["head"]))
    for visibility in ("Global", "Private"):
        owner = cast.people["administrator" if visibility == "Global" else "keeper"]
        name = DEFAULT_ENVIRONMENT if visibility == "Global" else "keeper's"
        command = CreateEnvironment(owner_id=owner, name=name, revision_id=new_id(), visibility=visibility)
        cast.environments[visibility] = await _do(ledger, ENVIRONMENT, command)
    for visibility in ("Public", "Searchable", "Private"):
        cast.projects[visibility] = await _project(ledger, cast, visibility, files)
    for visibility, where in (("public", "Private"), ("private", "Public")):
        cast.models[visibility] = await _model(ledger, cast, visibility, cast.projects[where], team)
    await _do(ledger, PERSON, DisablePerson(), cast.people["disabled"])
    return cast


async def _person(ledger: Ledger, role: str) -> AggregateId:
    person = await _do(ledger, PERSON, AddPerson(user_name=role, is_administrator=role == "administrator"))
    key_hash = hashlib.sha256(f"the-key-of-{role}".encode()).hexdigest()
    return await _do(ledger, PERSON, AddApiKey(key_id=new_id(), name="k", key_hash=key_hash), person)


async def _project(ledger: Ledger, cast: Cast, visibility: str, files: Digest) -> Project:
    owner = cast.people["projectOwner"]
    project = await _do(
        ledger,
        PROJECT,
        CreateProject(owner_id=owner, owner_name="projectOwner", name=visibility.lower(), visibility=visibility),
    )
    commands: list[AnyCommand] = [
        SetProjectCollaborator(collaborator_id=cast.people[who], kind=CollaboratorKind.PERSON, name=who, role=role)
        for who, role in _IN_PROJECTS.items()
    ]
    commands.append(AddTags(tags=(Tag(id=new_id(), name="red"),)))
    commands.append(CommitSnapshot(commit_id=new_id(), snapshot=files, files=1, size_bytes=1))
    for command in commands:
        await _do(ledger, PROJECT, command, project)
    return await ledger.execute(PROJECT, project, commands[-1], actor=MAKER)


async def _model(ledger: Ledger, cast: Cast, visibility: str, project: Project, team: AggregateId) -> Model:
    environment = cast.environments["Private"]
    made = create(
        name=f"{visibility} model",
        owner_id=cast.people["modelOwner"],
        project_id=project.id,
        environment_id=environment,
    )
    model = await _do(ledger, MODEL, made)
    commit = project.snapshots[-1]
    frozen = source(
        project_id=project.id,
        project_name=project.name,
        commit_id=commit.commit_id,
        environment_id=environment,
    )
    invited: list[AnyCommand] = [
        SetCollaborator(collaborator_id=cast.people[who], kind=CollaboratorKind.PERSON, name=who, role=role)
        for who, role in _IN_MODELS.items()
    ]
    invited.append(
        SetCollaborator(collaborator_id=team, kind=CollaboratorKind.ORGANISATION, name="team", role=ModelRole.EDITOR)
    )
    number = len(cast.models) + 1
    for command in (*invited, publish(number, version_id=version_id(number), source=frozen)):
        await _do(ledger, MODEL, command, model)
    return await ledger.execute(MODEL, model, SetVisibility(is_public=visibility == "public"), actor=MAKER)


async def _do(ledger: Ledger, aggregate: object, command: object, about: AggregateId | None = None) -> AggregateId:
    """The id of what `command` made, or changed."""
    thing = about or new_id()
    await ledger.execute(aggregate, thing, command, actor=MAKER)  # type: ignore[arg-type]
    return thing
