"""This file is every intent: what a person asks for, or what the platform concludes from what it observed.

Ids of what is created come with the command, so that deciding stays pure and a repeated command repeats nothing.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.core.events import CollaboratorKind, ModelRole, ProjectRole, SignInMethod, Source, Tag
from services.core.ids import AggregateId, Digest, VersionId
from services.core.records import BuildReport, Rollout
from services.core.settings import Defaults, Settings


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should happen to one aggregate."""


class CreateModel(Command, frozen=True, kw_only=True):
    name: str
    description: str
    owner_id: AggregateId
    project_id: AggregateId
    environment_id: AggregateId
    settings: Settings
    defaults: Defaults = Defaults()
    is_restricted: bool = True
    is_public: bool = False


class DescribeModel(Command, frozen=True, kw_only=True):
    name: str
    description: str
    environment_id: AggregateId
    instances: int
    defaults: Defaults = Defaults()


class ChangeSettings(Command, frozen=True, kw_only=True):
    """The settings as a whole, as they should be. What restarts, restarts with the newest `defaults`."""

    settings: Settings
    defaults: Defaults = Defaults()


class ScaleInstances(Command, frozen=True, kw_only=True):
    """The platform's own answer to how busy the model is."""

    instances: int
    reason: str


class ArchiveModel(Command, frozen=True, kw_only=True):
    pass


class RestoreModel(Command, frozen=True, kw_only=True):
    pass


class SetVisibility(Command, frozen=True, kw_only=True):
    is_public: bool


class SetRestriction(Command, frozen=True, kw_only=True):
    is_restricted: bool


class SetCollaborator(Command, frozen=True, kw_only=True):
    collaborator_id: AggregateId
    kind: CollaboratorKind
    name: str
    role: ModelRole


class RemoveCollaborator(Command, frozen=True, kw_only=True):
    collaborator_id: AggregateId


class TransferOwnership(Command, frozen=True, kw_only=True):
    """`previous_name`: what the owner so far is called."""

    owner_id: AggregateId
    previous_name: str


class PublishVersion(Command, frozen=True, kw_only=True):
    version_id: VersionId
    source: Source
    description: str = ""
    logs_requests: bool = False
    monitoring_enabled: bool = False
    records_invocations: bool = False
    should_deploy: bool = True
    example_input: str = ""
    defaults: Defaults = Defaults()


class StartVersion(Command, frozen=True, kw_only=True):
    version_id: VersionId
    defaults: Defaults = Defaults()


class RestartVersion(Command, frozen=True, kw_only=True):
    """New instances in place of those that run, with the newest settings and `defaults`."""

    version_id: VersionId
    defaults: Defaults = Defaults()


class PromoteVersion(Command, frozen=True, kw_only=True):
    """`labels/prod` leads to the version, once it is ready; it is started first if it does not run."""

    version_id: VersionId
    defaults: Defaults = Defaults()


class DemoteVersion(Command, frozen=True, kw_only=True):
    """`labels/prod` does not lead to the version any more, but to none."""

    version_id: VersionId


class RollBack(Command, frozen=True, kw_only=True):
    """`label` leads to the version it led to before. None: prod, in advanced mode where it was used, else latest."""

    label: str | None = None
    defaults: Defaults = Defaults()


class SetCanary(Command, frozen=True, kw_only=True):
    """`share` percent of the calls of `label` go to the version, once it is ready; it is started if it does not run."""

    label: str
    version_id: VersionId
    share: float
    defaults: Defaults = Defaults()


class CompleteCanary(Command, frozen=True, kw_only=True):
    label: str


class WithdrawCanary(Command, frozen=True, kw_only=True):
    label: str


class RecordRollout(Command, frozen=True, kw_only=True):
    rollout: Rollout


class StopVersion(Command, frozen=True, kw_only=True):
    version_id: VersionId


class CancelBuild(Command, frozen=True, kw_only=True):
    version_id: VersionId
    by: str  # who does not want it any more, for the reason that people are shown


class RecordBuild(Command, frozen=True, kw_only=True):
    report: BuildReport


class RecordReady(Command, frozen=True, kw_only=True):
    version_id: VersionId
    generation: int


class RecordStalled(Command, frozen=True, kw_only=True):
    version_id: VersionId
    generation: int
    reason: str


class RecordFailed(Command, frozen=True, kw_only=True):
    version_id: VersionId
    generation: int
    reason: str


class RecordStopped(Command, frozen=True, kw_only=True):
    version_id: VersionId
    generation: int


class CreateAccessToken(Command, frozen=True, kw_only=True):
    token_id: str
    name: str
    token_hash: str
    is_internal: bool = False


class RegenerateAccessToken(Command, frozen=True, kw_only=True):
    token_id: str
    token_hash: str
    is_internal: bool = False


class RevokeAccessToken(Command, frozen=True, kw_only=True):
    token_id: str


class ShowAccessToken(Command, frozen=True, kw_only=True):
    token_id: str


ModelCommand = (
    CreateModel
    | DescribeModel
    | ChangeSettings
    | ScaleInstances
    | ArchiveModel
    | RestoreModel
    | SetVisibility
    | SetRestriction
    | SetCollaborator
    | RemoveCollaborator
    | TransferOwnership
    | PublishVersion
    | StartVersion
    | StopVersion
    | RestartVersion
    | PromoteVersion
    | DemoteVersion
    | RollBack
    | SetCanary
    | CompleteCanary
    | WithdrawCanary
    | RecordRollout
    | CancelBuild
    | RecordBuild
    | RecordReady
    | RecordStalled
    | RecordFailed
    | RecordStopped
    | CreateAccessToken
    | RegenerateAccessToken
    | RevokeAccessToken
    | ShowAccessToken
)


