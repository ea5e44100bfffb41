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
from services.api.http.routes import API, Route, answer
from services.api.ports import Ledger, Store
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
    path: str
    mode: int = 0o644
    size_bytes: int
    sha256: str


class FilesBody(Body, frozen=True, kw_only=True):
    files: tuple[FileBody, ...]


class SnapshotBody(FilesBody, frozen=True, kw_only=True):
    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class Snapshots:
    """Uploads. Blobs come in any order and any number of times; a snapshot is committed once all of them are there."""

    def __init__(self, store: Store, ledger: Ledger, blobs: Blobs, limits: SnapshotLimits) -> None:
        self._store = store
        self._ledger = ledger
        self._blobs = blobs
        self._limits = limits

    def routes(self) -> list[Route]:
        return [
            Route("POST", PROJECT_AT + "/missingBlobs", self.missing, Action.CHANGE_FILES),
            Route("PUT", PROJECT_AT + "/blobs/{sha256}", self.put_blob, Action.CHANGE_FILES),
            Route("GET", PROJECT_AT + "/snapshots", self.index, Action.VIEW_FILES),
            Route("POST", PROJECT_AT + "/snapshots", self.commit, Action.CHANGE_FILES),
        ]

    async def missing(self, request: web.Request) -> web.Response:
        await self._project(request)
        body = await read(request, FilesBody, limit_bytes=MANIFEST_BYTES)
        checked = await asyncio.to_thread(self._manifest, body)
        wanted = {entry.digest for entry in checked.files}
        return answer({"missing": sorted(wanted - (await self._blobs.keep(wanted)).keys())})

    async def put_blob(self, request: web.Request) -> web.Response:
        await self._project(request)
        digest = request.match_info["sha256"]
        if not is_digest(digest):
            raise Invalid("a blob is named by its SHA-256: 64 lower-case hexadecimal characters", field="sha256")
        limit = self._limits.file_bytes
        await self._blobs.put_as(Digest(digest), chunks(request, limit_bytes=limit), limit)
        return web.Response(status=204)

    async def index(self, request: web.Request) -> web.Response:
        project = await self._project(request)
        return answer([views.snapshot(snapshot) for snapshot in reversed(project.snapshots)])

    async def commit(self, request: web.Request) -> web.Response:
        """201 with the new snapshot, or 200 with the newest one when it holds the same files already."""
        project = await self._project(request)
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

    async def _project(self, request: web.Request) -> Project:
        return await self._store.load(PROJECT, request.match_info["project"])

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
