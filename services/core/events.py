"""This file is everything that can have happened, as past participles, and the entry that history keeps of each.

An event is a plain frozen value. `Entry` adds who, when and where in the history of its aggregate. Unknown fields are
dropped, so a producer may add some before its readers know them. Events never hold a secret: of a token only its hash.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from services.core.ids import AggregateId, Digest, EventId, VersionId
from services.core.languages import Language, written_in
from services.core.records import Rollout
from services.core.settings import Defaults, Settings


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened to one aggregate."""


class CollaboratorKind(StrEnum):
    PERSON = "person"
    ORGANISATION = "organisation"  # every member has the role


class ModelRole(StrEnum):
    """What a collaborator of a model may do: see core/access."""

    VIEWER = "Viewer"
    EDITOR = "Editor"
    OWNER = "Owner"


class ProjectRole(StrEnum):
    """What a collaborator of a project may do, by the names that existing clients send."""

    CONTRIBUTOR = "Contributor"
    RESULTS_CONSUMER = "ResultsConsumer"
    LAUNCHER_USER = "LauncherUser"
    PROJECT_IMPORTER = "ProjectImporter"


class SignInMethod(StrEnum):
    PASSWORD = "password"  # noqa: S105  # a name, not a password
    OPENID_CONNECT = "openid-connect"


class ModelCreated(Event, frozen=True, kw_only=True, tag="model.created"):
    name: str
    description: str
    owner_id: AggregateId
    project_id: AggregateId
    environment_id: AggregateId
    settings: Settings
    is_restricted: bool


class ModelDescribed(Event, frozen=True, kw_only=True, tag="model.described"):
    name: str
    description: str
    environment_id: AggregateId


class InstancesSet(Event, frozen=True, kw_only=True, tag="model.instances-set"):
    instances: int


class SettingsChanged(Event, frozen=True, kw_only=True, tag="model.settings-changed"):
    settings: Settings


class DefaultsPickedUp(Event, frozen=True, kw_only=True, tag="model.defaults-picked-up"):
    """What the platform's configuration says holds from here on for what the model leaves to it."""

    defaults: Defaults


class InstancesScaled(Event, frozen=True, kw_only=True, tag="model.instances-scaled"):
    """By the platform, within the bounds of the model's scaling."""

    instances: int
    reason: str


class CanarySet(Event, frozen=True, kw_only=True, tag="canary.set"):
    """`version_id` answers `share` percent of the calls of `label` as soon as it is ready."""

    label: str
    version_id: VersionId
    share: float


class CanaryEnded(Event, frozen=True, kw_only=True, tag="canary.ended"):
    """The candidate took over, was withdrawn, failed or was stopped: `reason` says which."""

    label: str
    version_id: VersionId
    reason: str


class RolloutMeasured(Event, frozen=True, kw_only=True, tag="rollout.measured"):
    rollout: Rollout


class ModelRestored(Event, frozen=True, kw_only=True, tag="model.restored"):
    pass


class ModelArchived(Event, frozen=True, kw_only=True, tag="model.archived"):
    pass


class VisibilitySet(Event, frozen=True, kw_only=True, tag="model.visibility-set"):
    """Public: everybody with an account finds and sees the model; private: collaborators only."""

    is_public: bool


class RestrictionSet(Event, frozen=True, kw_only=True, tag="model.restriction-set"):
    """Restricted: calls need an access token."""

    is_restricted: bool


class CollaboratorSet(Event, frozen=True, kw_only=True, tag="model.collaborator-set"):
    """Invited, or given another role. `name` is what the collaborator was called then."""

    collaborator_id: AggregateId
    kind: CollaboratorKind
    name: str
    role: ModelRole


class CollaboratorRemoved(Event, frozen=True, kw_only=True, tag="model.collaborator-removed"):
    collaborator_id: AggregateId


