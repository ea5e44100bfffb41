"""This file is what a publish is asked to publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelway.records import Json


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to publish. `None` keeps what the model API has, or takes the platform's default for a new one."""

    directory: Path
    name: str
    file: str
    function: str
    requirements: str | None = None  # the text of a requirements file
    description: str | None = None
    project: str | None = None  # by default the directory's name
    deploys: bool = True  # False: it is only built, to be started or tried as a canary later
    example: Json = None  # a whole request body: the version is ready only once it has answered it
    instances: int | None = None
    memory_bytes: int | None = None
    quota: str | None = None  # a resource quota's name or id
    workers: int | None = None
    request_timeout_s: float | None = None
    routing_mode: str | None = None  # "basic" or "advanced"
    variables: Mapping[str, str] | None = None  # environment variables to set; others stay
