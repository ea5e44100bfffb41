"""This file is progress as lines on stderr."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import click

from modelway.commands.output import size_text
from modelway.progress import (
    BuildLogged,
    FilesRead,
    FileUploaded,
    PlatformAwaited,
    Progress,
    StatusChanged,
    VersionPublished,
)

_UPLOAD_EVERY_S = 1.0
_AWAITED_EVERY_S = 10.0


@dataclass
class Watch:
    """Says what happens, and not the same thing too often."""

    has_told_build: bool = False
    _said_at: dict[str, float] = field(default_factory=dict)

    def tell(self, progress: Progress) -> None:
        text = self._text(progress)
        if text is not None:
            click.secho(text, err=True, dim=isinstance(progress, BuildLogged))

    def _text(self, progress: Progress) -> str | None:
        match progress:
            case FilesRead(files=files, size_bytes=size_bytes):
                return f"Files: {files}, {size_text(size_bytes)}"
            case FileUploaded():
                return self._upload_text(progress)
            case VersionPublished(is_found=True):
                return f"Version {progress.number} with just this content is on its way already: following it"
            case VersionPublished():
                return f"Published version {progress.number} of {progress.model_name}"
            case BuildLogged(line=line):
                self.has_told_build = True
                return f"  | {line.text}"
            case StatusChanged():
                return _status_text(progress)
            case PlatformAwaited(reason=reason):
                return f"Waiting: {reason}" if self._is_due("awaited", _AWAITED_EVERY_S) else None

    def _upload_text(self, progress: FileUploaded) -> str | None:
        is_last = progress.files == progress.files_total
        if not is_last and not self._is_due("upload", _UPLOAD_EVERY_S):
            return None
        sizes = f"{size_text(progress.size_bytes)} of {size_text(progress.size_bytes_total)}"
        return f"Uploaded {progress.files} of {progress.files_total} files, {sizes}"

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now - self._said_at.get(what, float("-inf")) < every_s:
            return False
        self._said_at[what] = now
        return True


def _status_text(progress: StatusChanged) -> str:
    named = "" if progress.number is None else f"Version {progress.number}: "
    text = f"{named}{progress.status or 'Unknown status'} ({progress.elapsed_s:.1f} s)"
    if progress.instances_wanted:
        text += f", {progress.instances_ready} of {progress.instances_wanted} instances ready"
    return f"{text}: {progress.reason}" if progress.reason else text
