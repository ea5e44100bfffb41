"""This file is how a model's settings look on the wire. Values of environment variables never do."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from services.api.http.shapes import VersionId, says
from services.api.http.views.settings_fields import (
    BuildTimeout,
    CpuLimit,
    CpuRequested,
    FailureThreshold,
    HostPath,
    InitialDelay,
    MaxReplicas,
    MemoryBytes,
    MemoryRequestedBytes,
    MinReplicas,
    MountPath,
    Period,
    Preload,
    QuotaId,
    ReadOnly,
    RecycleAfterCalls,
    RepeatableCalls,
    Replicas,
    RequestTimeout,
    StartDeadline,
    TargetCalls,
    Timeout,
    VariableKey,
    VolumeName,
    WorkerCount,
)
from services.api.http.views.wire import Answer
from services.core.model import Model
from services.core.records import HealthCheck, Volume
from services.core.settings import RESTARTING, RoutingMode, Scaling, Settings

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
    "recycle_after_calls": "recycleAfterCalls",
    "preload": "preload",
    "request_timeout_s": "requestTimeoutSeconds",
    "start_deadline_s": "startDeadlineSeconds",
    "build_timeout_s": "buildTimeoutSeconds",
    "health_check": "healthCheck",
    "environment_variables": "environmentVariables",
    "volumes": "volumes",
}
"""What core calls a setting -> what the wire calls it."""


class HealthCheckView(Answer, frozen=True, kw_only=True):
    """How an instance is probed once it has been ready."""

    initial_delay_seconds: InitialDelay
    period_seconds: Period
    timeout_seconds: Timeout
    failure_threshold: FailureThreshold


class ScalingView(Answer, frozen=True, kw_only=True):
    """A busy model has more instances, an idle one fewer."""

    min_replicas: MinReplicas
    max_replicas: MaxReplicas
    target_calls: TargetCalls


class VolumeView(Answer, frozen=True, kw_only=True):
    """A folder of the host that instances see."""

    name: VolumeName
    mount_path: MountPath
    host_path: HostPath
    read_only: ReadOnly
    volume_type: Annotated[str | UnsetType, says("HostPath; told where a Model API is shown")] = UNSET


class VariableView(Answer, frozen=True, kw_only=True):
    """An environment variable. Its value is never shown."""

    key: VariableKey


class EffectiveView(Answer, frozen=True, kw_only=True):
    """What holds where the model leaves it to the platform."""

    worker_count: Annotated[int, says("worker processes of an instance")]
    request_timeout_seconds: Annotated[float, says("time a call may take, waiting included, seconds")]


class SettingsView(Answer, frozen=True, kw_only=True):
    """How a model's versions run. All that is said of instances is said of each."""

    replicas: Replicas
    scaling: Annotated[ScalingView | None, says("null: replicas is fixed")]
    routing_mode: Annotated[RoutingMode, says("basic: the route latest; advanced: also labels/prod")]
    repeatable_calls: RepeatableCalls
    resource_quota_id: QuotaId
    memory_bytes: MemoryBytes
    memory_requested_bytes: MemoryRequestedBytes
    cpu_limit: CpuLimit
    cpu_requested: CpuRequested
    worker_count: WorkerCount
    recycle_after_calls: RecycleAfterCalls
    preload: Preload
    request_timeout_seconds: RequestTimeout
    start_deadline_seconds: StartDeadline
    build_timeout_seconds: BuildTimeout
    health_check: Annotated[HealthCheckView, says("how instances are probed")]
    environment_variables: Annotated[list[VariableView], says("what the model's process finds in its environment")]
    volumes: Annotated[list[VolumeView], says("folders of the host")]


class ModelSettingsView(SettingsView, frozen=True, kw_only=True):
    """All settings of a model, and what follows from them."""

    effective: Annotated[EffectiveView, says("what holds where the model leaves it to the platform")]
    restarting: Annotated[list[str], says("settings that take new instances to take effect: changing one restarts")]
    restarted: Annotated[
        list[VersionId] | UnsetType, says("versions that this very change restarts; told after a change only")
    ] = UNSET


def settings(state: Model, *, restarted: list[str] | UnsetType = UNSET) -> ModelSettingsView:
    """All of them. `effective` says what holds where the model leaves it to the platform."""
    return ModelSettingsView(
        **_shown(state.settings),
        effective=EffectiveView(worker_count=state.workers, request_timeout_seconds=state.request_timeout_s),
        restarting=[NAMES[name] for name in RESTARTING],
        restarted=restarted,
    )


def settings_of(kept: Settings) -> SettingsView:
    return SettingsView(**_shown(kept))


def _shown(kept: Settings) -> dict[str, Any]:
    return {
        "replicas": kept.instances,
        "scaling": scaling(kept.scaling),
        "routing_mode": kept.routing_mode,
        "repeatable_calls": kept.has_repeatable_calls,
        "resource_quota_id": kept.quota_id or None,
        "memory_bytes": kept.memory_bytes,
        "memory_requested_bytes": kept.memory_requested_bytes,
        "cpu_limit": kept.cpu_limit,
        "cpu_requested": kept.cpu_requested,
        "worker_count": kept.workers,
        "recycle_after_calls": kept.recycle_after_calls,
        "preload": kept.preload,
        "request_timeout_seconds": kept.request_timeout_s,
        "start_deadline_seconds": kept.start_deadline_s,
        "build_timeout_seconds": kept.build_timeout_s,
        "health_check": health_check(kept.health_check),
        "environment_variables": [VariableView(key=name) for name, _ in kept.environment_variables],
        "volumes": [volume(each) for each in kept.volumes],
    }


def health_check(check: HealthCheck) -> HealthCheckView:
    return HealthCheckView(
        initial_delay_seconds=check.initial_delay_s,
        period_seconds=check.period_s,
        timeout_seconds=check.timeout_s,
        failure_threshold=check.failure_threshold,
    )


def scaling(kept: Scaling | None) -> ScalingView | None:
    if kept is None:
        return None
    return ScalingView(min_replicas=kept.min_instances, max_replicas=kept.max_instances, target_calls=kept.target_calls)


def volume(each: Volume, *, kind: str | UnsetType = UNSET) -> VolumeView:
    return VolumeView(
        name=each.name, mount_path=each.mount_path, host_path=each.host_path, read_only=each.read_only, volume_type=kind
    )
