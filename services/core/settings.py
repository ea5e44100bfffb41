"""This file is what a person may set on a model: defaults, bounds, and the sentences that refuse what does not fit."""

from __future__ import annotations

import msgspec

from services.core import deadlines
from services.core.errors import Invalid
from services.core.records import HealthCheck

MEBIBYTE = 1024 * 1024
DEFAULT_MEMORY_BYTES = 2048 * MEBIBYTE
MAX_INSTANCES = 32


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's versions run. Durations in seconds, memory in bytes per instance."""

    instances: int = 2
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    workers: int = 1
    request_timeout_s: float = 60.0
    start_deadline_s: float = 300.0
    build_timeout_s: float = 1800.0
    health_check: HealthCheck = HealthCheck()
    environment_variables: tuple[tuple[str, str], ...] = ()  # name and sealed value: history keeps them for ever


BOUNDS = {
    "instances": (1, MAX_INSTANCES),
    "memory_bytes": (64 * MEBIBYTE, 1024 * 1024 * MEBIBYTE),
    "workers": (1, 32),
    "request_timeout_s": (0.1, 3600.0),
    "start_deadline_s": (1.0, 86_400.0),
    "build_timeout_s": (1.0, 86_400.0),
}


def check(settings: Settings) -> Settings:
    """`settings` itself, when every value is within its bounds and they fit together; else `Invalid`.

    >>> check(Settings(instances=33))
    Traceback (most recent call last):
    services.core.errors.Invalid: instances must be between 1 and 32, got 33
    """
    for name, (low, high) in BOUNDS.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise Invalid(f"{name} must be between {low} and {high}, got {value}", field=name)
    deadlines.check(settings.request_timeout_s, settings.health_check, start_deadline_s=settings.start_deadline_s)
    return settings
