"""This file answers with a file of a project: checked before its first byte is sent, and for a browser to save."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from services.core.errors import NotFound, Unavailable
from services.core.names import shortened
from services.core.project import Snapshot
from services.core.records import FileEntry, Manifest
from services.kit.blobs import FULL_RETRY_S, Blobs

_HEADERS = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}


def entry_of(listed: Manifest, snapshot: Snapshot, path: str) -> FileEntry:
    """The file at `path` of the snapshot whose manifest is `listed`. Raises NotFound."""
    for entry in listed.files:
        if entry.path == path:
            return entry
    raise NotFound(f"there is no file {shortened(path)} in commit {snapshot.commit_id}")


async def content_of(request: web.Request, blobs: Blobs, entry: FileEntry) -> web.Response:
    """The file as it is. A browser does not show it, whatever it holds."""
    if request.method == "HEAD":
        return web.Response(headers={**_HEADERS, "Content-Length": str(entry.size_bytes)})
    with scratch() as folder:
        copy = folder / "content"
        await blobs.fetch(entry.digest, copy)
        opened = await asyncio.to_thread(copy.open, "rb")  # closed by the answer, and gone with it
    return web.Response(body=opened, headers=_HEADERS, content_type="application/octet-stream")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one request."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="modelway-file-", ignore_cleanup_errors=True)
    except OSError as error:
        raise no_room() from error
    with folder as name:
        yield Path(name)


def no_room() -> Unavailable:
    return Unavailable("there is no room for the file on its way", retry_after_s=FULL_RETRY_S)