class CreateProject(Command, frozen=True, kw_only=True):
    owner_id: AggregateId
    owner_name: str
    name: str
    description: str = ""
    visibility: str = "Private"
    collaborators: tuple[SetProjectCollaborator, ...] = ()
    tags: tuple[Tag, ...] = ()


class CommitSnapshot(Command, frozen=True, kw_only=True):
    commit_id: str
    snapshot: Digest
    files: int
    size_bytes: int
    message: str = ""


class DescribeProject(Command, frozen=True, kw_only=True):
    """None: as it is."""

    description: str | None = None
    visibility: str | None = None


class SetProjectCollaborator(Command, frozen=True, kw_only=True):
    collaborator_id: AggregateId
    kind: CollaboratorKind
    name: str
    role: ProjectRole


class RemoveProjectCollaborator(Command, frozen=True, kw_only=True):
    collaborator_id: AggregateId


class AddTags(Command, frozen=True, kw_only=True):
    """One whose name the project has already is left aside."""

    tags: tuple[Tag, ...]


class RemoveTag(Command, frozen=True, kw_only=True):
    tag_id: str


class ArchiveProject(Command, frozen=True, kw_only=True):
    pass


class RestoreProject(Command, frozen=True, kw_only=True):
    pass


ProjectCommand = (
    CreateProject
    | CommitSnapshot
    | DescribeProject
    | SetProjectCollaborator
    | RemoveProjectCollaborator
    | AddTags
    | RemoveTag
    | ArchiveProject
    | RestoreProject
)


class CreateEnvironment(Command, frozen=True, kw_only=True):
    owner_id: AggregateId
    name: str
    revision_id: str
    requirements: str = ""
    visibility: str = "Private"


class ReviseEnvironment(Command, frozen=True, kw_only=True):
    revision_id: str
    requirements: str


class ArchiveEnvironment(Command, frozen=True, kw_only=True):
    pass


EnvironmentCommand = CreateEnvironment | ReviseEnvironment | ArchiveEnvironment


class AddPerson(Command, frozen=True, kw_only=True):
    user_name: str
    email: str = ""
    full_name: str = ""
    is_administrator: bool = False


class AddApiKey(Command, frozen=True, kw_only=True):
    key_id: str
    name: str
    key_hash: str


class RevokeApiKey(Command, frozen=True, kw_only=True):
    key_id: str


class DescribePerson(Command, frozen=True, kw_only=True):
    """None: as it is."""

    email: str | None = None
    full_name: str | None = None


class SetAdministrator(Command, frozen=True, kw_only=True):
    is_administrator: bool


class DisablePerson(Command, frozen=True, kw_only=True):
    pass


class EnablePerson(Command, frozen=True, kw_only=True):
    pass


class SetPassword(Command, frozen=True, kw_only=True):
    """The hash itself goes the way of secrets. All sessions end but `kept_session_id`."""

    kept_session_id: str = ""


class LinkIdentity(Command, frozen=True, kw_only=True):
    issuer: str
    subject: str


class SignIn(Command, frozen=True, kw_only=True):
    session_id: str
    session_hash: str
    method: SignInMethod
    expires_at: datetime


class SignOut(Command, frozen=True, kw_only=True):
    session_id: str


class SignOutEverywhere(Command, frozen=True, kw_only=True):
    pass


class RefuseSignIn(Command, frozen=True, kw_only=True):
    method: SignInMethod
    reason: str


class RefuseAttempt(Command, frozen=True, kw_only=True):
    action: str
    method: str
    path: str
    about_id: str = ""


PersonCommand = (
    AddPerson
    | DescribePerson
    | SetAdministrator
    | DisablePerson
    | EnablePerson
    | SetPassword
    | LinkIdentity
    | SignIn
    | SignOut
    | SignOutEverywhere
    | RefuseSignIn
    | RefuseAttempt
    | AddApiKey
    | RevokeApiKey
)


class CreateOrganisation(Command, frozen=True, kw_only=True):
    name: str
    owner_id: AggregateId


class SetMember(Command, frozen=True, kw_only=True):
    person_id: AggregateId
    is_owner: bool = False


class RemoveMember(Command, frozen=True, kw_only=True):
    person_id: AggregateId


OrganisationCommand = CreateOrganisation | SetMember | RemoveMember


class SetConfiguration(Command, frozen=True, kw_only=True):
    """`value` None: the default again."""

    key: str
    value: int | float | None


class RecordResealing(Command, frozen=True, kw_only=True):
    resealed: int
    closed: int


class CreateQuota(Command, frozen=True, kw_only=True):
    quota_id: str
    name: str
    cpu_requested: float
    cpu_limit: float
    memory_requested_bytes: int
    memory_limit_bytes: int


class ChangeQuota(Command, frozen=True, kw_only=True):
    """None: as it is."""

    quota_id: str
    is_visible: bool | None = None
    is_default: bool | None = None


ConfigurationCommand = SetConfiguration | RecordResealing
QuotaCommand = CreateQuota | ChangeQuota
AnyCommand = (
    ModelCommand
    | ProjectCommand
    | EnvironmentCommand
    | PersonCommand
    | OrganisationCommand
    | ConfigurationCommand
    | QuotaCommand
)
