"""This file reads settings: what a body says of them is put over what was there, and what it leaves out stays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from services.api.http.body import Body
from services.api.http.shapes import says
from services.api.http.views import settings_fields as fields
from services.api.http.views.settings import NAMES
from services.core import names
from services.core.errors import Invalid
from services.core.quota import Quotas, taken
from services.core.records import HealthCheck, Volume
from services.core.settings import RoutingMode, Scaling, Settings
from services.core.volumes import check_volumes
from services.kit.config import ConfigError
from services.kit.vault import Vault

_PLAIN = {  # taken over as they are
    "replicas": "instances",
    "repeatable_calls": "has_repeatable_calls",
    "worker_count": "workers",
    "recycle_after_calls": "recycle_after_calls",
    "preload": "preload",
    "request_timeout_seconds": "request_timeout_s",
    "start_deadline_seconds": "start_deadline_s",
    "build_timeout_seconds": "build_timeout_s",
}
_SIZES = ("memory_bytes", "memory_requested_bytes", "cpu_limit", "cpu_requested")  # those of a quota


class VariableBody(Body, frozen=True, kw_only=True):
    """Without a value: the one that is stored."""

    key: fields.VariableKey
    value: Annotated[str | UnsetType, says("its value, at most 32 KiB; left out: the one that is stored")] = UNSET


class HealthCheckBody(Body, frozen=True, kw_only=True):
    """What is left out stays."""

    initial_delay_seconds: Annotated[fields.InitialDelay, msgspec.Meta(ge=0, le=86_400)] | UnsetType = UNSET
    period_seconds: Annotated[fields.Period, msgspec.Meta(gt=0, le=86_400)] | UnsetType = UNSET
    timeout_seconds: Annotated[fields.Timeout, msgspec.Meta(gt=0, le=86_400)] | UnsetType = UNSET
    failure_threshold: Annotated[fields.FailureThreshold, msgspec.Meta(ge=1, le=1000)] | UnsetType = UNSET


class ScalingBody(Body, frozen=True, kw_only=True):
    """Between how many instances a model moves, and what for."""

    min_replicas: fields.MinReplicas
    max_replicas: fields.MaxReplicas
    target_calls: fields.TargetCalls


class VolumeBody(Body, frozen=True, kw_only=True):
    """A folder of the host that instances see."""

    name: fields.VolumeName
    mount_path: fields.MountPath
    host_path: fields.HostPath
    read_only: fields.ReadOnly = True


class SettingsBody(Body, frozen=True, kw_only=True):
    """How versions run. What is left out stays as it is; of a new model it is the default, here or configured.

    `workerCount` and `requestTimeoutSeconds` null: as the platform's configuration says. `scaling` null: none.
    `resourceQuotaId` null or empty: the numbers are set by hand.
    """

    replicas: fields.Replicas | UnsetType = UNSET
    scaling: Annotated[
        ScalingBody | UnsetType | None, says("between how many instances it moves; null: replicas is fixed")
    ] = UNSET
    routing_mode: fields.RoutingModeName | UnsetType = UNSET
    repeatable_calls: fields.RepeatableCalls | UnsetType = UNSET
    resource_quota_id: fields.QuotaId | UnsetType = UNSET
    memory_bytes: fields.MemoryBytes | UnsetType = UNSET
    memory_requested_bytes: fields.MemoryRequestedBytes | UnsetType = UNSET
    cpu_limit: fields.CpuLimit | UnsetType = UNSET
    cpu_requested: fields.CpuRequested | UnsetType = UNSET
    worker_count: fields.WorkerCount | UnsetType = UNSET
    recycle_after_calls: fields.RecycleAfterCalls | UnsetType = UNSET
    preload: fields.Preload | UnsetType = UNSET
    request_timeout_seconds: fields.RequestTimeout | UnsetType = UNSET
    start_deadline_seconds: fields.StartDeadline | UnsetType = UNSET
    build_timeout_seconds: fields.BuildTimeout | UnsetType = UNSET
    health_check: Annotated[HealthCheckBody | UnsetType, says("how instances are probed")] = UNSET
    environment_variables: Annotated[
        tuple[VariableBody, ...] | UnsetType,
        says("what the model's process finds in its environment, in place of all that there was; at most 500"),
    ] = UNSET
    volumes: Annotated[
        tuple[VolumeBody, ...] | UnsetType, says("folders of the host, in place of all that there were; at most 32")
    ] = UNSET


def merged(kept: Settings, body: SettingsBody, *, quotas: Quotas, vault: Vault) -> Settings:
    """`kept` with what `body` says; whether it is within bounds is core's to say.

    From here on nobody but a deployer reads a variable's value: it is sealed. One that stays the same keeps its seal,
    for another seal would restart what runs. Raises Invalid, and of quotas NotFound and Refused.
    """
    plain = {setting: getattr(body, field) for field, setting in _PLAIN.items() if getattr(body, field) is not UNSET}
    after = _sized(replace(kept, **plain), body, quotas)
    if body.scaling is not UNSET:
        after = replace(after, scaling=None if body.scaling is None else _scaling(body.scaling))
    if body.routing_mode is not UNSET:
        after = replace(after, routing_mode=_routing_mode(body.routing_mode))
    if body.health_check is not UNSET:
        after = replace(after, health_check=_health_check(kept.health_check, body.health_check))
    if body.environment_variables is not UNSET:
        after = replace(after, environment_variables=_variables(kept, body.environment_variables, vault))
    if body.volumes is not UNSET:
        after = replace(after, volumes=check_volumes(map(_volume, body.volumes)))
    return after


def _sized(kept: Settings, body: SettingsBody, quotas: Quotas) -> Settings:
    """With the numbers of a quota, or with those given by hand: never with half of each."""
    after = kept
    if body.resource_quota_id in (None, ""):
        after = replace(kept, quota_id="")
    elif body.resource_quota_id is not UNSET:
        after = taken(kept, quotas.quota(body.resource_quota_id))
    given = {size: getattr(body, size) for size in _SIZES if getattr(body, size) is not UNSET}
    for size, value in given.items() if after.quota_id else ():
        if value != getattr(after, size):
            name = quotas.quota(after.quota_id).name
            raise Invalid(
                f"{NAMES[size]} comes from the resource quota {name!r}: choose another one, or set resourceQuotaId "
                "to null to give it by hand",
                field=NAMES[size],
            )
    return replace(after, **given)


def _scaling(body: ScalingBody) -> Scaling:
    return Scaling(min_instances=body.min_replicas, max_instances=body.max_replicas, target_calls=body.target_calls)


def _routing_mode(text: str) -> RoutingMode:
    try:
        return RoutingMode(text.lower())
    except ValueError:
        allowed = " or ".join(RoutingMode)
        raise Invalid(f"routingMode must be {allowed}, got {names.shortened(text)}", field="routingMode") from None


def _health_check(kept: HealthCheck, body: HealthCheckBody) -> HealthCheck:
    given: Mapping[str, Any] = {
        "initial_delay_s": body.initial_delay_seconds,
        "period_s": body.period_seconds,
        "timeout_s": body.timeout_seconds,
        "failure_threshold": body.failure_threshold,
    }
    return replace(kept, **{name: value for name, value in given.items() if value is not UNSET})


def _volume(body: VolumeBody) -> Volume:
    return Volume(name=body.name, mount_path=body.mount_path, host_path=body.host_path, read_only=body.read_only)


def _variables(kept: Settings, given: tuple[VariableBody, ...], vault: Vault) -> tuple[tuple[str, str], ...]:
    stored = dict(kept.environment_variables)
    plain: list[tuple[str, str]] = []
    for place, variable in enumerate(given):
        if variable.value is not UNSET:
            plain.append((variable.key, variable.value))
        elif variable.key in stored:
            plain.append((variable.key, _opened(stored[variable.key], vault) or ""))
        else:
            field = f"environmentVariables[{place}].value"
            raise Invalid(f"{field} is required", field=field)
    names.check_variables(plain)
    is_kept = {variable.key: variable.value is UNSET for variable in given}
    return tuple(
        (key, stored[key] if is_kept[key] or _is_stored(key, value, stored, vault) else vault.seal(value))
        for key, value in plain
    )


def _is_stored(key: str, value: str, stored: Mapping[str, str], vault: Vault) -> bool:
    return key in stored and _opened(stored[key], vault) == value


def _opened(sealed: str, vault: Vault) -> str | None:
    """None when the key it was sealed with is gone."""
    try:
        return vault.open(sealed)
    except ConfigError:
        return None


@contextlib.contextmanager
def wire_words() -> Iterator[None]:
    """Settings are refused under the names that the wire has for them."""
    try:
        yield
    except Invalid as error:
        field = error.field or ""
        named = NAMES.get(field, field)
        raise Invalid(error.reason.replace(f"{field} must", f"{named} must", 1), field=named) from None
