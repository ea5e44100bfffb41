"""This file is how the platform looks on the wire: services, history, logs, configuration and quotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.api.http.views.wire import View, milliseconds
from services.api.ports import ServiceSeen
from services.api.verify import Finding
from services.core.configuration import Configuration, Key, Pending
from services.core.model import Model
from services.core.quota import Quota
from services.kit.read_log import PlacedLine


def log_lines(lines: Iterable[PlacedLine], tags: Mapping[str, str]) -> list[View]:
    """Lines, each with the place in its log as `timeNano`, so that a client can ask for what came after one."""
    shown_tags = [{"key": key, "value": value} for key, value in tags.items()]
    return [
        {
            "log": line.text,
            "streamType": line.stream,
            "tags": shown_tags,
            "timeNano": line.place_ns,
            "timestamp": milliseconds(line.at),
        }
        for line in lines
    ]


def service(seen: ServiceSeen) -> View:
    return {
        "service": seen.service,
        "id": seen.service_id,
        "lastSeen": milliseconds(seen.last_seen_at),
        "startedAt": milliseconds(seen.started_at),
        "isAlive": seen.is_alive,
    }


def found(finding: Finding) -> View:
    """One thing that a verification found wrong."""
    return {
        "aggregate": finding.aggregate,
        "aggregateId": finding.aggregate_id,
        "revision": finding.revision,
        "what": finding.what,
    }


def quota(state: Quota) -> View:
    return {
        "id": state.id,
        "name": state.name,
        "cpuRequested": state.cpu_requested,
        "cpuLimit": state.cpu_limit,
        "memoryRequestedBytes": state.memory_requested_bytes,
        "memoryLimitBytes": state.memory_limit_bytes,
        "isVisible": state.is_visible,
        "isDefault": state.is_default,
    }


def configured(state: Configuration, key: Key) -> View:
    return {
        "key": key.name,
        "value": state.value(key.name),
        "default": key.default,
        "isSet": state.is_set(key.name),
        "unit": key.unit,
        "description": key.description,
    }


def pending(state: Model, behind: Pending) -> View:
    return {"modelId": state.id, "name": state.name, "versions": list(behind.versions), "keys": list(behind.keys)}
