"""This file is what a person may set on a model: defaults, bounds, and the sentences that refuse what does not fit.

Instances, scaling, routing mode and repeatable calls take effect on what runs. What `RESTARTING` names is fixed for an
instance when it starts: changing it rolls the running versions, one instance at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from services.core import deadlines
from services.core.errors import Invalid
from services.core.languages import R_MEMORY_BYTES, Language
from services.core.records import HealthCheck, Volume

MEBIBYTE = 1024 * 1024
DEFAULT_MEMORY_BYTES = 2048 * MEBIBYTE
MAX_INSTANCES = 32


class RoutingMode(StrEnum):
    BASIC = "basic"  # one route: latest
    ADVANCED = "advanced"  # two: latest, and labels/prod


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """A busy model has more instances: so many that about `target_calls` are in flight, or wait, for each."""

    min_instances: int
    max_instances: int
    target_calls: float


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform's configuration says for models that do not say it themselves, as a model picked it up."""

    workers: int = 1
    request_timeout_s: float = 60.0
    max_instances: int = MAX_INSTANCES


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's versions run. Durations in seconds, memory in bytes and processors in cores, per instance."""

    instances: int = 2
    scaling: Scaling | None = None
    routing_mode: RoutingMode = RoutingMode.BASIC
    has_repeatable_calls: bool = False  # the call on an instance that dies may be run again on another
    quota_id: str = ""  # the quota that the four below were taken from; "": set by hand
    memory_bytes: int = DEFAULT_MEMORY_BYTES  # the limit
    memory_requested_bytes: int = 0
    cpu_limit: float = 0.0  # 0: none
    cpu_requested: float = 0.0
    workers: int | None = None  # None: as the platform's configuration says
    recycle_after_calls: int = 0  # about so many, then a fresh worker takes over; 0: never
    preload: bool = False  # the script is imported once an instance, and its workers are forked from that
    request_timeout_s: float | None = None  # None: likewise
    start_deadline_s: float = 300.0
    build_timeout_s: float = 1800.0
    health_check: HealthCheck = HealthCheck()
    environment_variables: tuple[tuple[str, str], ...] = ()  # name and sealed value: history keeps them for ever
    volumes: tuple[Volume, ...] = ()


RESTARTING = (
    "memory_bytes",
    "memory_requested_bytes",
    "cpu_limit",
    "cpu_requested",
    "workers",
    "recycle_after_calls",
    "preload",
    "request_timeout_s",
    "health_check",
    "environment_variables",
    "volumes",
)

WITHOUT_EFFECT_IN_R = {"workers": 1, "recycle_after_calls": 0, "preload": False}  # and what they must be there
FEWEST_CALLS = 10  # of a worker, before another takes over: to make one takes longer than some calls
BOUNDS = {
    "memory_bytes": (64 * MEBIBYTE, 1024 * 1024 * MEBIBYTE),
    "memory_requested_bytes": (0, 1024 * 1024 * MEBIBYTE),
    "cpu_limit": (0.0, 1024.0),
    "cpu_requested": (0.0, 1024.0),
    "workers": (1, 32),
    "recycle_after_calls": (0, 10_000_000),
    "request_timeout_s": (0.1, 3600.0),
    "start_deadline_s": (1.0, 86_400.0),
    "build_timeout_s": (1.0, 86_400.0),
}


def effective(settings: Settings, defaults: Defaults) -> Settings:
    """`settings` with the platform's word where they say nothing.

    >>> effective(Settings(workers=3), Defaults(workers=2)).workers, effective(Settings(), Defaults(workers=2)).workers
    (3, 2)
    """
    return replace(
        settings,
        workers=workers(settings, defaults),
        request_timeout_s=request_timeout_s(settings, defaults),
    )


def workers(settings: Settings, defaults: Defaults) -> int:
    return defaults.workers if settings.workers is None else settings.workers


def request_timeout_s(settings: Settings, defaults: Defaults) -> float:
    return defaults.request_timeout_s if settings.request_timeout_s is None else settings.request_timeout_s


