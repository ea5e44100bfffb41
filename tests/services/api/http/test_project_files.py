"""What is in a project's commits: their files, a file's content, and what lies between two of them."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.ledger import MongoLedger
from tests.services.api.http.client import CODE, V1, Client, digest
from tests.services.api.http.people import add_person

OLD = {"predict.py": CODE, "data/a.csv": b"1", "data/b.csv": b"2", "gone.txt": b"3"}
NEW = {"predict.py": CODE, "data/a.csv": b"10", "data/b.csv": b"2", "new.txt": b"3"}


@pytest.fixture
async def at(api: Client) -> str:
    """A project with two commits."""
    project = await api.project()
    await api.upload(project, OLD)
    await api.upload(project, NEW)
    return f"{V1}/projects/{project}"


async def commits(api: Client, at: str) -> list[str]:
    """Oldest first."""
    return [each["commitId"] for each in await api.ok("GET", f"{at}/snapshots")][::-1]


def shown(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "sha256": digest(content), "sizeBytes": len(content), "mode": 0o644}


async def test_the_files_of_a_commit_are_listed_in_pages_and_by_folder(api: Client, at: str) -> None:
    old, new = await commits(api, at)
    whole = await api.ok("GET", f"{at}/snapshots/{old}/files")
    assert whole["items"] == [shown(path, OLD[path]) for path in sorted(OLD)]
    assert whole["metadata"]["pagination"] == {"offset": 0, "limit": 1000, "totalCount": 4}
    page = await api.ok("GET", f"{at}/snapshots/{old}/files", params={"limit": "2", "offset": "3"})
    assert ([each["path"] for each in page["items"]], page["metadata"]["pagination"]["totalCount"]) == (
        ["predict.py"],
        4,
    )
    folder = await api.ok("GET", f"{at}/snapshots/{new}/files", params={"path": "/data/"})
    assert [each["path"] for each in folder["items"]] == ["data/a.csv", "data/b.csv"]
    assert (await api.ok("GET", f"{at}/snapshots/{new}/files", params={"path": "dat"}))["items"] == []
    assert (await api("GET", f"{at}/snapshots/{'f' * 24}/files")).status == 404
    assert (await api("GET", f"{at}/snapshots/{new}/files", params={"limit": "0"})).status == 400


async def test_a_file_of_a_commit_is_sent_to_be_saved_and_not_shown(api: Client, at: str) -> None:
    old, new = await commits(api, at)
    answer = await api("GET", f"{at}/snapshots/{old}/files/data/a.csv")
    assert (answer.raw, (await api("GET", f"{at}/snapshots/{new}/files/data/a.csv")).raw) == (b"1", b"10")
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    head = await api("HEAD", f"{at}/snapshots/{new}/files/data/a.csv")
    assert (head.headers["Content-Length"], head.raw) == ("2", b"")
    missing = await api("GET", f"{at}/snapshots/{new}/files/gone.txt")
    assert (missing.status, missing.fault) == (404, f"there is no file 'gone.txt' in commit {new}")


async def test_two_commits_differ_in_files_that_came_went_and_changed(api: Client, at: str) -> None:
    old, new = await commits(api, at)
    found = await api.ok("GET", f"{at}/snapshotDiff", params={"from": old, "to": new})
    assert found == await api.ok("GET", f"{at}/snapshotDiff")
    assert (found["from"], found["to"]) == (old, new)
    assert found["added"] == [shown("new.txt", b"3")]
    assert found["removed"] == [shown("gone.txt", b"3")]
    assert found["changed"] == [
        {"path": "data/a.csv", "before": shown("data/a.csv", b"1"), "after": shown("data/a.csv", b"10")}
    ]
    assert found["counts"] == {"added": 1, "removed": 1, "changed": 1}
    back = await api.ok("GET", f"{at}/snapshotDiff", params={"from": new, "to": old})
    assert (back["added"], back["removed"]) == (found["removed"], found["added"])
    assert (await api.ok("GET", f"{at}/snapshotDiff", params={"from": new, "to": new}))["counts"] == {
        "added": 0,
        "removed": 0,
        "changed": 0,
    }


async def test_the_first_commit_adds_all_its_files(api: Client, at: str) -> None:
    old, _ = await commits(api, at)
    first = await api.ok("GET", f"{at}/snapshotDiff", params={"to": old})
    assert (first["from"], first["counts"]) == (None, {"added": 4, "removed": 0, "changed": 0})


async def test_a_difference_comes_in_pages(api: Client, at: str) -> None:
    pages = [
        await api.ok("GET", f"{at}/snapshotDiff", params={"limit": "1", "offset": str(offset)}) for offset in range(4)
    ]
    assert [sum(len(page[kind]) for kind in ("added", "removed", "changed")) for page in pages] == [1, 1, 1, 0]
    assert [page["changed"][0]["path"] for page in pages if page["changed"]] == ["data/a.csv"]
    assert {tuple(page["counts"].values()) for page in pages} == {(1, 1, 1)}


async def test_a_commit_that_is_not_there_is_404(api: Client, at: str) -> None:
    assert (await api("GET", f"{at}/snapshotDiff", params={"from": "f" * 24})).status == 404
    assert (await api("GET", f"{at}/snapshotDiff", params={"to": "f" * 24})).status == 404
    empty = await api.project("empty")
    answer = await api("GET", f"{V1}/projects/{empty}/snapshotDiff")
    assert (answer.status, answer.fault) == (404, "project 'empty' has no files yet: commit a snapshot first")


async def test_visibility_decides_who_reads_files(api: Client, ledger: MongoLedger, at: str) -> None:
    grace = await add_person(api, ledger)
    newest = (await commits(api, at))[-1]
    paths = [f"{at}/snapshotDiff", f"{at}/snapshots/{newest}/files", f"{at}/snapshots/{newest}/files/predict.py"]
    for visibility, status in (("Private", 404), ("Searchable", 403), ("Public", 200)):
        await api.ok("PUT", at, {"visibility": visibility})
        assert {(await grace("GET", path)).status for path in paths} == {status}, visibility