class OwnershipTransferred(Event, frozen=True, kw_only=True, tag="model.ownership-transferred"):
    """Who owned the model before is an editor of it from here on."""

    owner_id: AggregateId
    previous_id: AggregateId
    previous_name: str


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A word that people find a project by."""

    id: str
    name: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What of a project a version serves, all of it frozen at publish."""

    project_id: AggregateId
    user_name: str
    project_name: str
    commit_id: str
    snapshot: Digest
    file: str
    function: str
    exclude_files: tuple[str, ...] = ()
    environment_id: AggregateId
    environment_revision_id: str
    requirements: str = ""
    language: Language | None = None  # as it was said; None: the file's name tells

    @property
    def written_in(self) -> Language:
        """What its file is. One whose name does not tell was Python always."""
        return written_in(self.file, self.language) or Language.PYTHON


class VersionPublished(Event, frozen=True, kw_only=True, tag="version.published"):
    version_id: VersionId
    number: int
    source: Source
    description: str = ""
    logs_requests: bool = False
    monitoring_enabled: bool = False
    records_invocations: bool = False
    example_input: str = ""


class BuildStarted(Event, frozen=True, kw_only=True, tag="build.started"):
    version_id: VersionId
    attempt: int


class BuildCompleted(Event, frozen=True, kw_only=True, tag="build.completed"):
    version_id: VersionId
    artifact: Digest
    build_s: float


class BuildFailed(Event, frozen=True, kw_only=True, tag="build.failed"):
    version_id: VersionId
    reason: str


class BuildCancelled(Event, frozen=True, kw_only=True, tag="build.cancelled"):
    version_id: VersionId
    reason: str


class DeploymentOrdered(Event, frozen=True, kw_only=True, tag="version.deployment-ordered"):
    """The version is to run as `generation`, as soon as it is built, and then to have the labels it is `promised`."""

    version_id: VersionId
    generation: int
    promised: tuple[str, ...] = ("latest",)


class LabelPromised(Event, frozen=True, kw_only=True, tag="label.promised"):
    """The version has `label` as soon as it is ready; no other waits for it any more."""

    label: str
    version_id: VersionId


class RestartOrdered(Event, frozen=True, kw_only=True, tag="version.restart-ordered"):
    """The instances of a running version are to be replaced, one at a time, by those of `generation`."""

    version_id: VersionId
    generation: int
    reason: str


class RestartFailed(Event, frozen=True, kw_only=True, tag="version.restart-failed"):
    """Instances of `generation` do not become ready: those of the one before serve on."""

    version_id: VersionId
    generation: int
    reason: str


class VersionBecameReady(Event, frozen=True, kw_only=True, tag="version.became-ready"):
    """All instances of this generation were ready at the same moment."""

    version_id: VersionId
    generation: int


class VersionStalled(Event, frozen=True, kw_only=True, tag="version.stalled"):
    version_id: VersionId
    generation: int
    reason: str


class VersionFailed(Event, frozen=True, kw_only=True, tag="version.failed"):
    version_id: VersionId
    generation: int
    reason: str


class LabelMoved(Event, frozen=True, kw_only=True, tag="label.moved"):
    """`label` now points to `version_id`; None: to nothing."""

    label: str
    version_id: VersionId | None
    previous: VersionId | None


class StopOrdered(Event, frozen=True, kw_only=True, tag="version.stop-ordered"):
    version_id: VersionId
    reason: str


class VersionStopped(Event, frozen=True, kw_only=True, tag="version.stopped"):
    """Its deployer says that no instance is left."""

    version_id: VersionId
    generation: int


class AccessTokenCreated(Event, frozen=True, kw_only=True, tag="token.created"):
    """An internal one is the platform's own, for calls on behalf of collaborators: nobody is shown it."""

    token_id: str
    name: str
    token_hash: str
    is_internal: bool = False


class AccessTokenRegenerated(Event, frozen=True, kw_only=True, tag="token.regenerated"):
    token_id: str
    token_hash: str


class AccessTokenRevoked(Event, frozen=True, kw_only=True, tag="token.revoked"):
    token_id: str


class AccessTokenShown(Event, frozen=True, kw_only=True, tag="token.shown"):
    token_id: str


