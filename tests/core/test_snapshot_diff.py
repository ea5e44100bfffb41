"""What lies between two snapshots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.core.ids import Digest
from services.core.records import FileEntry, Manifest
from services.core.snapshot_diff import SnapshotDiff, diff, page


def file(path: str, content: int = 0, mode: int = 0o644) -> FileEntry:
    return FileEntry(path=path, mode=mode, size_bytes=content, digest=Digest(f"{content:064x}"))


def snapshot(*files: FileEntry) -> Manifest:
    return Manifest(files=tuple(sorted(files, key=lambda entry: entry.path)))


paths = st.sampled_from(["a.py", "b/c.csv", "b/d", "e", "f"])
contents = st.integers(0, 3)
modes = st.sampled_from([0o644, 0o755])
files = st.dictionaries(paths, st.tuples(contents, modes)).map(
    lambda found: snapshot(*(file(path, content, mode) for path, (content, mode) in found.items()))
)


def test_files_come_go_and_change() -> None:
    found = diff(snapshot(file("a", 1), file("b", 2), file("c", 3)), snapshot(file("b", 9), file("c", 3), file("d", 1)))
    assert [entry.path for entry in found.added] == ["d"]  # moved from a: one that came, and one that went
    assert [entry.path for entry in found.removed] == ["a"]
    [change] = found.changed
    assert (change.path, change.before, change.after) == ("b", file("b", 2), file("b", 9))


def test_a_file_that_can_be_executed_now_has_changed() -> None:
    [change] = diff(snapshot(file("run.sh")), snapshot(file("run.sh", mode=0o755))).changed
    assert change.before is not None
    assert change.after is not None
    assert (change.before.mode, change.after.mode, change.before.digest) == (0o644, 0o755, change.after.digest)


@given(files)
def test_a_snapshot_differs_from_nothing_in_all_its_files_and_from_itself_in_none(one: Manifest) -> None:
    assert diff(one, one) == SnapshotDiff()
    assert diff(None, one) == SnapshotDiff(added=one.files)


@given(files, files)
def test_what_is_done_to_the_one_gives_the_other(before: Manifest, after: Manifest) -> None:
    found = diff(before, after)
    by_path = {entry.path: entry for entry in before.files}
    for entry in found.removed:
        assert by_path.pop(entry.path) == entry
    for entry in found.added:
        assert entry.path not in by_path
        by_path[entry.path] = entry
    for change in found.changed:
        assert by_path[change.path] == change.before != change.after
        assert change.after is not None
        by_path[change.path] = change.after
    assert snapshot(*by_path.values()) == after


@given(files, files, st.integers(1, 4))
def test_pages_together_are_the_whole_in_the_order_of_paths(before: Manifest, after: Manifest, limit: int) -> None:
    whole = diff(before, after)
    pages = [page(whole, offset=offset, limit=limit) for offset in range(0, whole.count + 1, limit)]
    assert tuple(entry for each in pages for entry in each.added) == whole.added
    assert tuple(entry for each in pages for entry in each.removed) == whole.removed
    assert tuple(change for each in pages for change in each.changed) == whole.changed
    assert all(each.count <= limit for each in pages)
    lasts = [max(_paths(each)) for each in pages if each.count]
    assert lasts == sorted(lasts)


def _paths(found: SnapshotDiff) -> list[str]:
    return [entry.path for entry in (*found.added, *found.removed)] + [change.path for change in found.changed]
