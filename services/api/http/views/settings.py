"""This file is how a model's settings look on the wire. Values of environment variables never do."""

from __future__ import annotations

from services.api.http.views.wire import View
from services.core.model import Model
from services.core.records import HealthCheck, Volume
from services.core.settings import RESTARTING, Scaling, Settings

NAMES = {
    "instances": "replicas",
    "scaling": "scaling",
    "scaling.min_instances": "scaling.minReplicas",
    "scaling.max_instances": "scaling.maxReplicas",
    "scaling.target_calls": "scaling.targetCalls",
    "routing_mode": "routingMode",
    "has_repeatable_calls": "repeatableCalls",
    "quota_id": "resourceQuotaId",
    "memory_bytes": "memoryBytes",
    "memory_requested_bytes": "memoryRequestedBytes",
    "cpu_limit": "cpuLimit",
    "cpu_requested": "cpuRequested",
    "workers": "workerCount",
    "request_timeout_s": "requestTimeoutSeconds",
    "start_deadline_s": "startDeadlineSeconds",
    "build_timeout_s": "buildTimeoutSeconds",
    "health_check": "healthCheck",
    "environment_variables": "environmentVariables",
    "volumes": "volumes",
}
"""What core calls a setting -> what the wire calls it."""


def settings(state: Model) -> View:
    """All of them. `effective` says what holds where the model leaves it to the platform."""
    return {
        **settings_of(state.settings),
        "effective": {"workerCount": state.workers, "requestTimeoutSeconds": state.request_timeout_s},
        "restarting": [NAMES[name] for name in RESTARTING],
    }


def settings_of(kept: Settings) -> View:
    return {
        "replicas": kept.instances,
        "scaling": scaling(kept.scaling),
        "routingMode": kept.routing_mode,
        "repeatableCalls": kept.has_repeatable_calls,
        "resourceQuotaId": kept.quota_id or None,
        "memoryBytes": kept.memory_bytes,
        "memoryRequestedBytes": kept.memory_requested_bytes,
        "cpuLimit": kept.cpu_limit,
        "cpuRequested": kept.cpu_requested,
        "workerCount": kept.workers,
        "requestTimeoutSeconds": kept.request_timeout_s,
        "startDeadlineSeconds": kept.start_deadline_s,
        "buildTimeoutSeconds": kept.build_timeout_s,
        "healthCheck": health_check(kept.health_check),
        "environmentVariables": [{"key": name} for name, _ in kept.environment_variables],
        "volumes": [volume(each) for each in kept.volumes],
    }


def health_check(check: HealthCheck) -> View:
    return {
        "initialDelaySeconds": check.initial_delay_s,
        "periodSeconds": check.period_s,
        "timeoutSeconds": check.timeout_s,
        "failureThreshold": check.failure_threshold,
    }


def scaling(kept: Scaling | None) -> View | None:
    if kept is None:
        return None
    return {
        "minReplicas": kept.min_instances,
        "maxReplicas": kept.max_instances,
        "targetCalls": kept.target_calls,
    }


def volume(each: Volume) -> View:
    return {
        "name": each.name,
        "mountPath": each.mount_path,
        "hostPath": each.host_path,
        "readOnly": each.read_only,
    }
