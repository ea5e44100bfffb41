"""Which files ignore patterns leave out: the same ones as git."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.builder.apart.ignore import UnusablePattern, left_out

PATHS = ["a", "b.py", "c/a", "c/b.py", "c/d/a", "c/d/e.csv", "d/a", "d/c/a", "e.csv", "#x", "!y"]
PATTERN = st.one_of(
    st.sampled_from(
        ["*", "**", "*.py", "/a", "a", "c/", "c/*", "!c/d", "!a", "**/a", "c/**", "c/**/", "!c/", "d", "/d/*"]
    ),
    st.lists(st.sampled_from(["a", "c", "d", "/", "*", "**", "?", "!", "#", ".csv", "[ab]", "\\#x", " "]), max_size=5)
    .map("".join)
    .filter(lambda line: not re.search(r"[^/!]\*\*|\*\*[^/]", line)),  # git's manual does not say what these mean
)


def out(*lines: str, paths: list[str] = PATHS) -> list[str]:
    return left_out([(".modelignore", list(lines))], paths)


def test_patterns_are_those_of_gitignore() -> None:
    assert out("*.csv", "!/e.csv") == ["c/d/e.csv"]
    assert out("/a") == ["a"]
    assert out("d/") == ["c/d/a", "c/d/e.csv", "d/a", "d/c/a"]
    assert out("# a comment", "", "   ") == []
    assert out("\\#x", "\\!y") == ["#x", "!y"]


def test_the_last_pattern_that_fits_decides_also_over_sources() -> None:
    sources = [(".modelignore", ["*.csv"]), ("excludeFiles", ["!e.csv"])]
    assert left_out(sources, ["e.csv", "f.csv"]) == ["f.csv"]


@pytest.mark.parametrize("line", ["!", "[z-a]", "a\\"])
def test_a_line_that_is_no_pattern_is_named(line: str) -> None:
    with pytest.raises(UnusablePattern, match="excludeFiles line 2: "):
        left_out([("excludeFiles", ["fine", line])], PATHS)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PATTERN, min_size=1, max_size=4))
def test_git_leaves_out_the_same_files(repository: Path, lines: list[str]) -> None:
    (repository / ".gitignore").write_text("\n".join(lines) + "\n")
    asked = subprocess.run(
        [
            "git",
            "-c",
            "core.excludesFile=",
            "ls-files",
            "--others",
            "--ignored",
            "--exclude-per-directory=.gitignore",
            "-z",
        ],
        cwd=repository,
        check=True,
        capture_output=True,
    )
    by_git = sorted(set(asked.stdout.decode().split("\0")) & set(PATHS))
    try:
        ours = sorted(out(*lines))
    except UnusablePattern:
        return
    assert ours == by_git


def test_all_but_some_can_be_left_out() -> None:
    assert out("*", "!*/", "!*.py") == [path for path in PATHS if not path.endswith(".py")]
