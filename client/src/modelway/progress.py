"""This file is what happens while a publish, a start or a stop is under way, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelway.records import LogLine


@dataclass(frozen=True, kw_only=True)
class FilesRead:
    files: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class FileUploaded:
    """`files` of `files_total` contents that the platform lacked are there now."""

    files: int
    files_total: int
    size_bytes: int
    size_bytes_total: int


@dataclass(frozen=True, kw_only=True)
class VersionPublished:
    """`is_found`: the same version was already on its way, no other was made."""

    model_name: str
    number: int
    is_found: bool


@dataclass(frozen=True, kw_only=True)
class BuildLogged:
    line: LogLine


@dataclass(frozen=True, kw_only=True)
class StatusChanged:
    """`number` names the version where several are followed at once."""

    status: str
    instances_ready: int
    instances_wanted: int
    reason: str
    elapsed_s: float
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class PlatformAwaited:
    """A temporary failure: it will be tried again."""

    reason: str


Progress = FilesRead | FileUploaded | VersionPublished | BuildLogged | StatusChanged | PlatformAwaited
OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """For callers who do not want to know."""
