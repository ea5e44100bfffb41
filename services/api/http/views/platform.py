"""This file is how the platform looks on the wire: services, history, logs, configuration and quotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from services.api.http.shapes import Id, Milliseconds, ModelId, VersionId, says
from services.api.http.views.versions import ShownStatus
from services.api.http.views.wire import Answer, milliseconds
from services.api.ports import ServiceSeen
from services.api.verify import Finding
from services.core import configuration
from services.core.model import Model
from services.core.quota import Quota
from services.kit.read_log import PlacedLine


class LineTag(Answer, frozen=True, kw_only=True):
    """Where a line comes from."""

    key: Annotated[str, says("podName: the instance")]
    value: Annotated[str, says("its id")]


class LogLine(Answer, frozen=True, kw_only=True):
    """One line of a log."""

    log: Annotated[str, says("the line, without its newline")]
    stream_type: Annotated[str, says("stdout, stderr, or modelway for the platform's own words")]
    tags: Annotated[list[LineTag], says("where it comes from")]
    time_nano: Annotated[int, says("its place in the log, epoch nanoseconds: ask with sinceTimeNano for what is after")]
    timestamp: Annotated[Milliseconds, says("when it was written, epoch milliseconds")]


class Service(Answer, frozen=True, kw_only=True):
    """A process of the platform, as its heartbeats show it."""

    service: Annotated[str, says("api, builder, deployer, monitor or router")]
    id: Annotated[str, says("which of them")]
    last_seen: Annotated[Milliseconds, says("when it was heard of last, epoch milliseconds")]
    started_at: Annotated[Milliseconds, says("when it started, epoch milliseconds")]
    is_alive: Annotated[bool, says("whether it was heard of lately")]


class FindingView(Answer, frozen=True, kw_only=True):
    """One thing that a verification found wrong."""

    aggregate: Annotated[str, says("the kind of thing whose history it is in, as in model or project")]
    aggregate_id: Annotated[str, says("which one")]
    revision: Annotated[int, says("where in that history: entries are counted from 1")]
    what: Annotated[str, says("what is wrong, one sentence")]


class ResourceQuota(Answer, frozen=True, kw_only=True):
    """A named size of an instance."""

    id: Annotated[Id, says("the resource quota: 24 lower-case hexadecimal characters")]
    name: Annotated[str, says("the quota's name")]
    cpu_requested: Annotated[float, says("processors set aside for an instance, cores")]
    cpu_limit: Annotated[float, says("processors an instance may use, cores; 0: no limit")]
    memory_requested_bytes: Annotated[int, says("memory set aside for an instance, bytes")]
    memory_limit_bytes: Annotated[int, says("memory an instance may use, bytes")]
    is_visible: Annotated[bool, says("whether a model can still choose it")]
    is_default: Annotated[bool, says("whether a new model takes it that names none")]


class Configured(Answer, frozen=True, kw_only=True):
    """A key of the central configuration, set or not."""

    key: Annotated[str, says("the key's name")]
    value: Annotated[int | float, says("what holds now, in the key's unit")]
    default: Annotated[int | float, says("what holds while it is not set, in the key's unit")]
    is_set: Annotated[bool, says("whether an administrator set it")]
    unit: Annotated[str, says("what the value counts, as in seconds")]
    description: Annotated[str, says("what it decides")]


class ConfiguredKeys(Answer, frozen=True, kw_only=True):
    """The central configuration."""

    items: Annotated[list[Configured], says("every key, whether set or not")]


class PendingModel(Answer, frozen=True, kw_only=True):
    """A model with running versions that still go by what was configured before."""

    model_id: ModelId
    name: Annotated[str, says("the model's name")]
    versions: Annotated[list[VersionId], says("the versions: a restart picks the configuration up")]
    keys: Annotated[list[str], says("the keys that were set since they were started")]


class PendingModels(Answer, frozen=True, kw_only=True):
    """What has yet to pick up what was configured."""

    items: Annotated[list[PendingModel], says("one item a model")]


class ResourceQuotas(Answer, frozen=True, kw_only=True):
    """All resource quotas that the caller may see."""

    items: Annotated[list[ResourceQuota], says("in the order they were made; there are 200 at most")]


class VersionLogs(Answer, frozen=True, kw_only=True):
    """Lines of one log of a version."""

    logs: Annotated[list[LogLine], says("oldest first")]
    model_id: ModelId
    model_version_id: VersionId
    status: ShownStatus


class VersionInfo(Answer, frozen=True, kw_only=True):
    """What this is."""

    version: Annotated[str, says("the release of the contract that existing clients gate their features on")]
    modelway: Annotated[str, says("the release of the platform")]


class Liveness(Answer, frozen=True, kw_only=True):
    """The process lives."""

    status: Annotated[str, says("always ok")] = "ok"


class Readiness(Answer, frozen=True, kw_only=True):
    """Whether requests can be answered."""

    status: Annotated[str, says("ok, or failing while the database does not answer")]
    database: Annotated[str, says("ok, or what is wrong with it, one sentence")]
    bus: Annotated[str, says("ok, or what is wrong with it: without the bus, changes are kept and take effect later")]


class Outbox(Answer, frozen=True, kw_only=True):
    """What is stored and not yet published."""

    waiting: Annotated[int | None, says("how many messages; null: the database does not answer")]


class RouterView(Answer, frozen=True, kw_only=True):
    """A router."""

    id: Annotated[str, says("which one")]
    rejected: Annotated[str, says("what HAProxy says about the configuration it refused; empty: it refused none")]


class PlatformState(Answer, frozen=True, kw_only=True):
    """How the parts of the platform are."""

    services: Annotated[list[Service], says("every process that was heard of lately")]
    database: Annotated[str, says("ok, or what is wrong with it, one sentence")]
    bus: Annotated[str, says("ok, or what is wrong with it, one sentence")]
    outbox: Annotated[Outbox, says("what is stored and not yet published")]
    routers: Annotated[list[RouterView], says("the routers")]


def log_lines(lines: Iterable[PlacedLine], tags: Mapping[str, str]) -> list[LogLine]:
    """Lines, each with the place in its log as `timeNano`, so that a client can ask for what came after one."""
    shown_tags = [LineTag(key=key, value=value) for key, value in tags.items()]
    return [
        LogLine(
            log=line.text,
            stream_type=line.stream,
            tags=shown_tags,
            time_nano=line.place_ns,
            timestamp=milliseconds(line.at),
        )
        for line in lines
    ]


def service(seen: ServiceSeen) -> Service:
    return Service(
        service=seen.service,
        id=seen.service_id,
        last_seen=milliseconds(seen.last_seen_at),
        started_at=milliseconds(seen.started_at),
        is_alive=seen.is_alive,
    )


def found(finding: Finding) -> FindingView:
    """One thing that a verification found wrong."""
    return FindingView(
        aggregate=finding.aggregate, aggregate_id=finding.aggregate_id, revision=finding.revision, what=finding.what
    )


def quota(state: Quota) -> ResourceQuota:
    return ResourceQuota(
        id=state.id,
        name=state.name,
        cpu_requested=state.cpu_requested,
        cpu_limit=state.cpu_limit,
        memory_requested_bytes=state.memory_requested_bytes,
        memory_limit_bytes=state.memory_limit_bytes,
        is_visible=state.is_visible,
        is_default=state.is_default,
    )


def configured(state: configuration.Configuration, key: configuration.Key) -> Configured:
    return Configured(
        key=key.name,
        value=state.value(key.name),
        default=key.default,
        is_set=state.is_set(key.name),
        unit=key.unit,
        description=key.description,
    )


def pending(state: Model, behind: configuration.Pending) -> PendingModel:
    return PendingModel(model_id=state.id, name=state.name, versions=list(behind.versions), keys=list(behind.keys))
