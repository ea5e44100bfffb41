"""This file is every intent: what a person asks for, or what the platform concludes from what it observed.

Ids of what is created come with the command, so that deciding stays pure and a repeated command repeats nothing.
"""

from __future__ import annotations

import msgspec

from services.core.events import Source
from services.core.ids import AggregateId, Digest, VersionId
from services.core.records import BuildReport
from services.core.settings import Settings


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should happen to one aggregate."""


class CreateModel(Command, frozen=True, kw_only=True):
    name: str
    description: str
    owner_id: AggregateId
    project_id: AggregateId
    environment_id: AggregateId
    settings: Settings
    is_restricted: bool = True


class DescribeModel(Command, frozen=True, kw_only=True):
    name: str
    description: str
    environment_id: AggregateId
    instances: int


class ArchiveModel(Command, frozen=True, kw_only=True):
    pass


class PublishVersion(Command, frozen=True, kw_only=True):
    version_id: VersionId
    source: Source
    description: str = ""
    logs_requests: bool = False
    monitoring_enabled: bool = False
    records_invocations: bool = False
    should_deploy: bool = True


class StartVersion(Command, frozen=True, kw_only=True):
    version_id: VersionId


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


class RegenerateAccessToken(Command, frozen=True, kw_only=True):
    token_id: str
    token_hash: str


class RevokeAccessToken(Command, frozen=True, kw_only=True):
    token_id: str


class ShowAccessToken(Command, frozen=True, kw_only=True):
    token_id: str


ModelCommand = (
    CreateModel
    | DescribeModel
    | ArchiveModel
    | PublishVersion
    | StartVersion
    | StopVersion
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


class CommitSnapshot(Command, frozen=True, kw_only=True):
    commit_id: str
    snapshot: Digest
    files: int
    size_bytes: int
    message: str = ""


ProjectCommand = CreateProject | CommitSnapshot


class CreateEnvironment(Command, frozen=True, kw_only=True):
    owner_id: AggregateId
    name: str
    revision_id: str
    requirements: str = ""
    visibility: str = "Private"


class ReviseEnvironment(Command, frozen=True, kw_only=True):
    revision_id: str
    requirements: str


EnvironmentCommand = CreateEnvironment | ReviseEnvironment


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


PersonCommand = AddPerson | AddApiKey | RevokeApiKey
AnyCommand = ModelCommand | ProjectCommand | EnvironmentCommand | PersonCommand
