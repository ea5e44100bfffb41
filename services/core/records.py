"""This file is everything that passes over the bus besides events: entries of the buckets, orders and reports.

Every bucket entry carries a `revision` that only grows for its key: of the aggregate it was decided from, or a
counter of its one producer. A reader refuses an entry older than the one it applied. An entry is taken away by
writing `Removed`; a missing entry means "unknown", never "stop".
Durations are in seconds, sizes in bytes. Unknown fields are dropped, so a producer may be newer than a reader.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from services.core.ids import AggregateId, Digest, InstanceId, VersionId
from services.core.languages import Language


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """An entry of a bucket."""

    revision: int


class Removed(Record, frozen=True, kw_only=True, tag="removed"):
    """The tombstone: what stood here is to be taken away."""


class Epoch(Record, frozen=True, kw_only=True, tag="epoch"):
    """Written last, under the key `EPOCH`, when api has filled a decided bucket: from here on it is whole."""


class Target(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How an instance is probed once it has been ready; defaults as stated in the guide."""

    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 5.0
    failure_threshold: int = 10


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of the host that instances see."""

    name: str
    mount_path: str
    host_path: str
    read_only: bool = True


class Desired(Record, frozen=True, kw_only=True, tag="desired"):
    """What a deployer should make true for one version. Key: `<deployer>.<version>`."""

    model_id: AggregateId
    version_id: VersionId
    version_number: int
    generation: int  # grows with every start or restart; instances belong to one generation
    target: Target
    instances: int
    artifact: Digest  # of the `Bundle` document
    user_name: str  # the project's owner and name: its files live at .../mnt/<user>/<project>
    project_name: str
    file: str
    function: str
    language: Language | None = None  # as its publisher said; None: the file's name tells
    environment_variables: tuple[tuple[str, str], ...] = ()  # name and sealed value
    workers: int = 1
    recycle_after_calls: int = 0  # 0: never
    preload: bool = False
    memory_bytes: int
    memory_requested_bytes: int = 0
    cpu_limit: float = 0.0  # cores; 0: none
    cpu_requested: float = 0.0
    volumes: tuple[Volume, ...] = ()
    example_input: str = ""  # a whole request body; an instance is ready once it has answered it
    request_timeout_s: float
    start_deadline_s: float
    health_check: HealthCheck
    routed_out_at: int = 0  # with target stopped: drain only once every live router has this revision of the route


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The immutable artifact of one version: a document in the blob store, named by its own digest."""

    files: Digest  # a tar of the project's files, deterministic
    environment: Digest  # names the content-addressed virtual environment
    lock: Digest  # the requirements with hashes that the environment was made from
    language: Language = Language.PYTHON
    python: str = ""  # "3.11"
    r: str = ""  # "4.2.2"
    harness_version: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A version that answers a share of a label's calls, and those that ask for it by header."""

    version_id: VersionId
    share: float  # percent of the calls, 0 to 100


class Route(Record, frozen=True, kw_only=True, tag="route"):
    """Where calls of one model go and who may call. Key: `<model>`."""

    model_id: AggregateId
    labels: dict[str, VersionId | None]  # "latest", "prod" -> the version that answers; None, and no latest: stopped
    candidates: dict[str, Candidate] = {}  # label -> its canary, ready to answer
    has_repeatable_calls: bool = False  # what an instance did not answer before it died is sent to another
    is_restricted: bool
    token_hashes: tuple[str, ...]  # SHA-256 of each live access token, lower-case hex
    request_timeout_s: float


class InstancePhase(StrEnum):
    STARTING = "starting"  # from process start until first ready
    RUNNING = "running"  # has been ready
    DRAINING = "draining"  # routers must send it nothing new
    EXITED = "exited"  # gone; replaced after a back-off


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as its deployer sees it."""

    instance_id: InstanceId
    phase: InstancePhase
    addresses: tuple[str, ...]  # one per worker: the absolute path of a Unix socket, or host:port
    started_at: datetime
    keeps_connections: bool = False  # a call on one that was used before is answered also when its worker dies
    memory_bytes: int = 0
    exit_reason: str = ""


class PlacementPhase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"  # every wanted instance of this generation has been ready once
    STALLED = "stalled"  # the start deadline passed; still trying
    FAILED = "failed"  # given up for this generation; `reason` says why
    STOPPING = "stopping"
    STOPPED = "stopped"  # no instance is left


class Placement(Record, frozen=True, kw_only=True, tag="placement"):
    """What a deployer runs for one version: all its instances at once. Key: `<deployer>.<version>`."""

    deployer_id: str
    model_id: AggregateId
    version_id: VersionId
    generation: int
    desired_revision: int  # of the `Desired` entry that this answers
    phase: PlacementPhase
    reason: str = ""
    instances: tuple[Instance, ...] = ()
    exits: int = 0  # in this generation
    last_exit: str = ""


class Health(Record, frozen=True, kw_only=True, tag="health"):
    """The verdict on one instance. Key: `<instance>`. Repeated now and then even when unchanged."""

    instance_id: InstanceId
    version_id: VersionId
    is_ready: bool
    failures: int  # consecutive failed probes
    is_unrecoverable: bool = False  # the failure threshold was reached after it had been ready: replace it
    reason: str = ""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What one version answered through one router, since `since`. Durations in seconds."""

    since: datetime
    requests: int
    failures: int  # answered with 5xx, or not at all
    mean_s: float  # waiting and computing, until the answer began
    longest_s: float  # from the head of the request until the answer began


