"""This file takes a project's files: what is missing of a snapshot, each missing blob, and then the snapshot itself."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from aiohttp import web

from services.api.http import views
from services.api.http.body import MANIFEST_BYTES, Body, chunks, read
from services.api.http.callers import actor
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.query import PART, part
from services.api.http.routes import API, Raw, Route, answer
from services.api.http.shapes import Sha256, says
from services.api.ports import Ledger
from services.core.access import Action
from services.core.aggregates import PROJECT
from services.core.commands import CommitSnapshot
from services.core.errors import Invalid, Refused
from services.core.ids import Digest, is_digest
from services.core.names import shortened
from services.core.project import Project, Snapshot
from services.core.records import FileEntry, Manifest
from services.core.snapshot import SnapshotLimits, manifest
from services.kit.blobs import Blobs

PROJECT_AT = API + "/projects/{project}"


class FileBody(Body, frozen=True, kw_only=True):
    """A file of a snapshot."""

    path: Annotated[str, says("its path in the project, with forward slashes")]
    mode: Annotated[int, says("its permission bits; only whether its owner may execute it matters")] = 0o644
    size_bytes: Annotated[int, says("size of its content, bytes")]
    sha256: Sha256


class FilesBody(Body, frozen=True, kw_only=True):
    """All files of a snapshot."""

    files: Annotated[tuple[FileBody, ...], says("one at least, 100,000 and 10 GiB at most")]


class SnapshotBody(FilesBody, frozen=True, kw_only=True):
    """A snapshot to be committed."""

    message: Annotated[str, msgspec.Meta(max_length=1000, description="what to write about it")] = ""


class Snapshots:
    """Uploads. Blobs come in any order and any number of times; a snapshot is committed once all of them are there."""

    def __init__(self, ledger: Ledger, blobs: Blobs, limits: SnapshotLimits) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                PROJECT_AT + "/missingBlobs",
                self.missing,
                Action.CHANGE_FILES,
                takes=FilesBody,
                gives={200: views.Missing},
            ),
            Route(
                "PUT",
                PROJECT_AT + "/blobs/{sha256}",
                self.put_blob,
                Action.CHANGE_FILES,
                takes=Raw("application/octet-stream", "the content of the blob"),
                gives={204: None},
                is_body_optional=True,
            ),
            Route(
                "GET",
                PROJECT_AT + "/snapshots",
                self.index,
                Action.VIEW_FILES,
                query=PART,
                gives={200: list[views.Snapshot]},
            ),
            Route(
                "POST",
                PROJECT_AT + "/snapshots",
                self.commit,
                Action.CHANGE_FILES,
                takes=SnapshotBody,
                gives={201: views.Snapshot, 200: views.Snapshot},
            ),
        ]

    async def missing(self, request: web.Request) -> web.Response:
        """Which of these files' contents the platform does not hold yet."""
        body = await read(request, FilesBody, limit_bytes=MANIFEST_BYTES)
        checked = await asyncio.to_thread(self._manifest, body)
        wanted = {entry.digest for entry in checked.files}
        return answer(views.Missing(missing=sorted(wanted - (await self._blobs.keep(wanted)).keys())))

    async def put_blob(self, request: web.Request) -> web.Response:
        """Upload the content of a file, named by its SHA-256."""
        digest = request.match_info["sha256"]
        if not is_digest(digest):
            raise Invalid("a blob is named by its SHA-256: 64 lower-case hexadecimal characters", field="sha256")
        limit = self._limits.file_bytes
        await self._blobs.put_as(Digest(digest), chunks(request, limit_bytes=limit), limit)
        return web.Response(status=204)

    async def index(self, request: web.Request) -> web.Response:
        """The project's snapshots, newest first."""
        project = about(request, PROJECT)
        snapshots, total = part(request, project.snapshots[::-1])
        return answer([views.snapshot(snapshot) for snapshot in snapshots], headers=total)

    async def commit(self, request: web.Request) -> web.Response:
        """Commit a snapshot: all files of the project from now on.

        201 with the new snapshot, or 200 with the newest one when it holds the same files already. 422 while contents
        are missing.
        """
        project = about(request, PROJECT)
        body = await read(request, SnapshotBody, limit_bytes=MANIFEST_BYTES)
        checked = await asyncio.to_thread(self._manifest, body)
        await self._check_blobs(checked)
        once = intent(request)
        command = CommitSnapshot(
            commit_id=once.new_id("commit"),
            snapshot=await self._blobs.put_document(checked),
            files=len(checked.files),
            size_bytes=sum(entry.size_bytes for entry in checked.files),
            message=body.message,
        )
        after = await self._ledger.execute(
            PROJECT, project.id, command, actor=actor(request), command_id=once.command_id("commit")
        )
        committed = _committed(after, command)
        return answer(views.snapshot(committed), status=201 if committed.commit_id == command.commit_id else 200)

    async def _check_blobs(self, checked: Manifest) -> None:
        """Everything is there, and as large as the manifest says: limits and quotas count what it says."""
        sizes = await self._blobs.keep(entry.digest for entry in checked.files)
        missing = sorted({entry.digest for entry in checked.files} - sizes.keys())
        if missing:
            raise Refused(f"{len(missing)} blobs of this snapshot were not uploaded, {missing[0]} among them")
        for entry in checked.files:
            if entry.size_bytes != sizes[entry.digest]:
                said = f"the sizeBytes of {shortened(entry.path)} is {entry.size_bytes}"
                raise Invalid(f"{said}, and its blob has {sizes[entry.digest]} bytes", field="files")

    def _manifest(self, body: FilesBody) -> Manifest:
        entries = [
            FileEntry(path=file.path, mode=file.mode, size_bytes=file.size_bytes, digest=Digest(file.sha256))
            for file in body.files
        ]
        return manifest(entries, self._limits)


def _committed(project: Project, command: CommitSnapshot) -> Snapshot:
    """The snapshot that the command made, or found."""
    for snapshot in reversed(project.snapshots):
        if snapshot.commit_id == command.commit_id:
            return snapshot
    return next(snapshot for snapshot in reversed(project.snapshots) if snapshot.snapshot == command.snapshot)
