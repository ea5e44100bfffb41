"""This file is what the settings of a model are, one by one, in bodies and answers alike: unit, default and bounds."""

from __future__ import annotations

from typing import Annotated

from services.api.http.shapes import says
from services.core.records import HealthCheck
from services.core.settings import BOUNDS, MAX_INSTANCES, RoutingMode, Settings

_USUAL = Settings()
_DAY_S = 86_400
_MEMORY, _CPU = BOUNDS["memory_bytes"], BOUNDS["cpu_limit"]

Replicas = Annotated[
    int,
    says(
        f"instances of each running version, 1 to {MAX_INSTANCES}; default {_USUAL.instances}, or as the platform's "
        "configuration says",
        low=1,
        high=MAX_INSTANCES,
    ),
]
RoutingModeName = Annotated[
    str,
    says(
        "basic: the route latest; advanced: also labels/prod; in any case of letters", default=RoutingMode.BASIC.value
    ),
]
RepeatableCalls = Annotated[
    bool, says("whether a call may be run again on another instance when its own dies", default=False)
]
QuotaId = Annotated[
    str | None,
    says("the resource quota that memory and cores are taken from; null: they are set by hand", default=None),
]
MemoryBytes = Annotated[
    int, says("memory an instance may use, bytes", default=_USUAL.memory_bytes, low=_MEMORY[0], high=_MEMORY[1])
]
MemoryRequestedBytes = Annotated[
    int, says("memory set aside for an instance, bytes; at most memoryBytes", default=0, low=0, high=_MEMORY[1])
]
CpuLimit = Annotated[
    float, says("processors an instance may use, cores; 0: no limit", default=0.0, low=_CPU[0], high=_CPU[1])
]
CpuRequested = Annotated[
    float, says("processors set aside for an instance, cores", default=0.0, low=_CPU[0], high=_CPU[1])
]
WorkerCount = Annotated[
    int | None,
    says(
        "worker processes of an instance, the calls it works on at once, 1 to 32; null: as the platform's "
        "configuration says",
        default=None,
    ),
]
RequestTimeout = Annotated[
    float | None,
    says(
        "time a call may take, waiting included, 0.1 to 3600 seconds; null: as the platform's configuration says",
        default=None,
    ),
]
RecycleAfterCalls = Annotated[
    int,
    says(
        "a fresh worker takes over after about so many calls, at least 10; 0: never",
        default=_USUAL.recycle_after_calls,
        high=BOUNDS["recycle_after_calls"][1],
        low=0,
    ),
]
Preload = Annotated[
    bool,
    says(
        "whether an instance imports the script once and forks its workers from that, where that is safe",
        default=_USUAL.preload,
    ),
]
StartDeadline = Annotated[
    float,
    says(
        "time an instance may take from its start until it is ready first, seconds",
        default=_USUAL.start_deadline_s,
        low=1,
        high=_DAY_S,
    ),
]
BuildTimeout = Annotated[
    float, says("time a build may take, seconds", default=_USUAL.build_timeout_s, low=1, high=_DAY_S)
]
VariableKey = Annotated[
    str,
    says(
        "the variable's name: letters, digits and underscores, not beginning with a digit, at most 100 characters",
        pattern="^[A-Za-z_][A-Za-z0-9_]{0,99}$",
    ),
]
VolumeName = Annotated[
    str,
    says("the volume's name: lower-case letters, digits and '-'", pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
]
MountPath = Annotated[str, says("where instances see it: an absolute path", longest=1024)]
HostPath = Annotated[str, says("the folder of the host: an absolute path", longest=1024)]
ReadOnly = Annotated[bool, says("whether instances may only read it", default=True)]
MinReplicas = Annotated[int, says("fewest instances", low=1, high=MAX_INSTANCES)]
MaxReplicas = Annotated[int, says("most instances", low=1, high=MAX_INSTANCES)]
TargetCalls = Annotated[float, says("calls in flight or waiting that each instance should have", low=0.1, high=1000)]

_PROBED = HealthCheck()

InitialDelay = Annotated[
    float,
    says(
        "time from first ready on in which failed probes do not count, seconds",
        default=_PROBED.initial_delay_s,
        low=0,
        high=_DAY_S,
    ),
]
Period = Annotated[
    float,
    says(
        "time between two probes, seconds; times failureThreshold it must be more than the request timeout",
        default=_PROBED.period_s,
    ),
]
Timeout = Annotated[float, says("time a probe may take, seconds", default=_PROBED.timeout_s)]
FailureThreshold = Annotated[
    int,
    says("probes in a row that must fail before an instance counts as unhealthy", default=_PROBED.failure_threshold),
]
