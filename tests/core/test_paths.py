"""Which paths a project's files may have."""

from __future__ import annotations

import os.path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.paths import path_fault, paths_fault


@pytest.mark.parametrize("path", ["model.py", "src/my model.py", "données/été.csv", ".modelignore", "a..b/c", "..."])
def test_a_plain_relative_path_is_fine(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("../x", "'..'"),
        ("a/../../x", "'..'"),
        ("a//b", "empty part"),
        ("a/./b", "empty part"),
        ("a/", "empty part"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\ud800", "not UTF-8"),
        ("x" * 256, "longer"),
        ("x/" * 600 + "x", "longer"),
    ],
)
def test_a_path_that_leaves_the_project_or_cannot_be_is_refused(path: str, fault: str) -> None:
    assert fault in str(path_fault(path))


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "\0", "c.py"]), max_size=6).map("/".join))
def test_a_path_that_is_let_through_stays_inside_and_is_in_its_shortest_form(path: str) -> None:
    if path_fault(path) is None:
        assert os.path.normpath(os.path.join("/project", path)) == f"/project/{path}"


def test_a_path_twice_is_refused() -> None:
    assert paths_fault(["a", "b", "a"]) == "the path 'a' occurs twice"


def test_a_file_where_another_needs_a_folder_is_refused() -> None:
    assert paths_fault(["a/b/c", "a/b"]) == "'a/b' is both a file and a folder"


def test_a_fault_names_its_path() -> None:
    assert paths_fault(["fine", "../x"]) == "the path '../x' has a '..' in it"
