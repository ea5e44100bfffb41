"""Uploads: what is missing, each blob by its digest, then the snapshot."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from services.api.http.app import Deps
from services.api.http.snapshots import FileBody, FilesBody, Snapshots
from services.api.store.store import MongoStore
from services.core.aggregates import PROJECT
from services.core.records import Manifest
from services.core.snapshot import SnapshotLimits
from tests.parts import wait_until
from tests.services.api.http.client import CODE, V1, Client, digest, file
from tests.services.api.http.conftest import LIMITS


async def test_only_what_is_missing_has_to_be_uploaded(api: Client) -> None:
    project = await api.project()
    await api.upload(project, {"predict.py": CODE})
    files = [file("predict.py", CODE), file("copy.py", CODE), file("data.csv", b"1,2\n"), file("empty", b"")]
    missing = await api.ok("POST", f"{V1}/projects/{project}/missingBlobs", {"files": files})
    assert missing == {"missing": sorted([digest(b"1,2\n"), digest(b"")])}


async def test_a_snapshot_is_committed_sorted_and_with_plain_modes(api: Client, deps: Deps, store: MongoStore) -> None:
    project = await api.project()
    await api.upload(project, {"run.sh": b"#!", "a.py": CODE})
    files = [file("run.sh", b"#!", 0o100711), file("a.py", CODE, 0o4600)]
    commit = await api.ok("POST", f"{V1}/projects/{project}/snapshots", {"files": files, "message": "first"})
    stored = (await store.load(PROJECT, project)).snapshot(commit["commitId"])
    manifest = await deps.blobs.get_document(stored.snapshot, Manifest)
    assert [(entry.path, entry.mode) for entry in manifest.files] == [("a.py", 0o644), ("run.sh", 0o755)]
    assert (commit["files"], commit["sizeBytes"], commit["message"]) == (2, len(CODE) + 2, "first")


async def test_the_same_files_again_are_the_same_commit(api: Client) -> None:
    project = await api.project()
    at = f"{V1}/projects/{project}/snapshots"
    first = await api.upload(project, {"a.py": CODE})
    again = await api("POST", at, {"files": [file("a.py", CODE, 0o600)]})
    assert (again.status, again.body) == (200, first)
    second = await api.upload(project, {"a.py": CODE, "b.py": CODE})
    assert second["commitId"] != first["commitId"]
    third = await api.upload(project, {"a.py": CODE})
    assert third["commitId"] not in (first["commitId"], second["commitId"])
    assert await api.ok("GET", at) == [third, second, first]


async def test_a_commit_repeated_with_its_key_is_made_once(api: Client) -> None:
    project = await api.project()
    await api.upload(project, {"a.py": CODE})
    body = {"files": [file("b.py", CODE)]}
    at, key = f"{V1}/projects/{project}/snapshots", {"Idempotency-Key": "once"}
    first = await api("POST", at, body, headers=key)
    await api.upload(project, {"c.py": CODE})
    again = await api("POST", at, body, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert len(await api.ok("GET", at)) == 3


async def test_a_snapshot_waits_for_its_blobs(api: Client) -> None:
    project = await api.project()
    answer = await api("POST", f"{V1}/projects/{project}/snapshots", {"files": [file("a.py", CODE)]})
    assert answer.status == 422
    assert answer.fault == f"1 blobs of this snapshot were not uploaded, {digest(CODE)} among them"


async def test_a_blob_that_is_not_what_its_name_says_is_refused_and_not_kept(api: Client) -> None:
    project = await api.project()
    answer = await api("PUT", f"{V1}/projects/{project}/blobs/{digest(b'good')}", data=b"evil")
    assert answer.status == 400
    body = {"files": [file("a.py", b"good")]}
    assert (await api.ok("POST", f"{V1}/projects/{project}/missingBlobs", body))["missing"] == [digest(b"good")]


@pytest.mark.parametrize("said", [0, 3, 5, LIMITS.file_bytes])
async def test_a_size_that_its_blob_does_not_have_is_refused_so_that_limits_cannot_be_talked_around(
    api: Client, said: int
) -> None:
    project = await api.project()
    await api.upload(project, {"a.py": b"1234"})
    body = {"files": [{**file("b.py", b"1234"), "sizeBytes": said}]}
    answer = await api("POST", f"{V1}/projects/{project}/snapshots", body)
    assert (answer.status, answer.fault) == (400, f"the sizeBytes of 'b.py' is {said}, and its blob has 4 bytes")


async def test_an_upload_that_is_broken_off_leaves_nothing(api: Client, deps: Deps, tmp_path: Path) -> None:
    project = await api.project()
    content = b"x" * 1000

    async def broken_off() -> AsyncIterator[bytes]:
        yield content[:500]
        raise ConnectionResetError

    with pytest.raises(ClientError):
        await api("PUT", f"{V1}/projects/{project}/blobs/{digest(content)}", data=broken_off())
    await wait_until(lambda: not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()])
    body = {"files": [file("a.py", content)]}
    assert (await api.ok("POST", f"{V1}/projects/{project}/missingBlobs", body))["missing"] == [digest(content)]


HOSTILE_PATHS = [
    ("/etc/passwd", "is absolute"),
    ("../x", "has a '..' in it"),
    ("a/../../x", "has a '..' in it"),
    ("C:/x", "is absolute"),
    ("a\\b", "has a backslash in it"),
    ("a//b", "has an empty part in it"),
    ("./a", "has an empty part in it"),
    ("", "is empty"),
    ("a\nb", "has a control character in it"),
    ("n" * 256, "is longer than 1024 bytes, or one of its names than 255"),
    ("/".join(["é" * 100] * 6), "is longer than 1024 bytes"),
    (".modelway/secrets/api-key", "is reserved"),
    (".MODELWAY/x", "is reserved"),
    ("data/con.txt", "reserved for a device"),
]


@pytest.mark.parametrize(("path", "fault"), HOSTILE_PATHS, ids=lambda text: repr(text)[:20])
async def test_a_path_that_cannot_be_is_refused_in_one_sentence(api: Client, path: str, fault: str) -> None:
    project = await api.project()
    for at in ("missingBlobs", "snapshots"):
        answer = await api("POST", f"{V1}/projects/{project}/{at}", {"files": [file(path, b"")]})
        assert answer.status == 400
        assert fault in answer.fault


async def test_a_path_that_is_not_utf_8_cannot_even_be_said(api: Client) -> None:
    project = await api.project()
    for path in (b"\xff", b"\\ud800"):
        raw = b'{"files": [{"path": "' + path + b'", "sizeBytes": 0, "sha256": "' + b"f" * 64 + b'"}]}'
        assert (await api("POST", f"{V1}/projects/{project}/missingBlobs", data=raw)).status == 400


async def test_a_hundred_thousand_files_are_checked_in_seconds(api: Client, deps: Deps) -> None:
    project = await api.project()
    await api.upload(project, {"a.py": b""})
    limits = SnapshotLimits()
    snapshots = Snapshots(deps.ledger, deps.blobs, limits)
    files = [
        FileBody(path=f"data/{n % 100}/{n}.csv", size_bytes=1, sha256=digest(str(n).encode()))
        for n in range(limits.files)
    ]
    began = time.monotonic()
    checked = snapshots._manifest(FilesBody(files=tuple(files)))
    assert await deps.blobs.sizes(entry.digest for entry in checked.files) == {}
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["abc", "F" * 64, "f" * 63, "..%2f..%2fetc"])
async def test_a_blob_is_named_by_a_digest(api: Client, name: str) -> None:
    project = await api.project()
    answer = await api("PUT", f"{V1}/projects/{project}/blobs/{name}", data=b"x")
    assert answer.status == 400
    assert answer.fault == "a blob is named by its SHA-256: 64 lower-case hexadecimal characters"


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_blob_beyond_the_limit_is_413_and_not_kept(api: Client, *, is_declared: bool) -> None:
    content = b"x" * (LIMITS.file_bytes + 1)

    async def stream() -> AsyncIterator[bytes]:
        for place in range(0, len(content), 100):
            yield content[place : place + 100]

    project = await api.project()
    at = f"{V1}/projects/{project}/blobs/{digest(content)}"
    answer = await api("PUT", at, data=content if is_declared else stream())
    assert (answer.status, answer.fault) == (413, f"the body may have at most {LIMITS.file_bytes} bytes")


async def test_a_blob_of_exactly_the_limit_fits(api: Client) -> None:
    project = await api.project()
    commit = await api.upload(project, {"big.bin": b"x" * LIMITS.file_bytes, "empty": b""})
    assert commit["sizeBytes"] == LIMITS.file_bytes


@pytest.mark.parametrize(
    ("files", "status", "sentence"),
    [
        ([], 400, "files must not be empty"),
        ([{"path": "a.py", "sha256": "f" * 64}], 400, "files[0].sizeBytes is required"),
        ([{"path": "a.py", "sha256": "f" * 64, "sizeBytes": "1"}], 400, "files[0].sizeBytes must be a whole number"),
        ([file("/etc/passwd", b"")], 400, "the path '/etc/passwd' is absolute"),
        ([file("a", b""), file("A", b"")], 400, "differ only in case"),
        ([file("link", b"", 0o120777)], 400, "'link' is not a regular file: symbolic links"),
        ([file(f"{n}.py", b"") for n in range(51)], 413, "a snapshot may have at most 50 files, got 51"),
        ([file("a", b"x" * 2001)], 413, "a file may have at most 2000 bytes, 'a' has 2001"),
        ([file("a", b"x" * 2000), file("b", b"y" * 1001)], 413, "a snapshot may have at most 3000 bytes, got 3001"),
    ],
)
async def test_files_that_cannot_be_are_refused_before_anything_is_uploaded(
    api: Client, files: list[Any], status: int, sentence: str
) -> None:
    project = await api.project()
    for path in ("missingBlobs", "snapshots"):
        answer = await api("POST", f"{V1}/projects/{project}/{path}", {"files": files})
        assert answer.status == status
        assert sentence in answer.fault


async def test_nothing_is_uploaded_to_a_project_that_is_not_there(api: Client) -> None:
    at = f"{V1}/projects/{'f' * 24}"
    body = {"files": [file("a.py", CODE)]}
    assert (await api("POST", f"{at}/missingBlobs", body)).status == 404
    assert (await api("PUT", f"{at}/blobs/{digest(CODE)}", data=CODE)).status == 404
    assert (await api("POST", f"{at}/snapshots", body)).status == 404
