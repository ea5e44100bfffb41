"""Fixtures of the harness's tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.instances import Running


@pytest.fixture
def instance() -> Iterator[Running]:
    """An instance that can be started; nothing of it is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="mwh-", dir="/tmp"))
    running = Running(folder)
    running.project.mkdir()
    (folder / "home").mkdir()
    yield running
    running.clean()
    shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project folder; what importing from it changes in this process is put back."""
    path, modules = list(sys.path), dict(sys.modules)
    folder = tmp_path / "project"
    folder.mkdir()
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]
