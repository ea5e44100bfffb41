"""This file is how a directory becomes a snapshot of a project: only what the platform lacks is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Lock

from modelway.errors import GaveUp, NotFound, Rejected
from modelway.files import ProjectFile
from modelway.records import Json
from modelway.transport import SERVING, Content, Transport

_PARALLEL_UPLOADS = 4

OnUpload = Callable[[int, int, int, int], None]
"""(files uploaded, files to upload, bytes uploaded, bytes to upload); from several threads, one at a time."""


def find_project(transport: Transport, name: str, *, owner: str) -> str | None:
    """The id of the project that `owner` calls `name`."""
    try:
        return transport.get(
            "/v4/gateway/projects/findProjectByOwnerAndName", _read_id, ownerName=owner, projectName=name
        )
    except NotFound:
        return None


def ensure_project(transport: Transport, name: str, *, owner: str) -> str:
    """The id of `owner`'s project `name`, which is created if need be."""

    def find() -> str | None:
        return find_project(transport, name, owner=owner)

    found = find()
    if found is not None:
        return found
    try:
        return transport.post("/v4/projects", {"name": name}, _read_id, find=find)
    except Rejected as error:
        found = find()  # somebody may have created it since we looked
        if found is None:
            text = f"The project {name!r} cannot be created, choose another name for it: {error.reason}"
            raise Rejected(text) from error
        return found


def upload(transport: Transport, project_id: str, files: Sequence[ProjectFile], on_upload: OnUpload) -> None:
    """Bring to the platform what it lacks. Raises UnfitDirectory when a file changes meanwhile."""
    body = {"files": [file.entry for file in files]}
    path = f"{SERVING}/projects/{project_id}/missingBlobs"
    lacking = set(transport.repeat("POST", path, lambda answer: [str(each) for each in answer["missing"]], body=body))
    by_digest = {file.sha256: file for file in files if file.sha256 in lacking}
    _upload_all(transport, project_id, list(by_digest.values()), on_upload)


def commit(transport: Transport, project_id: str, files: Sequence[ProjectFile]) -> str:
    """The id of the snapshot with just these files; the same content as the newest one gives the same id."""
    body = {"files": [file.entry for file in files]}
    path = f"{SERVING}/projects/{project_id}/snapshots"
    return transport.repeat("POST", path, lambda answer: str(answer["commitId"]), body=body)


def _upload_all(transport: Transport, project_id: str, files: Sequence[ProjectFile], on_upload: OnUpload) -> None:
    total_bytes = sum(file.size_bytes for file in files)
    lock = Lock()
    uploaded: list[int] = []

    def one(file: ProjectFile) -> None:
        _upload_one(transport, project_id, file)
        with lock:
            uploaded.append(file.size_bytes)
            on_upload(len(uploaded), len(files), sum(uploaded), total_bytes)

    with ThreadPoolExecutor(_PARALLEL_UPLOADS) as pool:
        futures = [pool.submit(one, file) for file in files]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            # A file failed, or the person pressed Ctrl-C: begin nothing and wait for no retry any more.
            transport.patience.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _upload_one(transport: Transport, project_id: str, file: ProjectFile) -> None:
    def chunks() -> Iterator[bytes]:
        for chunk in file.chunks():
            if transport.patience.stopped.is_set():
                raise GaveUp("The upload was given up.")
            yield chunk

    path = f"{SERVING}/projects/{project_id}/blobs/{file.sha256}"
    content = Content(chunks=chunks, size_bytes=file.size_bytes)
    try:
        transport.repeat("PUT", path, lambda _: None, content=content)
    except Rejected as error:
        raise Rejected(f"{file.path} was refused: {error.reason}") from error


def _read_id(answer: Json) -> str:
    return str(answer["id"])