class ProjectCreated(Event, frozen=True, kw_only=True, tag="project.created"):
    owner_id: AggregateId
    owner_name: str
    name: str
    description: str = ""
    visibility: str = "Private"


class SnapshotCommitted(Event, frozen=True, kw_only=True, tag="project.snapshot-committed"):
    commit_id: str
    snapshot: Digest
    files: int
    size_bytes: int
    message: str = ""


class ProjectDescribed(Event, frozen=True, kw_only=True, tag="project.described"):
    description: str
    visibility: str


class ProjectCollaboratorSet(Event, frozen=True, kw_only=True, tag="project.collaborator-set"):
    collaborator_id: AggregateId
    kind: CollaboratorKind
    name: str
    role: ProjectRole


class ProjectCollaboratorRemoved(Event, frozen=True, kw_only=True, tag="project.collaborator-removed"):
    collaborator_id: AggregateId


class ProjectTagged(Event, frozen=True, kw_only=True, tag="project.tagged"):
    """`tags`: all that the project has from here on."""

    tags: tuple[Tag, ...]


class ProjectArchived(Event, frozen=True, kw_only=True, tag="project.archived"):
    """It is not listed any more. Its files stay, and so do the models that were made of it."""


class ProjectRestored(Event, frozen=True, kw_only=True, tag="project.restored"):
    pass


class EnvironmentCreated(Event, frozen=True, kw_only=True, tag="environment.created"):
    owner_id: AggregateId
    name: str
    visibility: str = "Private"


class EnvironmentRevised(Event, frozen=True, kw_only=True, tag="environment.revised"):
    revision_id: str
    number: int
    requirements: str


class EnvironmentArchived(Event, frozen=True, kw_only=True, tag="environment.archived"):
    """No new version may name it. What was built of it stays."""


class PersonAdded(Event, frozen=True, kw_only=True, tag="person.added"):
    user_name: str
    email: str
    full_name: str
    is_administrator: bool


class PersonDescribed(Event, frozen=True, kw_only=True, tag="person.described"):
    email: str
    full_name: str


class AdministratorSet(Event, frozen=True, kw_only=True, tag="person.administrator-set"):
    is_administrator: bool


class PersonDisabled(Event, frozen=True, kw_only=True, tag="person.disabled"):
    """Neither keys nor sessions nor a password open anything any more; the sessions are ended."""


class PersonEnabled(Event, frozen=True, kw_only=True, tag="person.enabled"):
    pass


class PasswordSet(Event, frozen=True, kw_only=True, tag="person.password-set"):
    """Its hash is stored apart, and is in no event. All sessions are ended but `kept_session_id`."""

    kept_session_id: str = ""


class IdentityLinked(Event, frozen=True, kw_only=True, tag="person.identity-linked"):
    """Whoever `issuer` calls `subject` is this person (OpenID Connect)."""

    issuer: str
    subject: str


class SignedIn(Event, frozen=True, kw_only=True, tag="person.signed-in"):
    """A browser session began. `session_hash` is the SHA-256 of its cookie."""

    session_id: str
    session_hash: str
    method: SignInMethod
    expires_at: datetime


class SignedOut(Event, frozen=True, kw_only=True, tag="person.signed-out"):
    session_id: str


class SignedOutEverywhere(Event, frozen=True, kw_only=True, tag="person.signed-out-everywhere"):
    pass


class SignInRefused(Event, frozen=True, kw_only=True, tag="person.sign-in-refused"):
    """Somebody tried to sign in as this person, and did not prove it."""

    method: SignInMethod
    reason: str


class AttemptRefused(Event, frozen=True, kw_only=True, tag="person.attempt-refused"):
    """The person asked for what they may not do. `about_id`: the model, project … it was about, if any."""

    action: str
    method: str
    path: str
    about_id: str = ""


class ApiKeyAdded(Event, frozen=True, kw_only=True, tag="person.api-key-added"):
    key_id: str
    name: str
    key_hash: str


class ApiKeyRevoked(Event, frozen=True, kw_only=True, tag="person.api-key-revoked"):
    key_id: str


