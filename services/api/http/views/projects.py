"""This file is how people, their projects and their environments look on the wire."""

from __future__ import annotations

from typing import Annotated

from services.api.http.shapes import (
    CommitId,
    Created,
    CreatedBy,
    EnvironmentId,
    Id,
    PersonId,
    ProjectId,
    Sha256,
    UserName,
    says,
)
from services.api.http.views.wire import Answer, milliseconds
from services.core import environment as environments
from services.core import person as people
from services.core import project as projects
from services.core.dockerfile import instructions_for

RevisionId = Annotated[Id, says("the revision: 24 lower-case hexadecimal characters")]
RevisionNumber = Annotated[int, says("1 for an environment's first revision, without gaps")]
EnvironmentName = Annotated[str, says("the environment's name")]
EnvironmentVisibility = Annotated[
    str, says("Global: everyone may use it; Private: its owner", among=("Global", "Private"))
]
ProjectVisibility = Annotated[
    str,
    says(
        "Public: everyone may look at it; Searchable: everyone may find it; Private: collaborators",
        among=("Public", "Searchable", "Private"),
    ),
]


class User(Answer, frozen=True, kw_only=True):
    """A person as others see them."""

    id: PersonId
    user_name: UserName
    email: Annotated[str, says("the person's e-mail address; empty: none was given")]
    full_name: Annotated[str, says("the person's full name; empty: none was given")]


class WhoAmI(Answer, frozen=True, kw_only=True):
    """The person who calls."""

    id: PersonId
    user_name: UserName
    is_admin: Annotated[bool, says("whether the person is an administrator")]


class Tag(Answer, frozen=True, kw_only=True):
    """A word that people find a project by."""

    id: Id
    name: Annotated[str, says("the word itself")]


class Project(Answer, frozen=True, kw_only=True):
    """A project: files, and the Model APIs that are published from them."""

    id: ProjectId
    name: Annotated[str, says("the project's name")]
    description: Annotated[str, says("what its owner wrote about it")]
    visibility: ProjectVisibility
    owner_id: PersonId
    owner_name: UserName
    owner_username: UserName
    created: Created
    is_archived: Annotated[bool, says("whether it is left out of lists; its files and its Model APIs stay")]
    tags: Annotated[tuple[Tag, ...], says("the words that people find it by")]


class Snapshot(Answer, frozen=True, kw_only=True):
    """A commit: all files of a project at one moment."""

    commit_id: CommitId
    files: Annotated[int, says("how many files it has")]
    size_bytes: Annotated[int, says("size of all of them together, bytes")]
    message: Annotated[str, says("what was written about it")]
    created: Created
    created_by: CreatedBy


class Missing(Answer, frozen=True, kw_only=True):
    """What has to be uploaded before a snapshot can be committed."""

    missing: Annotated[list[Sha256], says("SHA-256 of blobs that the platform does not hold")]


class Revision(Answer, frozen=True, kw_only=True):
    """What an environment installs, from one moment on."""

    id: RevisionId
    number: RevisionNumber
    requirements: Annotated[str, says("the Python packages it installs, one requirement a line")]
    dockerfile_instructions: Annotated[
        str | None, says("the same as Dockerfile instructions; null: only a requirements file can say it")
    ]
    created: Created
    created_by: CreatedBy


class Environment(Answer, frozen=True, kw_only=True):
    """A compute environment: the packages that a model's function finds."""

    id: EnvironmentId
    name: EnvironmentName
    visibility: EnvironmentVisibility
    created: Created
    is_archived: Annotated[bool, says("whether it is left out of lists; no new version may name it then")]
    latest_revision: Annotated[Revision, says("the revision that new versions are built in")]


class ListedEnvironment(Answer, frozen=True, kw_only=True):
    """A compute environment as it is listed."""

    id: EnvironmentId
    name: EnvironmentName
    visibility: EnvironmentVisibility


class ListedEnvironments(Answer, frozen=True, kw_only=True):
    """Compute environments."""

    object_type: Annotated[str, says("always list")] = "list"
    data: Annotated[list[ListedEnvironment], says("the environments, by name")]


class UseableEnvironments(Answer, frozen=True, kw_only=True):
    """Compute environments to choose from."""

    environments: Annotated[list[ListedEnvironment], says("the environments, by name")]


class RevisionDetails(Answer, frozen=True, kw_only=True):
    """A revision as older clients read it."""

    id: RevisionId
    number: RevisionNumber
    docker_image: Annotated[None, says("always null: environments are not images here")]


class DefaultEnvironment(Answer, frozen=True, kw_only=True):
    """The compute environment of a model that names none."""

    id: EnvironmentId
    name: EnvironmentName
    visibility: EnvironmentVisibility
    latest_revision_details: Annotated[RevisionDetails, says("the revision that new versions are built in")]


def person(state: people.Person) -> User:
    return User(id=state.id, user_name=state.user_name, email=state.email, full_name=state.full_name)


def caller(state: people.Person) -> WhoAmI:
    return WhoAmI(id=state.id, user_name=state.user_name, is_admin=state.is_administrator)


def project(state: projects.Project) -> Project:
    return Project(
        id=state.id,
        name=state.name,
        description=state.description,
        visibility=state.visibility,
        owner_id=state.owner_id,
        owner_name=state.owner_name,
        owner_username=state.owner_name,
        created=milliseconds(state.created_at),
        is_archived=state.is_archived,
        tags=tuple(Tag(id=each.id, name=each.name) for each in state.tags),
    )


def snapshot(state: projects.Snapshot) -> Snapshot:
    return Snapshot(
        commit_id=state.commit_id,
        files=state.files,
        size_bytes=state.size_bytes,
        message=state.message,
        created=milliseconds(state.committed_at),
        created_by=state.committed_by,
    )


def environment(state: environments.Environment) -> Environment:
    latest = state.latest
    return Environment(
        id=state.id,
        name=state.name,
        visibility=state.visibility,
        created=milliseconds(state.created_at),
        is_archived=state.is_archived,
        latest_revision=Revision(
            id=latest.id,
            number=latest.number,
            requirements=latest.requirements,
            dockerfile_instructions=instructions_for(latest.requirements),
            created=milliseconds(latest.created_at),
            created_by=latest.created_by,
        ),
    )


def listed_environment(state: environments.Environment) -> ListedEnvironment:
    return ListedEnvironment(id=state.id, name=state.name, visibility=state.visibility)


def default_environment(state: environments.Environment) -> DefaultEnvironment:
    latest = state.latest
    return DefaultEnvironment(
        id=state.id,
        name=state.name,
        visibility=state.visibility,
        latest_revision_details=RevisionDetails(id=latest.id, number=latest.number, docker_image=None),
    )
