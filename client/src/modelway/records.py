"""This file is what the platform's answers mean: plain values, read from JSON. Unknown fields are dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

Json = Any  # what `json.loads` gives


class Status(StrEnum):
    """What a version is doing. The platform may add words, so fields that hold one are plain `str`."""

    PREPARING = "Preparing to build"
    BUILDING = "Building"
    READY_TO_RUN = "Ready to run"
    STARTING = "Starting"
    RUNNING = "Running"
    STALLED = "Stalled"
    UNREACHABLE = "Unreachable"
    FAILED = "Failed"
    STOPPED = "Stopped"


class LogKind(StrEnum):
    BUILD = "build"
    INSTANCE = "instance"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One immutable version of a model API, and what it is doing."""

    id: str
    number: int
    project_id: str = ""
    commit_id: str = ""
    environment_revision_id: str = ""
    file: str = ""
    function: str = ""
    language: str = ""  # "python" or "r"
    description: str = ""
    labels: tuple[str, ...] = ()
    has_example: bool = False  # it is ready only once it has answered its example call
    created_at: datetime | None = None
    status: str = ""
    is_pending: bool = False
    reason: str = ""
    instances_wanted: int = 0
    instances_ready: int = 0
    instances_lost: int = 0  # since it was last started
    last_exit: str = ""  # why the last of them was

    @classmethod
    def read(cls, answer: Json) -> Version:
        deployment = answer.get("deployment") or {}
        instances = deployment.get("instances") or {}
        source = answer.get("source") or {}
        return cls(
            id=str(answer["id"]),
            number=int(answer["number"]),
            project_id=answer.get("projectId") or "",
            commit_id=answer.get("commitId") or "",
            environment_revision_id=answer.get("environmentRevisionId") or "",
            file=source.get("file") or "",
            function=source.get("function") or "",
            language=source.get("language") or "",
            description=answer.get("description") or "",
            labels=tuple(answer.get("labels") or ()),
            has_example=answer.get("exampleInput") is not None,
            created_at=instant((answer.get("metadata") or {}).get("created")),
            status=str(deployment.get("status") or ""),
            is_pending=bool(deployment.get("isPending")),
            reason=deployment.get("reason") or "",
            instances_wanted=int(instances.get("wanted") or 0),
            instances_ready=int(instances.get("ready") or 0),
            instances_lost=int(deployment.get("lostInstances") or 0),
            last_exit=deployment.get("lastExit") or "",
        )


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model API. `active` is the version that `latest` points to, else the newest one."""

    id: str
    name: str
    description: str
    environment_id: str
    replicas: int | None
    memory_bytes: int | None
    request_timeout_s: float
    is_restricted: bool
    is_archived: bool
    endpoint: str  # of `latest`; "" when the platform did not say
    active: Version | None
    routing_mode: str = "basic"
    labels: dict[str, str] = field(default_factory=dict)  # label -> id of the version it leads to

    @classmethod
    def read(cls, answer: Json) -> Model:
        active = answer.get("activeVersion")
        return cls(
            id=str(answer["id"]),
            name=str(answer["name"]),
            description=answer.get("description") or "",
            environment_id=answer.get("environmentId") or "",
            replicas=answer.get("replicas"),
            memory_bytes=answer.get("memoryBytes"),
            request_timeout_s=float(answer.get("overrideRequestTimeoutSecs") or 60),
            is_restricted=bool(answer.get("isRestricted", True)),
            is_archived=bool(answer.get("isArchived")),
            endpoint=(answer.get("endpoints") or {}).get("latest") or "",
            active=Version.read(active) if active else None,
            routing_mode=str(answer.get("routingMode") or "basic").lower(),
            labels={str(label): str(each) for label, each in (answer.get("labels") or {}).items() if each},
        )


@dataclass(frozen=True, kw_only=True)
class Environment:
    id: str
    name: str
    revision_id: str
    requirements: str

    @classmethod
    def read(cls, answer: Json) -> Environment:
        revision = answer.get("latestRevision") or {}
        return cls(
            id=str(answer["id"]),
            name=str(answer["name"]),
            revision_id=str(revision.get("id") or ""),
            requirements=revision.get("requirements") or "",
        )


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line of a log. `source` is the instance that wrote it, where the platform says."""

    text: str
    stream: str
    time_ns: int
    source: str

    @classmethod
    def read(cls, answer: Json) -> LogLine:
        tags = {tag["key"]: str(tag["value"]) for tag in answer.get("tags") or ()}
        return cls(
            text=str(answer["log"]).rstrip("\n"),
            stream=answer.get("streamType") or "stdout",
            time_ns=int(answer["timeNano"]),
            source=tags.get("instance") or tags.get("podName") or "",
        )

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.time_ns / 1e9, tz=UTC)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer to one call: `result` is what the function returned, `answer` the whole body."""

    result: Json
    answer: Json

    @classmethod
    def read(cls, answer: Json) -> Prediction:
        return cls(result=answer["result"], answer=answer)


@dataclass(frozen=True, kw_only=True)
class Service:
    service: str
    id: str
    is_alive: bool
    last_seen: datetime | None
    started_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The platform's own health. `troubles` is one sentence for each thing that is not well."""

    services: tuple[Service, ...]
    database: str
    bus: str
    routers: dict[str, str]  # router -> why it refused the newest configuration, "" when it did not

    @classmethod
    def read(cls, answer: Json) -> Platform:
        services = tuple(
            Service(
                service=str(each["service"]),
                id=str(each.get("id") or ""),
                is_alive=bool(each["isAlive"]),
                last_seen=instant(each.get("lastSeen")),
                started_at=instant(each.get("startedAt")),
            )
            for each in answer["services"]
        )
        routers = {str(each["id"]): each.get("rejected") or "" for each in answer.get("routers") or ()}
        return cls(services=services, database=answer["database"], bus=answer["bus"], routers=routers)

    @property
    def troubles(self) -> tuple[str, ...]:
        silent = [f"{each.service} {each.id} is silent." for each in self.services if not each.is_alive]
        parts = {"database": self.database, "bus": self.bus}
        ill = [f"The {part} is not well: {state}." for part, state in parts.items() if state != "ok"]
        refused = [f"{router} refused its configuration: {why}." for router, why in self.routers.items() if why]
        return (*silent, *ill, *refused)


def instant(epoch_ms: Json) -> datetime | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1e3, tz=UTC)
