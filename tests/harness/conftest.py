"""Fixtures of the harness's tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.harness.instances import Running
from tests.harness.r_instances import RunningR, run_r
from tests.harness.served import INSTANCE, Served


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
def r_instance() -> Iterator[RunningR]:
    """The same of the R harness."""
    with run_r() as running:
        yield running


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


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Served]]:
    """Serves functions, each behind a socket of its own, until the end of the module."""
    running: list[Served] = []
    with tempfile.TemporaryDirectory(prefix="mwh-", dir="/tmp") as folder:

        def served(function: Callable[..., object], **settings: Any) -> Served:
            place = Path(folder) / str(len(running))
            place.mkdir()
            running.append(Served(place, function, replace(INSTANCE, **settings)))
            return running[-1]

        yield served
        for each in running:
            each.stop()
