"""This file is what is in a project's commits: their files, and which of them differ between two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from modelway.records import Json
from modelway.transport import Transport

T = TypeVar("T")

_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class CommittedFile:
    path: str
    sha256: str
    size_bytes: int
    mode: int

    @classmethod
    def read(cls, answer: Json) -> CommittedFile:
        return cls(
            path=str(answer["path"]),
            sha256=str(answer["sha256"]),
            size_bytes=int(answer["sizeBytes"]),
            mode=int(answer["mode"]),
        )


@dataclass(kw_only=True)
class Difference:
    """What lies between two commits, each list in the order of paths. `before` None: there was no commit yet."""

    before: str | None
    after: str
    added: list[CommittedFile] = field(default_factory=list)
    removed: list[CommittedFile] = field(default_factory=list)
    changed: list[tuple[CommittedFile, CommittedFile]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)


def list_files(transport: Transport, project_path: str, commit_id: str, folder: str | None) -> list[CommittedFile]:
    """The files of a commit; with `folder`, those in it and below it."""
    found: list[CommittedFile] = []
    while True:
        params = {"path": folder, "limit": _PAGE, "offset": len(found)}
        files, total = _read(transport, f"{project_path}/snapshots/{commit_id}/files", _read_page, params)
        found += files
        if not files or len(found) >= total:
            return found


def read_difference(transport: Transport, project_path: str, before: str | None, after: str | None) -> Difference:
    """None: the newest commit as `after`, and the one before that as `before`."""
    whole: Difference | None = None
    while True:
        # Later pages name the commits of the first: a new one may come in between.
        begin = whole.before if whole is not None else before
        end = whole.after if whole is not None else after
        offset = 0 if whole is None else whole.count
        params = {"from": begin, "to": end, "limit": _PAGE, "offset": offset}
        page, total = _read(transport, f"{project_path}/snapshotDiff", _read_difference, params)
        if whole is None:
            whole = page
        else:
            whole.added += page.added
            whole.removed += page.removed
            whole.changed += page.changed
        if page.count == 0 or whole.count >= total:
            return whole


def _read(transport: Transport, path: str, read: Callable[[Json], T], params: Mapping[str, str | int | None]) -> T:
    given = {name: value for name, value in params.items() if value is not None}
    return transport.repeat("GET", path, read, params=given)


def _read_page(answer: Json) -> tuple[list[CommittedFile], int]:
    files = [CommittedFile.read(each) for each in answer["items"]]
    return files, int(answer["metadata"]["pagination"]["totalCount"])


def _read_difference(answer: Json) -> tuple[Difference, int]:
    page = Difference(
        before=answer["from"],
        after=str(answer["to"]),
        added=[CommittedFile.read(each) for each in answer["added"]],
        removed=[CommittedFile.read(each) for each in answer["removed"]],
        changed=[(CommittedFile.read(each["before"]), CommittedFile.read(each["after"])) for each in answer["changed"]],
    )
    return page, sum(int(count) for count in answer["counts"].values())
