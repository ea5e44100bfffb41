"""This file is every name on the bus: subjects, streams, consumers, buckets and keys. Nothing else spells one."""

from __future__ import annotations

from enum import StrEnum

from services.core.ids import AggregateId, InstanceId, VersionId

EPOCH = "epoch"  # the key of `records.Epoch` in a decided bucket
CHECKPOINT = "checkpoint.made"


class Stream(StrEnum):
    EVENTS = "EVENTS"
    FACTS = "FACTS"
    COMMANDS = "COMMANDS"
    LOGS = "LOGS"
    ACCESS = "ACCESS"
    CHECKPOINTS = "CHECKPOINTS"
    BURIED = "BURIED"


class Bucket(StrEnum):
    DESIRED = "desired"
    ROUTES = "routes"
    BUILDS = "builds"
    PLACEMENTS = "placements"
    HEALTH = "health"
    ROUTERS = "routers"
    HEARTBEATS = "heartbeats"


DECIDED = (Bucket.DESIRED, Bucket.ROUTES, Bucket.BUILDS)

SUBJECTS = {
    Stream.EVENTS: "event.>",
    Stream.FACTS: "fact.>",
    Stream.COMMANDS: "command.>",
    Stream.LOGS: "log.>",
    Stream.ACCESS: "access.>",
    Stream.CHECKPOINTS: "checkpoint.>",
    Stream.BURIED: "buried.>",
}


class Consumer(StrEnum):
    """Durable consumers; api creates them, their owners only bind."""

    BUILDERS = "builders"  # of COMMANDS, filtered to builds
    RECORDER = "recorder"  # of FACTS, filtered to those about builds
    RECEIPTS = "receipts"  # of FACTS, filtered to those about rollouts


CONSUMERS = {
    Consumer.BUILDERS: (Stream.COMMANDS, "command.build.>"),
    Consumer.RECORDER: (Stream.FACTS, "fact.builder.>"),
    Consumer.RECEIPTS: (Stream.FACTS, "fact.router.>"),
}


class LogKind(StrEnum):
    BUILD = "build"
    INSTANCE = "instance"
    DEPLOYMENT = "deployment"


def event(aggregate: str, aggregate_id: AggregateId, what: str) -> str:
    """Where an event is published: `event.model.<id>.version-published`."""
    return f"event.{aggregate}.{aggregate_id}.{what}"


def build_command(version_id: VersionId) -> str:
    return f"command.build.{version_id}"


def build_fact(version_id: VersionId) -> str:
    return f"fact.builder.build.{version_id}"


def rollout_fact(rollout_id: str) -> str:
    """`rollout_id` is of bus tokens with dots between them."""
    return f"fact.router.rollout.{rollout_id}"


def log(kind: LogKind, model_id: AggregateId, version_id: VersionId, instance_id: InstanceId | None = None) -> str:
    base = f"log.{kind}.{model_id}.{version_id}"
    return base if instance_id is None else f"{base}.{instance_id}"


def access(model_id: AggregateId) -> str:
    """Where routers publish which of their calls to this model were answered by whom."""
    return f"access.{model_id}"


def buried(service: str, consumer: str) -> str:
    return f"buried.{service}.{consumer}"


def version_key(deployer_id: str, version_id: VersionId) -> str:
    """The key of a version in `desired` and in `placements`."""
    return f"{deployer_id}.{version_id}"


def heartbeat_key(service: str, service_id: str) -> str:
    return f"{service}.{service_id}"