class OrganisationCreated(Event, frozen=True, kw_only=True, tag="organisation.created"):
    """Its first member is who made it."""

    name: str
    owner_id: AggregateId


class MemberSet(Event, frozen=True, kw_only=True, tag="organisation.member-set"):
    """Added, or made an owner or none: owners of an organisation change its members."""

    person_id: AggregateId
    is_owner: bool


class MemberRemoved(Event, frozen=True, kw_only=True, tag="organisation.member-removed"):
    person_id: AggregateId


class ConfigurationSet(Event, frozen=True, kw_only=True, tag="configuration.set"):
    """`value` None: the key has its default again."""

    key: str
    value: int | float | None


class SecretsResealed(Event, frozen=True, kw_only=True, tag="secrets.resealed"):
    """Every secret that a key opened is encrypted with the newest one from here on."""

    resealed: int
    closed: int  # those that no key opened


class QuotaCreated(Event, frozen=True, kw_only=True, tag="quota.created"):
    quota_id: str
    name: str
    cpu_requested: float
    cpu_limit: float
    memory_requested_bytes: int
    memory_limit_bytes: int


class QuotaChanged(Event, frozen=True, kw_only=True, tag="quota.changed"):
    quota_id: str
    is_visible: bool
    is_default: bool


ModelEvent = (
    ModelCreated
    | ModelDescribed
    | InstancesSet
    | SettingsChanged
    | DefaultsPickedUp
    | InstancesScaled
    | CanarySet
    | CanaryEnded
    | RolloutMeasured
    | ModelRestored
    | ModelArchived
    | VisibilitySet
    | RestrictionSet
    | CollaboratorSet
    | CollaboratorRemoved
    | OwnershipTransferred
    | VersionPublished
    | BuildStarted
    | BuildCompleted
    | BuildFailed
    | BuildCancelled
    | DeploymentOrdered
    | LabelPromised
    | RestartOrdered
    | RestartFailed
    | VersionBecameReady
    | VersionStalled
    | VersionFailed
    | LabelMoved
    | StopOrdered
    | VersionStopped
    | AccessTokenCreated
    | AccessTokenRegenerated
    | AccessTokenRevoked
    | AccessTokenShown
)
ProjectEvent = (
    ProjectCreated
    | ProjectDescribed
    | ProjectCollaboratorSet
    | ProjectCollaboratorRemoved
    | ProjectTagged
    | ProjectArchived
    | ProjectRestored
    | SnapshotCommitted
)
EnvironmentEvent = EnvironmentCreated | EnvironmentRevised | EnvironmentArchived
PersonEvent = (
    PersonAdded
    | PersonDescribed
    | AdministratorSet
    | PersonDisabled
    | PersonEnabled
    | PasswordSet
    | IdentityLinked
    | SignedIn
    | SignedOut
    | SignedOutEverywhere
    | SignInRefused
    | AttemptRefused
    | ApiKeyAdded
    | ApiKeyRevoked
)
OrganisationEvent = OrganisationCreated | MemberSet | MemberRemoved
ConfigurationEvent = ConfigurationSet | SecretsResealed
QuotaEvent = QuotaCreated | QuotaChanged
AnyEvent = (
    ModelEvent | ProjectEvent | EnvironmentEvent | PersonEvent | OrganisationEvent | ConfigurationEvent | QuotaEvent
)


class ActorKind(StrEnum):
    PERSON = "person"
    SERVICE = "service"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who caused an event: a person, or the platform itself on what it observed."""

    kind: ActorKind
    id: str
    name: str
    address: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event in the history of one aggregate; `revision` counts from 1 without gaps."""

    id: EventId
    at: datetime
    actor: Actor
    aggregate: str  # model, project, environment, person, organisation …
    aggregate_id: AggregateId
    revision: int
    event: AnyEvent


def what_happened(event: Event) -> str:
    """The event's stable name with dots, `version.published`: its tag in stored documents."""
    return str(event.__struct_config__.tag)