class RouterReport(Record, frozen=True, kw_only=True, tag="router"):
    """What is in effect in one router's HAProxy, old workers included. Key: `<router>`."""

    router_id: str
    routes: dict[AggregateId, int]  # model -> revision of its `Route`
    placements: dict[VersionId, int]  # version -> revision of its `Placement`
    in_flight: dict[InstanceId, int]  # calls being answered; instances without any are left out
    waiting: dict[VersionId, int]  # calls in the version's queue; versions without any are left out
    traffic: dict[VersionId, Traffic] = {}  # of canaries and of what they are held to
    rejected: str = ""  # HAProxy's complaint about the newest configuration, if it refused it


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """A service lives. Key: `<service>.<id>`; put every 2 s, expires after 10 s."""

    service: str
    service_id: str
    at: datetime
    started_at: datetime


class BuildOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a builder should build. The same order may arrive several times and must end in one artifact."""

    model_id: AggregateId
    version_id: VersionId
    version_number: int
    snapshot: Digest  # of the `Manifest` document
    exclude_files: tuple[str, ...]
    file: str
    function: str
    language: Language | None = None  # as its publisher said; None: the file's name tells
    environment_revision_id: str
    requirements: str  # the text of a requirements file, as the person wrote it
    timeout_s: float


class Build(Record, frozen=True, kw_only=True, tag="build"):
    """A version that builders should build, or keep what they built for. Key: `<version>`.

    The tombstone says that nobody wants it any more: a build is given up, and what it was made of may go.
    """

    model_id: AggregateId
    version_id: VersionId
    published_at: datetime
    artifact: Digest | None  # None: not built yet


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a snapshot."""

    path: str  # relative, with forward slashes
    mode: int  # permission bits; only the owner's execute bit matters
    size_bytes: int
    digest: Digest


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A project's files at one moment: a document in the blob store, sorted by path, named by its digest."""

    files: tuple[FileEntry, ...]


class BuildPhase(StrEnum):
    PENDING = "pending"
    BUILDING = "building"
    COMPLETE = "complete"
    FAILED = "failed"


class BuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """A fact from a builder: a build began, completed or failed. Comes at least once, in any order."""

    model_id: AggregateId
    version_id: VersionId
    attempt: int
    phase: BuildPhase  # never PENDING
    artifact: Digest | None = None  # with COMPLETE
    reason: str = ""  # one sentence, with FAILED
    build_s: float = 0.0


class RolloutKind(StrEnum):
    SWITCH = "switch"  # a label moved from one version to another
    RESTART = "restart"  # the instances of one version were replaced by a new generation


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A fact from a router: what a switch cost its callers, from the moment it was known until the last call on what it
    replaced had ended. Comes at least once. Durations in seconds.
    """

    # The same however often it is sent: <router>.<model>.<label>.<route revision> or <router>.<version>.<generation>.
    id: str
    router_id: str
    kind: RolloutKind
    model_id: AggregateId
    version_id: VersionId  # that took over
    replaced: VersionId | None  # None: nothing answered before; with a restart: the version itself
    label: str  # "" with a restart
    began_at: datetime
    in_effect_s: float  # until every worker of HAProxy that decides followed it
    drain_s: float  # until the last call on what was replaced had ended
    requests: int  # of the model's calls that were answered meanwhile
    failures: int
    longest_wait_s: float  # of any of them, for a free worker
    longest_call_s: float
    instances: tuple[InstanceId, ...]  # that took over
    replaced_instances: tuple[InstanceId, ...] = ()
    is_complete: bool = True  # False: given up waiting for the last call


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a build, deployment or instance log; a message on the bus carries a list of them."""

    at: datetime
    text: str  # without the newline, at most 16 kB
    stream: str = "stdout"  # stdout, stderr, or "modelway" for the platform's own words


class Buried(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was given up on, as published under `buried.<service>.<consumer>`."""

    subject: str
    reason: str
    attempts: int
    body: bytes
    at: datetime
