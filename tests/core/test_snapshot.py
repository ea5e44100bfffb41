"""What may be in a snapshot, and the sentence for what may not."""

from __future__ import annotations

import os.path
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import Invalid, PermanentError, TooLarge
from services.core.ids import Digest
from services.core.languages import Language
from services.core.records import FileEntry
from services.core.snapshot import SnapshotLimits, check_script, manifest

LIMITS = SnapshotLimits(files=8, total_bytes=1000, file_bytes=400)


def entry(path: str, *, size_bytes: int = 1, mode: int = 0o644, digest: str | None = None) -> FileEntry:
    return FileEntry(path=path, mode=mode, size_bytes=size_bytes, digest=Digest(digest or f"{size_bytes:064x}"))


def refusal(*entries: FileEntry) -> str:
    with pytest.raises(PermanentError) as refused:
        manifest(entries, LIMITS)
    return refused.value.reason


@pytest.mark.parametrize(
    "path",
    ["predict.py", "a/b/c.csv", ".modelignore", "My Data (1).csv", "été/花.txt", "2024-01-01T10:00.csv", "..a", "a..b"],
)
def test_a_plain_path_is_fine(path: str) -> None:
    assert manifest([entry(path)], LIMITS).files == (entry(path),)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "the path '' is empty"),
        ("/etc/passwd", "is absolute"),
        ("C:/Windows/x", "is absolute"),
        ("../x", "has a '..' in it"),
        ("a/../../x", "has a '..' in it"),
        ("a//b", "has an empty part in it"),
        ("./a", "has an empty part in it"),
        ("a/", "has an empty part in it"),
        ("a\\b", "has a backslash in it"),
        ("a\0b", "has a control character in it"),
        ("a\nb", "has a control character in it"),
        ("a\ud800", "is not UTF-8"),
        ("x" * 256, "is longer than 1024 bytes, or one of its names than 255"),
        ("é" * 128, "is longer than"),
        ("/".join(["x" * 200] * 6), "is longer than"),
        (".modelway/secrets/key", "is reserved: .modelway holds keys of the platform"),
        (".ModelWay", "is reserved"),
        ("data/NUL", "has a name in it that is reserved for a device"),
        ("aux.py", "has a name in it that is reserved for a device"),
    ],
)
def test_a_path_that_is_not_the_same_file_everywhere_is_refused(path: str, sentence: str) -> None:
    assert sentence in refusal(entry("fine.py"), entry(path))


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["a", "b", "a"], "the path 'a' occurs twice"),
        (["Readme", "README"], "the paths 'Readme' and 'README' differ only in case"),
        (["straße", "STRASSE"], "differ only in case"),
        (["\u00e9", "e\u0301"], "or in how an accent is written"),
        (["data", "data/x.csv"], "'data' is both a file and a folder of 'data/x.csv'"),
        (["a/b/c", "A/B"], "'A/B' is both a file and a folder of 'a/b/c'"),
    ],
)
def test_files_that_would_meet_in_one_place_are_refused(paths: list[str], sentence: str) -> None:
    assert sentence in refusal(*map(entry, paths))


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (entry("a", mode=0o120777), "'a' is not a regular file: symbolic links"),
        (entry("a", mode=0o040755), "'a' is not a regular file"),
        (entry("a", mode=0o010644), "'a' is not a regular file"),
        (entry("a", mode=-1), "'a' is not a regular file"),
        (entry("a", mode=1 << 40), "'a' is not a regular file"),
        (entry("a", size_bytes=-1, digest="f" * 64), "the sizeBytes of 'a' must not be negative"),
        (entry("a", digest="F" * 64), "the sha256 of 'a' must be 64 lower-case hexadecimal characters"),
        (entry("a", digest="f" * 63), "the sha256 of 'a'"),
    ],
)
def test_what_is_no_regular_file_is_refused(file: FileEntry, sentence: str) -> None:
    assert sentence in refusal(file)


