from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from services.embedded.home import open_home
from services.embedded.interpreters import can_be_entered, pick_interpreter
from services.embedded.parts import find

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process as another user")


def test_a_plain_user_is_told_that_this_home_is_not_a_sandbox(folder: Path) -> None:
    picked = pick_interpreter(open_home(folder), find("uv"), is_root=False)
    assert picked.instance_uids == ""
    assert "publish only code that you trust" in picked.warning


def test_the_picked_interpreter_is_one_that_models_can_use(folder: Path) -> None:
    picked = pick_interpreter(open_home(folder), find("uv"), is_root=False)
    code = "import sys; print(sys.version_info >= (3, 11), sys.prefix == sys.base_prefix)"
    done = subprocess.run([picked.path, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_looking_for_an_interpreter_leaves_nothing_behind(folder: Path) -> None:
    home = open_home(folder)
    pick_interpreter(home, find("uv"), is_root=False)
    assert list((home / "environments").iterdir()) == []


@as_root
def test_as_root_in_a_home_that_nobody_else_can_enter_instances_are_not_apart_and_the_warning_says_why(
    folder: Path,
) -> None:
    home = open_home(folder)  # its parent, a temporary folder, is closed to others
    picked = pick_interpreter(home, find("uv"), is_root=True)
    assert picked.instance_uids == ""
    assert f"other users may not enter {home.root}" in picked.warning


@as_root
def test_as_root_in_an_open_home_every_instance_gets_a_user_of_its_own_or_the_warning_says_what_is_missing(
    folder: Path,
) -> None:
    folder.parent.chmod(0o711)
    picked = pick_interpreter(open_home(folder), find("uv"), is_root=True)
    if picked.instance_uids:
        assert picked.instance_uids == "200000-50000"
        assert picked.warning == ""
        subprocess.run([picked.path, "-I", "-c", ""], user=200_000, group=200_000, cwd="/", timeout=30, check=True)
    else:
        assert "install one for all" in picked.warning


def test_a_folder_can_be_entered_only_if_all_above_it_can(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o755)
    tmp_path.chmod(0o700)
    assert not can_be_entered(inner)
