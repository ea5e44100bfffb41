"""This file is which files of a directory are a project's, and how they are described."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from modelway.errors import UnfitDirectory
from modelway.files import SKIPPED, read_directory


def test_files_are_listed_by_path_with_their_digest_and_size(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.py").write_bytes(b"x" * 600_000)
    (tmp_path / "a.py").write_bytes(b"")
    first, second = read_directory(tmp_path)
    assert [first.path, second.path] == ["a.py", "b/c.py"]
    assert second.entry == {
        "path": "b/c.py",
        "mode": 0o644,
        "sizeBytes": 600_000,
        "sha256": hashlib.sha256(b"x" * 600_000).hexdigest(),
    }
    assert [b"".join(file.chunks()) for file in (first, second)] == [b"", b"x" * 600_000]


def test_of_the_mode_only_the_owners_execute_bit_counts(tmp_path: Path) -> None:
    for name, mode in (("plain", 0o600), ("wide", 0o666), ("run", 0o700)):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(mode)
    assert {file.path: file.mode for file in read_directory(tmp_path)} == {"plain": 0o644, "wide": 0o644, "run": 0o755}


@pytest.mark.parametrize("name", sorted(SKIPPED))
def test_what_is_never_part_of_a_project_is_left_out_at_any_depth(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.py").write_text("")
    (tmp_path / "sub" / name).mkdir(parents=True)
    (tmp_path / "sub" / name / "file").write_text("")
    (tmp_path / name).symlink_to("/")
    assert [file.path for file in read_directory(tmp_path)] == ["model.py"]


def test_a_symbolic_link_to_a_directory_is_refused_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "all").symlink_to("/", target_is_directory=True)
    with pytest.raises(UnfitDirectory, match="all is a symbolic link"):
        read_directory(tmp_path)


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnfitDirectory, match="pipe is not a regular file"):
        read_directory(tmp_path)


def test_a_name_that_is_not_utf8_is_refused_and_still_shown(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).write_text("")
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(UnfitDirectory, match=r"caf\\xe9 cannot be published: its name is not UTF-8"):
        read_directory(tmp_path)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitDirectory, match="holds no files"):
        read_directory(tmp_path)


@pytest.mark.parametrize("later", [b"ab", b"abcd", b"abd"])
def test_a_file_that_changed_is_never_wholly_given(tmp_path: Path, later: bytes) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (file,) = read_directory(tmp_path)
    (tmp_path / "file").write_bytes(later)
    given: list[bytes] = []
    with pytest.raises(UnfitDirectory, match="file changed"):
        given.extend(file.chunks())
    assert len(b"".join(given)) < 3