def test_a_snapshot_has_a_file_and_the_same_content_one_size() -> None:
    assert refusal() == "files must not be empty: a snapshot has at least one file"
    same = "a" * 64
    said = refusal(entry("a", size_bytes=1, digest=same), entry("b", size_bytes=2, digest=same))
    assert said == "the file 'b' has the sha256 of another file, but not its size"


def test_each_limit_is_refused_as_too_large_just_past_it() -> None:
    manifest([entry(f"{number}", size_bytes=100 + number) for number in range(8)], LIMITS)
    manifest([entry("a", size_bytes=400), entry("b", size_bytes=399), entry("c", size_bytes=201)], LIMITS)
    for files in (
        [entry(f"{number}") for number in range(9)],
        [entry("a", size_bytes=401)],
        [entry("a", size_bytes=400), entry("b", size_bytes=399), entry("c", size_bytes=202)],
    ):
        with pytest.raises(TooLarge):
            manifest(files, LIMITS)


def test_the_limits_that_are_stated_hold_without_a_word() -> None:
    limits = SnapshotLimits()
    assert (limits.files, limits.total_bytes, limits.file_bytes) == (100_000, 10 * 1024**3, 2 * 1024**3)


def test_only_the_owners_execute_bit_of_a_mode_counts() -> None:
    modes = {0o100644: 0o644, 0o777: 0o755, 0o100700: 0o755, 0o077: 0o644, 0o4755: 0o755, 0: 0o644}
    for mode, kept in modes.items():
        assert manifest([entry("a", mode=mode)], LIMITS).files[0].mode == kept


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_a_refusal_is_one_line_that_can_be_printed(paths: list[str]) -> None:
    said = refusal(*map(entry, paths), entry(""))
    assert said.isprintable()


PATHS = st.lists(st.sampled_from(["a", "A", "b.py", "..", ".", "", "con", "é", "e\u0301", "\0", "\\"]), max_size=4)


@given(st.lists(PATHS.map("/".join) | st.text(max_size=6), min_size=1, max_size=8))
def test_a_manifest_that_passes_unpacks_into_its_folder_and_into_distinct_files(paths: list[str]) -> None:
    try:
        files = manifest([entry(path) for path in paths], LIMITS).files
    except PermanentError:
        return
    targets = [os.path.normpath(os.path.join("/project", file.path)) for file in files]
    assert all(target == f"/project/{file.path}" for target, file in zip(targets, files, strict=True))
    anywhere = {unicodedata.normalize("NFC", target).casefold() for target in targets}
    assert len(anywhere) == len(paths)
    assert not any(one != other and other.startswith(f"{one}/") for one in anywhere for other in anywhere)


@given(st.permutations([entry("a/b", mode=0o600), entry("a/c"), entry("z"), entry("B")]))
def test_the_order_and_rights_of_an_upload_do_not_change_the_manifest(files: list[FileEntry]) -> None:
    made = manifest(files, LIMITS)
    assert [file.path for file in made.files] == ["B", "a/b", "a/c", "z"]
    assert manifest(made.files, LIMITS) == made


@pytest.mark.parametrize("path", ["predict.py", "src/model/predict.py"])
def test_a_script_is_a_python_file_of_the_project(path: str) -> None:
    assert check_script(path) == path


@pytest.mark.parametrize("path", ["score.rscript", "model.R", "model"])
def test_a_script_may_have_any_name_that_does_not_contradict_the_language_that_was_said(path: str) -> None:
    assert check_script(path, Language.R) == path
    for contradicting in ("model.py", "churn/MLmodel"):
        with pytest.raises(Invalid, match=r"is python by its name, .* and language says r"):
            check_script(contradicting, Language.R)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "file must be a path inside the project, and '' is empty"),
        ("../p.py", "file must be a path inside the project"),
        ("/p.py", "'/p.py' is absolute"),
        ("p.txt", "file must end in .py, or in .R, or be an MLmodel, unless `language` (--language) says"),
        ("p.txt", "what it is written in, got 'p.txt'"),
        ("p.py/", "has an empty part in it"),
    ],
)
def test_anything_else_is_no_script(path: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_script(path)
    assert sentence in refused.value.reason
