from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from services.embedded.home import open_home
from services.embedded.parts import REPOSITORY, build_harness, find, find_haproxy
from services.embedded.trouble import Trouble

HARNESS = REPOSITORY / "harness" / "python"


def test_a_program_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Trouble, match="nothing-like-it is missing"):
        find("nothing-like-it")


def test_an_haproxy_too_old_to_use_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "haproxy"
    old.write_text("#!/bin/sh\necho HAProxy version 2.2.9\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Trouble, match="No HAProxy"):
        find_haproxy()


def test_the_harness_is_built_once_for_each_content_and_other_users_can_read_it(folder: Path, tmp_path: Path) -> None:
    home = open_home(folder)
    wheel = build_harness(home, find("uv"), HARNESS)
    assert wheel.name.startswith("modelway_harness-")
    assert stat.S_IMODE(wheel.stat().st_mode) & 0o044 == 0o044
    assert build_harness(home, find("uv"), HARNESS) == wheel

    changed = tmp_path / "harness"
    shutil.copytree(HARNESS, changed)
    (changed / "src" / "modelway_harness" / "more.py").write_text("")
    assert build_harness(home, find("uv"), changed).parent != wheel.parent
    assert len(list((home / "harness").iterdir())) == 2


def test_a_harness_that_cannot_be_built_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="The harness could not be built"):
        build_harness(open_home(folder), find("uv"), tmp_path)
