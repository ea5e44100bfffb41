"""This file answers for a project's files one at a time: commits, what is in one, a file's content, and a new file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from msgspec.structs import replace

from services.api.http.body import chunks
from services.api.http.callers import actor
from services.api.http.compatible import views
from services.api.http.file_answers import content_of, entry_of, no_room, scratch
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.routes import Raw, Route, answer
from services.api.http.shapes import CommitId
from services.api.ports import Ledger, Store
from services.core.access import Action
from services.core.aggregates import PROJECT
from services.core.commands import CommitSnapshot
from services.core.errors import NotFound, Overloaded, PermanentError
from services.core.ids import Digest
from services.core.names import shortened
from services.core.project import Project, Snapshot
from services.core.records import FileEntry, Manifest
from services.core.snapshot import SnapshotLimits, manifest
from services.kit.blobs import Blobs

NAMED_AT = "/v1/projects/{owner}/{projectName}"

FILE = Raw("application/octet-stream", "the content of the file")

_TRIES = 30  # to be the next commit, where many files are uploaded at once


class _Overtaken(PermanentError):
    """Somebody else committed in between: what was merged is not what is there now."""


class ProjectFiles:
    """Files by path. Uploading one makes a commit: the files of the newest one, with this one added or replaced."""

    def __init__(self, store: Store, ledger: Ledger, blobs: Blobs, limits: SnapshotLimits) -> None:
        self._store = store
        self._ledger = ledger
        self._blobs = blobs
        self._limits = limits

    def routes(self) -> list[Route]:
        content_at = "/api/projects/v1/projects/{project}/files/{commit}/{path:.+}/content"
        return [
            Route("GET", NAMED_AT + "/commits", self.commits, Action.VIEW_FILES, gives={200: list[CommitId]}),
            Route(
                "GET", NAMED_AT + "/files/{commit}/{path:.*}", self.index, Action.VIEW_FILES, gives={200: views.Files}
            ),
            Route("GET", content_at, self.content, Action.VIEW_FILES, gives={200: FILE}),
            Route("GET", NAMED_AT + "/blobs/{key}", self.blob, Action.VIEW_FILES, gives={200: FILE}),
            Route(
                "PUT",
                NAMED_AT + "/{path:.+}",
                self.put,
                Action.CHANGE_FILES,
                takes=FILE,
                gives={201: views.File, 200: views.File},
                is_body_optional=True,
            ),
        ]

    async def commits(self, request: web.Request) -> web.Response:
        """The commits of a project, newest first: their ids, all of them, as existing clients expect."""
        project = about(request, PROJECT)
        return answer([snapshot.commit_id for snapshot in reversed(project.snapshots)])

    async def index(self, request: web.Request) -> web.Response:
        """Files in a folder of a commit, and in the folders below it."""
        project = about(request, PROJECT)
        snapshot = project.snapshot(request.match_info["commit"])
        files = (await self._manifest(snapshot)).files
        path = request.match_info["path"].strip("/")
        found = [entry for entry in files if not path or entry.path == path or entry.path.startswith(f"{path}/")]
        if not found:
            raise NotFound(f"there is nothing at {shortened(path)} in commit {snapshot.commit_id}")
        return answer(views.Files(data=[views.file(entry, snapshot) for entry in found]))

    async def content(self, request: web.Request) -> web.Response:
        """The content of a file.

        It is checked before its first byte is sent. A browser saves it, and does not show it.
        """
        project = about(request, PROJECT)
        snapshot = project.snapshot(request.match_info["commit"])
        path = request.match_info["path"].strip("/")
        entry = entry_of(await self._manifest(snapshot), snapshot, path)
        return await content_of(request, self._blobs, entry)

    async def blob(self, request: web.Request) -> web.Response:
        """The content of a file by the key that it is listed with.

        A key says which commit holds the file: nothing is found that no commit of this project holds.
        """
        project, key = about(request, PROJECT), request.match_info["key"]
        found = views.BLOB_KEY.fullmatch(key)
        if found is not None and any(each.commit_id == found["commit"] for each in project.snapshots):
            listed = await self._manifest(project.snapshot(found["commit"]))
            for entry in listed.files:
                if entry.digest.startswith(found["digest"]):
                    return await content_of(request, self._blobs, entry)
        raise NotFound(f"project {project.name!r} has no file with the key {shortened(key)}")

    async def put(self, request: web.Request) -> web.Response:
        """Upload a file, which makes a commit.

        201 with the file in its new commit, or 200 when the newest commit holds the same already.
        """
        project = about(request, PROJECT)
        path = request.match_info["path"].strip("/")
        manifest([_unsent(path)], self._limits)  # a path that will not do is refused before its content is sent
        with scratch() as folder:
            received = folder / "content"
            size_bytes = await _receive(request, received, self._limits.file_bytes)
            digest = await self._blobs.put_file(received)
        entry = FileEntry(path=path, mode=0o644, size_bytes=size_bytes, digest=digest)
        snapshot, is_new = await self._commit(request, project, entry)
        view = views.file(entry, snapshot, commit_id=snapshot.commit_id)
        return answer(view, status=201 if is_new else 200)

    async def _commit(self, request: web.Request, project: Project, entry: FileEntry) -> tuple[Snapshot, bool]:
        """The commit that `entry` is in, and whether it is a new one."""
        once = intent(request)
        commit_id, by = once.new_id("commit"), actor(request)
        for _ in range(_TRIES):
            command = await self._merged(project, entry, commit_id)
            base = len(project.snapshots)

            def next_commit(now: Project, command: CommitSnapshot = command, base: int = base) -> CommitSnapshot:
                if len(now.snapshots) != base:
                    raise _Overtaken("the project's files have changed meanwhile")
                return command

            try:
                after = await self._ledger.execute(
                    PROJECT, project.id, next_commit, actor=by, command_id=once.command_id("commit")
                )
            except _Overtaken:
                project = await self._store.load(PROJECT, project.id)
                continue
            made = next((each for each in after.snapshots if each.commit_id == commit_id), None)
            return made or after.snapshots[-1], made is not None
        raise Overloaded("too many files of this project are uploaded at once; try again soon")

    async def _merged(self, project: Project, entry: FileEntry, commit_id: str) -> CommitSnapshot:
        files = (await self._manifest(project.snapshots[-1])).files if project.snapshots else ()
        merged = await asyncio.to_thread(_with, files, entry, self._limits)
        return CommitSnapshot(
            commit_id=commit_id,
            snapshot=await self._blobs.put_document(merged),
            files=len(merged.files),
            size_bytes=sum(each.size_bytes for each in merged.files),
            message=f"{entry.path[:200]} uploaded",
        )

    async def _manifest(self, snapshot: Snapshot) -> Manifest:
        return await self._blobs.get_document(snapshot.snapshot, Manifest)


def _unsent(path: str) -> FileEntry:
    return FileEntry(path=path, mode=0o644, size_bytes=0, digest=Digest("0" * 64))


def _with(files: tuple[FileEntry, ...], entry: FileEntry, limits: SnapshotLimits) -> Manifest:
    """`files` with `entry` among them: in place of the file at its path, whose mode it keeps."""
    others = [each for each in files if each.path != entry.path]
    replaced = next((each for each in files if each.path == entry.path), entry)
    return manifest([*others, replace(entry, mode=replaced.mode)], limits)


async def _receive(request: web.Request, path: Path, limit_bytes: int) -> int:
    """Write the body to `path` as it arrives; how many bytes it had."""
    size_bytes = 0
    try:
        with path.open("wb") as file:
            async for chunk in chunks(request, limit_bytes=limit_bytes):
                size_bytes += len(chunk)
                await asyncio.to_thread(file.write, chunk)
    except OSError as error:
        raise no_room() from error
    return size_bytes
