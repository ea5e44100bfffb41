"""A whole platform whose disk fills up, and that is asked for very many versions at once: it goes on, and recovers."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bad_days import SmallDisk, mounted
from tests.e2e.platform import Callers, Platform, write_project
from tests.e2e.processes import PROGRAMS
from tests.e2e.test_publish import endpoint
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

V1 = "/api/modelServing/v1"
CHATTY = "def predict(x, y):\n    print('called with', x, y)\n    return x + y\n"
DISK_MB = 160


@pytest.fixture(scope="module")
def disk() -> Iterator[SmallDisk]:
    with tempfile.TemporaryDirectory(prefix="mw-") as folder, mounted(Path(folder), megabytes=DISK_MB) as small:
        small.path.chmod(0o711)
        yield small


@pytest.fixture(scope="module")
def cramped(disk: SmallDisk) -> Iterator[Platform]:
    """A platform with all it keeps on a small disk."""
    running = Platform(disk.path)
    try:
        running.up()
        yield running
    finally:
        disk.free()
        running.embedded("down")
        left = running.left_behind()
        for each in left:
            each.kill()
        assert not left, [each.cmdline() for each in left]


def put_blob(client: httpx.Client, project: str, content: bytes) -> httpx.Response:
    digest = hashlib.sha256(content).hexdigest()
    return client.put(f"{V1}/projects/{project}/blobs/{digest}", content=content)


def change_until_refused(client: httpx.Client) -> httpx.Response:
    """The database has a little room of its own left when the disk is full."""
    for number in range(3000):
        began = time.monotonic()
        answer = client.post("/v4/projects", json={"name": f"p-{number}", "description": secrets.token_hex(2000)})
        assert time.monotonic() - began < 12
        if answer.status_code != 201:
            return answer
    raise AssertionError("everything was taken")


def takes_a_change(client: httpx.Client) -> bool:
    return client.post("/v4/projects", json={"name": f"after-{secrets.token_hex(4)}"}).status_code == 201


def test_a_platform_whose_disk_fills_up_refuses_changes_goes_on_predicting_and_recovers_by_itself(
    cramped: Platform, disk: SmallDisk, tmp_path: Path
) -> None:
    project = write_project(tmp_path / "sums", CHATTY)
    publish = ("publish", str(project), "--name", "sums", "--file", "predict.py", "--function", "predict")
    cramped.done(*publish)
    url, token = endpoint(cramped, "sums")
    with cramped.http() as client, Callers(url, token, {"parameters": [1, 2]}).calling() as callers:
        project_id = client.get("/v4/gateway/projects").json()[0]["id"]
        disk.fill()
        upload = put_blob(client, project_id, b"x" * 1_000_000)
        assert upload.status_code == 503
        assert "the disk is full" in upload.json()["error"]
        assert int(upload.headers["Retry-After"]) >= 1
        change = change_until_refused(client)
        assert change.status_code == 503
        assert int(change.headers["Retry-After"]) >= 1
        sent = callers.sent
        wait_for(lambda: callers.sent > sent + 200, what="calls go on")
        disk.free()
        wait_for(lambda: takes_a_change(client), 60, what="changes are taken again")
        (project / "predict.py").write_text(CHATTY.replace("x + y", "x + y + 1"))
        ran = cramped.cli(*publish, timeout_s=120)
        assert ran.code == 0, ran.err + ran.out
        assert put_blob(client, project_id, b"x" * 1_000_000).status_code == 204
    assert callers.failures == []
    assert cramped.done("predict", "sums", '{"parameters": [1, 2]}')["result"] == 4
    for program in PROGRAMS:
        cramped.process(program)


VERSIONS, DEPLOYED = 5, 3
MODELS = int(os.environ.get("MODELWAY_PUBLISHES_AT_ONCE", "80")) // VERSIONS  # 200 take a minute and a half


class Crowd:
    """Publishes through HTTP, as patient as the platform asks to be."""

    def __init__(self, platform: Platform, project_id: str) -> None:
        self._platform = platform
        self._project_id = project_id
        self.refused = 0  # 503, told when to come again
        self.models: dict[str, list[str]] = {}  # model -> its versions, in the order they were accepted

    def publish_model(self, client: httpx.Client, number: int) -> None:
        """A model, and its further versions one after the other."""
        name, key = f"crowd-{number}", secrets.token_hex(8)
        body = {"name": name, "description": "", "version": self._version(should_deploy=number < DEPLOYED)}
        model = self._accepted(client, f"{V1}/modelApis", body, key)
        versions = self.models[model["id"]] = [model["activeVersion"]["id"]]
        for count in range(1, VERSIONS):
            at = f"{V1}/modelApis/{model['id']}/versions"
            version = self._accepted(client, at, self._version(should_deploy=False), f"{key}-{count}")
            versions.append(version["id"])

    def _version(self, *, should_deploy: bool) -> dict[str, Any]:
        source = {"type": "File", "file": "predict.py", "function": "predict", "excludeFiles": []}
        return {"projectId": self._project_id, "source": source, "shouldDeploy": should_deploy}

    def _accepted(self, client: httpx.Client, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
        while True:
            answer = client.post(path, json=body, headers={"Idempotency-Key": key})
            if answer.status_code != 503:
                assert answer.status_code == 201, answer.text
                found: dict[str, Any] = answer.json()
                return found
            self.refused += 1
            time.sleep(int(answer.headers["Retry-After"]))


def test_many_publishes_at_once_all_end_built_in_order_and_nobody_has_to_help(
    cramped: Platform, tmp_path: Path
) -> None:
    project = write_project(tmp_path / "crowd", CHATTY)
    publish = ("publish", str(project), "--name", "crowd", "--file", "predict.py", "--function", "predict")
    cramped.done(*publish)  # the project, and a warm environment
    with cramped.http() as client:
        found = [each for each in client.get("/v4/gateway/projects").json() if each["name"] == "crowd"]
        crowd = Crowd(cramped, found[0]["id"])
        began = time.monotonic()
        with ThreadPoolExecutor(MODELS) as callers:
            for done in [callers.submit(crowd.publish_model, client, number) for number in range(MODELS)]:
                done.result()
        accepted_s = time.monotonic() - began
        wait_for(lambda: all_are_built(client, crowd), 150, what="all versions are built")
        built_s = time.monotonic() - began
        assert sum(len(versions) for versions in crowd.models.values()) == MODELS * VERSIONS
        for model_id, versions in crowd.models.items():
            listed = client.get(f"{V1}/modelApis/{model_id}/versions").json()
            assert [each["id"] for each in sorted(listed, key=lambda each: each["number"])] == versions
        memory = {name: peak_memory_mb(cramped.process(name).pid) for name in ("api", "builder", "deployer", "nats")}
    print(
        f"accepted in {accepted_s:.1f} s ({crowd.refused} told to wait), built in {built_s:.1f} s, {memory} MB at most"
    )
    assert max(memory.values()) < 300


def all_are_built(client: httpx.Client, crowd: Crowd) -> bool:
    unbuilt = 0
    for model_id in crowd.models:
        for each in client.get(f"{V1}/modelApis/{model_id}/versions").json():
            assert each["deployment"]["status"] != "Failed", each
            unbuilt += each["deployment"]["status"] in {"Preparing to build", "Building"}
    time.sleep(0.5)
    return not unbuilt


def peak_memory_mb(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) // 1024
