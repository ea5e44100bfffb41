"""This file is what lies between two snapshots of a project: which files came, went, or are others, by their digests.

A file that was moved is one that went and one that came.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable

import msgspec

from services.core.records import FileEntry, Manifest


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """One path: `before` None, the file came; `after` None, it went; neither, its content or its mode is another."""

    before: FileEntry | None = None
    after: FileEntry | None = None

    @property
    def path(self) -> str:
        entry = self.after or self.before
        return entry.path if entry is not None else ""


class SnapshotDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed, each in the order of paths."""

    added: tuple[FileEntry, ...] = ()
    removed: tuple[FileEntry, ...] = ()
    changed: tuple[FileChange, ...] = ()

    @property
    def count(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)


def diff(before: Manifest | None, after: Manifest) -> SnapshotDiff:
    """What has to be done to the files of `before` to have those of `after`. None: there was no snapshot yet."""
    old = {} if before is None else {entry.path: entry for entry in before.files}
    new = {entry.path: entry for entry in after.files}
    return SnapshotDiff(
        added=tuple(entry for path, entry in new.items() if path not in old),
        removed=tuple(entry for path, entry in old.items() if path not in new),
        changed=tuple(
            FileChange(before=old[path], after=entry)
            for path, entry in new.items()
            if path in old and old[path] != entry
        ),
    )


def page(whole: SnapshotDiff, *, offset: int, limit: int) -> SnapshotDiff:
    """The differences from place `offset` on, at most `limit`: in the order of paths, whatever their kind."""
    ordered = heapq.merge(
        (FileChange(after=entry) for entry in whole.added),
        (FileChange(before=entry) for entry in whole.removed),
        whole.changed,
        key=lambda change: change.path,
    )
    return _by_kind(itertools.islice(ordered, offset, offset + limit))


def _by_kind(changes: Iterable[FileChange]) -> SnapshotDiff:
    added: list[FileEntry] = []
    removed: list[FileEntry] = []
    changed: list[FileChange] = []
    for change in changes:
        if change.before is not None and change.after is not None:
            changed.append(change)
        elif change.after is not None:
            added.append(change.after)
        elif change.before is not None:
            removed.append(change.before)
    return SnapshotDiff(added=tuple(added), removed=tuple(removed), changed=tuple(changed))
