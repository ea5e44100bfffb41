"""Builds that are cancelled, memory that is declared, and what nobody needs any more: on a whole platform."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.platform import REPOSITORY, Platform, write_project
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUM = "def predict(x, y):\n    return x + y\n"
GREEDY = """
kept = b""


def predict(megabytes):
    global kept
    kept = b"x" * (megabytes << 20)
    return len(kept)
"""


@contextmanager
def publishing(platform: Platform, project: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """`modelway publish`, under way inside."""
    command = ["publish", str(project), "--name", name, "--file", "predict.py", "--function", "predict"]
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("modelway")), *command],
        cwd=REPOSITORY,
        env=platform.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def suspended(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def newest(platform: Platform, name: str) -> dict[str, Any]:
    """The newest version of a model, and `{}` while there is none."""
    ran = platform.cli("versions", name, "--json")
    versions = ran.json if ran.code == 0 else []
    return dict(versions[0]) if versions else {}


def test_a_cancelled_build_fails_its_version_and_is_never_made_up_for(platform: Platform, tmp_path: Path) -> None:
    project = write_project(tmp_path / "unwanted", SUM)
    with suspended(platform.process("builder")), publishing(platform, project, "unwanted") as publish:
        wait_for(lambda: newest(platform, "unwanted").get("is_pending") is True, 30, what="it waits to be built")
        cancelled = platform.done("cancel", "unwanted")
        said, _ = publish.communicate(timeout=60)
    assert (cancelled["status"], cancelled["reason"]) == ("Failed", "the build was cancelled by admin")
    assert publish.returncode == 1
    assert "the build was cancelled by admin" in said

    platform.done("publish", str(project), "--name", "wanted", "--file", "predict.py", "--function", "predict")
    assert platform.cli("logs", "unwanted", "--kind", "build").out == "", "the order had its turn and was left out"
    assert newest(platform, "unwanted")["status"] == "Failed"


def test_archiving_a_model_cancels_its_builds(platform: Platform, tmp_path: Path) -> None:
    project = write_project(tmp_path / "archived", SUM)
    with suspended(platform.process("builder")), platform.http() as http:
        with publishing(platform, project, "archived"):
            wait_for(lambda: bool(newest(platform, "archived")), 30, what="it is published")
            at = f"/api/modelServing/v1/modelApis/{platform.done('show', 'archived')['id']}"
            assert http.delete(at).status_code == 204
        (version,) = http.get(f"{at}/versions").json()
    assert version["deployment"]["status"] == "Failed"
    assert version["deployment"]["reason"] == "not built: the model was archived"


def test_an_instance_beyond_its_declared_memory_is_ended_and_replaced_and_its_version_says_so(
    platform: Platform, tmp_path: Path
) -> None:
    project = write_project(tmp_path / "greedy", GREEDY)
    options = ["--instances", "2", "--memory", "256MiB", "--file", "predict.py", "--function", "predict"]
    platform.done("publish", str(project), "--name", "greedy", *options)
    platform.cli("predict", "greedy", '{"parameters": [400]}')  # it answers, or is ended while it does

    def is_told() -> bool:
        return bool(newest(platform, "greedy")["instances_lost"])

    wait_for(is_told, 30, what="the version lost an instance")
    assert newest(platform, "greedy")["last_exit"] == "used more than its 256 MiB of memory"
    wait_for(lambda: newest(platform, "greedy")["instances_ready"] == 2, 60, what="it is replaced")
    shown = newest(platform, "greedy")
    assert (shown["status"], shown["is_pending"], shown["reason"]) == ("Running", False, "")
    assert "the last: used more than its 256 MiB of memory" in platform.cli("show", "greedy").out
    assert "used more than its 256 MiB of memory" in platform.cli("logs", "greedy", "--kind", "deployment").out
    assert platform.done("predict", "greedy", '{"parameters": [1]}')["result"] == 1 << 20
    platform.done("stop", "greedy")


def test_what_nobody_needs_is_collected_and_what_serves_goes_on(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = ("--file", "predict.py", "--function", "predict", "--instances", "1")
    kept = write_project(tmp_path / "kept", SUM)
    gone = write_project(tmp_path / "gone", SUM + "# gone\n")
    shown = platform.done("publish", str(kept), "--name", "kept", *publish)
    archived = platform.done("publish", str(gone), "--name", "gone", *publish)
    folders = {folder.name for folder in (platform.home / "versions").iterdir()}
    with platform.http() as http:
        project = http.get("/v4/gateway/projects").json()[0]["id"]
        digest = "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b"  # of a newline
        assert http.put(f"/api/modelServing/v1/projects/{project}/blobs/{digest}", content=b"\n").status_code == 204
        orphan = platform.home / "blobs" / "sha256" / digest[:2] / digest
        assert orphan.exists()
        assert http.delete(f"/api/modelServing/v1/modelApis/{archived['id']}").status_code == 204
        platform.down()
        monkeypatch.setenv("MODELWAY_COLLECT_EVERY_S", "1")
        monkeypatch.setenv("MODELWAY_COLLECT_GRACE_S", "2")
        platform.up()

        def left() -> set[str]:
            return {folder.name for folder in (platform.home / "versions").iterdir()} & folders

        wait_for(lambda: not orphan.exists(), 60, what="the orphan goes")
        wait_for(lambda: len(left()) < len(folders), 60, what="the files of the archived model go")
    assert platform.done("predict", "kept", '{"parameters": [1, 2]}')["result"] == 3
    platform.done("stop", "kept")
    platform.done("start", "kept")
    assert platform.done("predict", "kept", '{"parameters": [1, 2]}')["result"] == 3
    again = platform.done("publish", str(kept), "--name", "kept", *publish)
    assert again["endpoint"] == shown["endpoint"]
    assert httpx.get(f"{platform.url}/version").status_code == 200
    monkeypatch.undo()
    platform.down()
    platform.up()
