"""This file answers for what is in a project's commits: their files, a file's content, and what changed in between."""

from __future__ import annotations

import asyncio
from typing import Annotated

from aiohttp import web

from services.api.http.body import plain_text
from services.api.http.faults import REQUEST_ID
from services.api.http.file_answers import content_of, entry_of
from services.api.http.permits import about
from services.api.http.query import OFFSET, PlainText, WholeNumber
from services.api.http.routes import API, Raw, Route, answer
from services.api.http.shapes import says
from services.api.http.views import sharing as shapes
from services.api.http.views.models import PageMetadata, Pagination
from services.api.http.views.wire import Answer
from services.core.access import Action
from services.core.aggregates import PROJECT
from services.core.project import Project, Snapshot
from services.core.records import Manifest
from services.core.snapshot_diff import diff, page
from services.kit.blobs import Blobs

PROJECT_AT = API + "/projects/{project}"
FILES_AT = PROJECT_AT + "/snapshots/{commit}/files"

_LIMIT = WholeNumber("limit", "how many files a page has at most", default=1000, low=1, high=10_000)
_FOLDER = PlainText("path", "a file, or a folder: only what is in it and below it; left out: all", at_most=1024)
_FROM = PlainText("from", "the earlier commit; left out: the one before `to`")
_TO = PlainText("to", "the later commit; left out: the newest")
_CONTENT = Raw("application/octet-stream", "the content of the file")


class FilesPage(Answer, frozen=True, kw_only=True):
    """Files of a commit."""

    items: Annotated[list[shapes.FileView], says("the files, by path")]
    metadata: Annotated[PageMetadata, says("which part of all it is")]


class Commits:
    """Commits never change: what was answered once may be kept."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def routes(self) -> list[Route]:
        look = Action.VIEW_FILES
        return [
            Route("GET", FILES_AT, self.index, look, gives={200: FilesPage}, query=(_FOLDER, _LIMIT, OFFSET)),
            Route("GET", FILES_AT + "/{path:.+}", self.content, look, gives={200: _CONTENT}),
            Route(
                "GET",
                PROJECT_AT + "/snapshotDiff",
                self.difference,
                look,
                gives={200: shapes.SnapshotDiffView},
                query=(_FROM, _TO, _LIMIT, OFFSET),
            ),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Files of a commit."""
        snapshot = about(request, PROJECT).snapshot(request.match_info["commit"])
        folder = (_FOLDER.of(request) or "").strip("/")
        files = (await self._manifest(snapshot)).files
        found = [e for e in files if not folder or e.path == folder or e.path.startswith(f"{folder}/")]
        offset, limit = OFFSET.of(request), _LIMIT.of(request)
        pagination = Pagination(offset=offset, limit=limit, total_count=len(found))
        metadata = PageMetadata(request_id=request[REQUEST_ID], notices=[], pagination=pagination)
        return answer(FilesPage(items=[shapes.file(e) for e in found[offset : offset + limit]], metadata=metadata))

    async def content(self, request: web.Request) -> web.Response:
        """The content of a file.

        It is checked before its first byte is sent. A browser saves it, and does not show it.
        """
        snapshot = about(request, PROJECT).snapshot(request.match_info["commit"])
        entry = entry_of(await self._manifest(snapshot), snapshot, request.match_info["path"].strip("/"))
        return await content_of(request, self._blobs, entry)

    async def difference(self, request: web.Request) -> web.Response:
        """Files that differ between two commits.

        A page holds files that were added, removed and changed, in the order of their paths.
        """
        project = about(request, PROJECT)
        later = project.snapshot(plain_text(request, "to"))
        earlier = _earlier(project, later, plain_text(request, "from"))
        offset, limit = OFFSET.of(request), _LIMIT.of(request)
        before = None if earlier is None else await self._manifest(earlier)
        whole = await asyncio.to_thread(diff, before, await self._manifest(later))
        shown = page(whole, offset=offset, limit=limit)
        from_commit = None if earlier is None else earlier.commit_id
        return answer(shapes.difference(shown, whole, from_commit=from_commit, to_commit=later.commit_id))

    async def _manifest(self, snapshot: Snapshot) -> Manifest:
        return await self._blobs.get_document(snapshot.snapshot, Manifest)


def _earlier(project: Project, later: Snapshot, commit_id: str | None) -> Snapshot | None:
    """The commit with this id, else the one before `later`; None: there is none before it."""
    if commit_id is not None:
        return project.snapshot(commit_id)
    place = project.snapshots.index(later)
    return project.snapshots[place - 1] if place > 0 else None
