"""Real instances of the R harness, and whether there can be any on this machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.harness.instances import Running, live_children

SERVE = Path(__file__).parents[2] / "harness" / "r" / "serve"
PACKAGES = ("plumber", "httpuv", "processx", "jsonlite")


class RunningR(Running):
    """One instance of the R harness."""

    program: tuple[str, ...] = (str(SERVE),)
    file = "predict.R"

    def front_children(self) -> set[int]:
        """Process ids of what the front started: the process that runs the user's code."""
        return {child for front in self.worker_ids() for child in live_children(front)}


@contextmanager
def run_r() -> Iterator[RunningR]:
    """An instance that can be started, in a folder of its own; nothing of it is left behind."""
    need_r()
    running = RunningR(Path(tempfile.mkdtemp(prefix="mwh-", dir="/tmp")))
    running.project.mkdir()
    (running.folder / "home").mkdir()
    try:
        yield running
    finally:
        running.clean()
        shutil.rmtree(running.folder)


@cache
def lacking() -> str:
    """What R lacks here, as a reason to skip; empty when it lacks nothing."""
    if shutil.which("Rscript") is None:
        return "R is not installed"
    asked = ", ".join(f"'{name}'" for name in PACKAGES)
    look = f"quit(status = !all(vapply(c({asked}), requireNamespace, NA, quietly = TRUE)))"
    found = subprocess.run(["Rscript", "--vanilla", "-e", look], capture_output=True, check=False)
    return "" if found.returncode == 0 else f"one of the R packages {asked} is not installed"


def need_r() -> None:
    """Skip the test where R is not; in CI that fails the run."""
    if reason := lacking():
        pytest.skip(reason)