def restarts(before: Settings, after: Settings, language: Language | None = None) -> tuple[str, ...]:
    """Which of the differences between two effective settings take a new instance to take effect, in that language.

    >>> restarts(Settings(instances=2, workers=1), Settings(instances=3, workers=2))
    ('workers',)
    """
    without = WITHOUT_EFFECT_IN_R if language is Language.R else ()
    return tuple(name for name in RESTARTING if name not in without and getattr(before, name) != getattr(after, name))


def check(settings: Settings, defaults: Defaults = Defaults()) -> Settings:  # noqa: B008  # a frozen value
    """`settings` itself, when every value is within its bounds and they fit together; else `Invalid`.

    >>> check(Settings(instances=33))
    Traceback (most recent call last):
    services.core.errors.Invalid: instances must be between 1 and 32, got 33
    """
    _within("instances", settings.instances, 1, defaults.max_instances)
    if settings.scaling is not None:
        _check_scaling(settings.scaling, defaults)
    known = effective(settings, defaults)
    for name, (low, high) in BOUNDS.items():
        _within(name, getattr(known, name), low, high)
    if 0 < settings.recycle_after_calls < FEWEST_CALLS:
        reason = f"recycle_after_calls must be 0, for never, or at least {FEWEST_CALLS}"
        raise Invalid(f"{reason}, got {settings.recycle_after_calls}", field="recycle_after_calls")
    _check_request("memory_requested_bytes", settings.memory_requested_bytes, settings.memory_bytes)
    _check_request("cpu_requested", settings.cpu_requested, settings.cpu_limit)
    deadlines.check(
        request_timeout_s(settings, defaults), settings.health_check, start_deadline_s=settings.start_deadline_s
    )
    return settings


def check_memory(settings: Settings, language: Language | None) -> None:
    """Refuse with `Invalid` a limit under which no instance of a function in that language could live.

    >>> check_memory(Settings(memory_bytes=64 * MEBIBYTE), Language.R)
    Traceback (most recent call last):
    services.core.errors.Invalid: memory_bytes must be at least 268435456 (256 MB) for a function in R, got 67108864
    """
    if language is Language.R and settings.memory_bytes < R_MEMORY_BYTES:
        least = f"at least {R_MEMORY_BYTES} ({R_MEMORY_BYTES // MEBIBYTE} MB)"
        reason = f"memory_bytes must be {least} for a function in R, got {settings.memory_bytes}"
        raise Invalid(reason, field="memory_bytes")


def check_effect(
    settings: Settings, language: Language | None, *, names: Iterable[str] = tuple(WITHOUT_EFFECT_IN_R)
) -> None:
    """Refuse with `Invalid` those of the settings `names` that ask for what a function in that language has not.

    >>> check_effect(Settings(workers=2), Language.R)
    Traceback (most recent call last):
    services.core.errors.Invalid: workers must be 1 for a function in R, got 2
    """
    for name in WITHOUT_EFFECT_IN_R.keys() & names if language is Language.R else ():
        got, only = getattr(settings, name), WITHOUT_EFFECT_IN_R[name]
        if got is not None and got != only:
            reason = f"{name} must be {only} for a function in R, got {got}"
            raise Invalid(reason.replace("False", "false").replace("True", "true"), field=name)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise Invalid(f"{name} must be between {low} and {high}, got {value}", field=name)


def _check_request(name: str, requested: float, limit: float) -> None:
    if limit and requested > limit:
        raise Invalid(f"{name} must be at most its limit, {limit:g}, got {requested:g}", field=name)


def _check_scaling(scaling: Scaling, defaults: Defaults) -> None:
    _within("scaling.min_instances", scaling.min_instances, 1, defaults.max_instances)
    _within("scaling.max_instances", scaling.max_instances, scaling.min_instances, defaults.max_instances)
    _within("scaling.target_calls", scaling.target_calls, 0.1, 1000.0)
