"""Models that misbehave, each contained, with a sentence that says so; callers of another model notice nothing."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from services.embedded.ports import free_port
from tests.e2e.platform import Callers, Platform, write_project
from tests.e2e.test_publish import SUM, endpoint
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

V1 = "/api/modelServing/v1"
ENDED = ("Running", "Failed", "Stalled", "Stopped")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="without root instances run as the platform's own user")


@pytest.fixture(scope="module")
def neighbour(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """URL and token of a model that does no harm, with two instances."""
    project = write_project(tmp_path_factory.mktemp("project") / "harmless", SUM)
    platform.done("publish", str(project), "--name", "harmless", "--file", "predict.py", "--function", "predict")
    return endpoint(platform, "harmless")


@pytest.fixture(autouse=True)
def _others_notice_nothing(neighbour: tuple[str, str]) -> Iterator[None]:
    with Callers(*neighbour, {"parameters": [1, 2]}).calling(1) as callers:
        yield
    assert callers.sent > 0
    assert callers.failures == []


@dataclass
class Published:
    """One model with one version of one instance."""

    http: httpx.Client
    id: str
    version: str

    @property
    def _at(self) -> str:
        return f"{V1}/modelApis/{self.id}"

    def deployment(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.http.get(f"{self._at}/versions/{self.version}").json()["deployment"]
        return shown

    def until(self, *statuses: str, within_s: float = 90) -> dict[str, Any]:
        """Running means that every router leads there by now."""

        def is_one() -> bool:
            shown = self.deployment()
            return shown["status"] in statuses and not (shown["status"] == "Running" and shown["isPending"])

        wait_for(is_one, within_s, what=f"it is one of {statuses}")
        return self.deployment()

    def call(self, *parameters: Any, timeout_s: float = 60) -> httpx.Response:
        token = self.http.get(f"{self._at}/accessTokens/{self._token_id}/secret").json()["token"]
        at = f"{self.http.base_url}/models/{self.id}/latest/model"
        return httpx.post(at, json={"parameters": list(parameters)}, auth=(token, token), timeout=timeout_s)

    @property
    def _token_id(self) -> str:
        return str(self.http.get(f"{self._at}/accessTokens").json()[0]["id"])

    def result(self, *parameters: Any) -> Any:
        answer = self.call(*parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def answers(self) -> bool:
        return self.call().status_code == 200

    def log(self, kind: str, **query: Any) -> list[str]:
        answer = self.http.get(f"{self._at}/versions/{self.version}/{kind}Logs", params=query)
        assert answer.status_code == 200, answer.text
        return [line["log"] for line in answer.json()["logs"]]

    def stop(self) -> None:
        self.http.put(f"{self._at}/versions/{self.version}/targetState", json={"isRunning": False})
        self.until("Stopped", within_s=30)


@dataclass
class Publisher:
    http: httpx.Client
    made: list[Published]

    def __call__(self, script: str, **settings: Any) -> Published:
        name = f"hostile-{time.time_ns()}"
        project = self._ok(self.http.post("/v4/projects", json={"name": name}))["id"]
        content = script.encode()
        digest = hashlib.sha256(content).hexdigest()
        files = [{"path": "predict.py", "sizeBytes": len(content), "sha256": digest}]
        self.http.put(f"{V1}/projects/{project}/blobs/{digest}", content=content).raise_for_status()
        self._ok(self.http.post(f"{V1}/projects/{project}/snapshots", json={"files": files}))
        body = {
            "name": name,
            "description": "",
            "environmentId": "",
            "environmentVariables": [],
            "isAsync": False,
            "strictNodeAntiAffinity": False,
            "replicas": 1,
            "requestTimeoutSeconds": 3,
            "healthCheck": {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 4},
            "version": {
                "projectId": project,
                "source": {"type": "File", "file": "predict.py", "function": "predict", "excludeFiles": []},
                "logHttpRequestResponse": False,
                "monitoringEnabled": False,
            },
            **settings,
        }
        model = self._ok(self.http.post(f"{V1}/modelApis", json=body))
        self.made.append(Published(self.http, model["id"], model["activeVersion"]["id"]))
        return self.made[-1]

    @staticmethod
    def _ok(answer: httpx.Response) -> Any:
        assert answer.status_code < 300, answer.text
        return answer.json()


@pytest.fixture
def publish(platform: Platform) -> Iterator[Publisher]:
    with platform.http() as http:
        publisher = Publisher(http, [])
        yield publisher
        for each in publisher.made:
            http.delete(f"{V1}/modelApis/{each.id}")
        for each in publisher.made:
            wait_for(lambda: not of_version(platform, each.version), 30, what="nothing of it runs")  # noqa: B023


def of_version(platform: Platform, version: str) -> list[psutil.Process]:
    """Every process that works for an instance of this version."""
    mark = f"/instances/{version[-8:]}-"
    found = []
    for each in psutil.process_iter():
        try:
            folder = each.environ().get("HOME", "")
            if mark in folder and str(platform.home) in folder:
                found.append(each)
        except psutil.Error:
            continue
    return found


LOOKS_AROUND = """
import glob, os, socket

HOME = {home!r}

def predict():
    read = {{}}
    for folder, folders, files in os.walk(HOME, onerror=lambda error: None):
        for name in files:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    read[path] = file.read(100_000).decode("latin-1")
            except OSError:
                pass
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                read[path] = file.read(100_000).decode("latin-1")
        except OSError:
            pass
    own = os.environ["HOME"]
    return {{
        "environment": dict(os.environ),
        "read": {{path: text for path, text in read.items() if not path.startswith(own)}},
        "uid": os.getuid(),
    }}
"""


@needs_root
def test_one_that_looks_for_secrets_finds_none(platform: Platform, publish: Publisher) -> None:
    model = publish(
        LOOKS_AROUND.format(home=str(platform.home)), environmentVariables=[{"key": "OWN", "value": "its own"}]
    )
    assert model.until(*ENDED)["status"] == "Running"
    seen = model.result()
    files = [path.read_text().split() for path in (platform.home / "secrets").iterdir()]
    secrets = [word for file in files for word in file if len(word) >= 16]
    assert seen["environment"]["OWN"] == "its own"
    texts = {"environment": str(seen["environment"]), **seen["read"]}
    assert not [path for path, text in texts.items() for secret in secrets if secret in text]
    private = ("secrets", "config", "nats", "database", "blobs", "logs", "haproxy", "locks", "builds", "s", "instances")
    for path in seen["read"]:
        assert not path.startswith(tuple(f"{platform.home}/{name}/" for name in private)), path
        assert not path.startswith(f"{platform.home}/versions/") or model.version in path, path
    assert seen["uid"] != 0


HOLDS_PORTS = """
import http.server, socket, threading

own = http.server.ThreadingHTTPServer(("127.0.0.1", {free}), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=own.serve_forever, daemon=True).start()

def predict():
    taken = []
    for port in {ports}:
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                thief.bind(("127.0.0.1", port))
                thief.listen()
                taken.append(port)
            except OSError:
                pass
    return taken
"""


@needs_root
def test_one_that_listens_itself_takes_no_port_of_the_platform(platform: Platform, publish: Publisher) -> None:
    ports = [int(platform.url.rpartition(":")[2]), platform.api_port]
    model = publish(HOLDS_PORTS.format(free=free_port(), ports=ports))
    assert model.until(*ENDED)["status"] == "Running"
    assert model.result() == []


FORKS = """
import os, subprocess, time

def child(hides):
    if os.fork() == 0:
        if hides:
            os.setsid()
            if os.fork() == 0:
                os.execve("/bin/sleep", [{name!r}, "1000"], {{}} if os.getuid() else dict(os.environ))
            os._exit(0)
        while True:
            time.sleep(1)

for _ in range(10):
    child(False)
    child(True)

def predict():
    return "ok"
"""


def test_one_that_forks_children_takes_them_along_when_it_ends(platform: Platform, publish: Publisher) -> None:
    name = f"hides-{os.getpid()}"
    model = publish(FORKS.format(name=name))
    assert model.until(*ENDED)["status"] == "Running"
    assert model.result() == "ok"
    assert len(_named(name)) == 10
    model.stop()
    wait_for(lambda: not _named(name) and not of_version(platform, model.version), 20, what="its children are gone")


def _named(name: str) -> list[int]:
    found = []
    for each in psutil.process_iter():
        try:
            if each.cmdline()[:1] == [name]:
                found.append(each.pid)
        except psutil.Error:
            continue
    return found


FORK_BOMB = """
import os, time

def predict():
    made = 0
    try:
        while made < 20_000:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            made += 1
    except OSError as error:
        return [made, str(error)]
    return [made, ""]
"""


@needs_root
def test_a_fork_bomb_stops_at_a_limit_or_at_its_memory(platform: Platform, publish: Publisher) -> None:
    model = publish(FORK_BOMB, requestTimeoutSeconds=30, healthCheck={"periodSeconds": 10})
    model.until("Running")
    uid = of_version(platform, model.version)[0].uids().real
    counts: list[int] = []
    calling = threading.Thread(target=model.call)
    calling.start()
    while calling.is_alive():
        counts.append(_processes_of(uid))
        calling.join(0.2)
    assert 50 < max(counts) <= 4096
    model.stop()
    wait_for(lambda: not of_version(platform, model.version), 60, what="all of them are gone")


def _processes_of(uid: int) -> int:
    count = 0
    for entry in os.listdir("/proc"):
        try:
            count += entry.isdecimal() and os.stat(f"/proc/{entry}").st_uid == uid
        except OSError:
            continue
    return count


FLOODS = """
import sys, threading

def flood():
    while True:
        sys.stdout.write("flood " * 1000 + "\\n")

for _ in range(2):
    threading.Thread(target=flood, daemon=True).start()

def predict():
    return "ok"
"""

QUIET = "def predict(word):\n    print('said', word)\n    return word\n"


def test_one_that_floods_its_log_keeps_within_bounds_and_others_are_heard(
    platform: Platform, publish: Publisher
) -> None:
    quiet = publish(QUIET)
    quiet.until("Running")
    flooding = publish(FLOODS)
    flooding.until(*ENDED)
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        word = f"word-{time.time_ns()}"
        assert quiet.result(word) == word
        wait_for(lambda: f"said {word}" in quiet.log("instance", tail=50), 20, what="the quiet one is heard")  # noqa: B023
    (folder,) = (platform.home / "instances").glob(f"{flooding.version[-8:]}-*")
    used = sum(path.stat().st_blocks * 512 for path in folder.glob("*.log"))
    assert used < 300 << 20, used
    assert any("bytes of stdout are missing here" in line for line in flooding.log("instance", tail=10_000))


ENDS = {
    "import sys\nsys.exit(7)": "predict.py",
    "import os\nos._exit(0)": "status 0",
    "import os\nos.kill(os.getpid(), 9)": "signal 9",
    "import os\nos.kill(os.getppid(), 9)": "SIGKILL",
    "raise RuntimeError('x' * 100_000)": "RuntimeError",
    "raise RuntimeError('\\udcff' * 1000)": "RuntimeError",
    "x = []\nwhile True:\n    x.append(b'x' * 10_000_000)": "memory",
}


def test_those_that_end_while_they_are_imported_have_failed_and_say_why_in_one_sentence(publish: Publisher) -> None:
    made = [(publish(f"{script}\ndef predict():\n    pass\n", memoryBytes=128 << 20), ENDS[script]) for script in ENDS]
    for model, reason in made:
        deployment = model.until("Failed", within_s=120)
        assert reason in deployment["reason"]
        assert "\n" not in deployment["reason"]
        assert len(deployment["reason"]) < 1000


def test_one_that_is_never_done_importing_is_stalled_and_says_so(publish: Publisher) -> None:
    model = publish("while True:\n    pass\ndef predict():\n    pass\n", startDeadlineSeconds=3)
    deployment = model.until("Stalled", "Failed", "Running")
    assert deployment["status"] == "Stalled"
    assert deployment["reason"].startswith("not ready after 3 s")
    model.stop()


MISBEHAVES = """
import os, signal, sys, threading

def predict(how):
    if how == "exit":
        os._exit(0)
    if how == "kill":
        os.kill(os.getppid(), 9)
    if how == "raise":
        raise SystemExit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "silence":
        sys.stdout = sys.stderr = None
    if how == "close":
        os.close(1)
        os.close(2)
    if how == "print":
        sys.stdout = open("/dev/full", "w")
    if how == "deaf":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            threading.main_thread() is threading.current_thread() and signal.signal(number, signal.SIG_IGN)
    if how == "files":
        kept = globals().setdefault("kept", [])
        try:
            while True:
                kept.append(open("/dev/null"))
        except OSError as error:
            return len(kept)
    if how == "sockets":
        import json, glob
        config = json.load(open(os.path.join(os.path.dirname(os.environ["HOME"]), "instance.json")))
        for path in config["sockets"]:
            os.unlink(path)
    if how == "memory":
        kept = [b"x" * 10_000_000 for _ in range(100)]
        import time
        time.sleep(2.5)
    if how == "loop":
        while True:
            pass
    print("answered", how)
    return "ok"
"""

TOLD = {
    "memory": "used more than its 256 MiB of memory",
    "sockets": "exited: worker 0 takes no connections",
}


@pytest.mark.parametrize(
    "how",
    ["exit", "kill", "raise", "interrupt", "silence", "print", "deaf", "files", "sockets", "memory", "loop"],
)
def test_one_that_misbehaves_in_a_call_answers_again_and_ends_when_it_is_told(publish: Publisher, how: str) -> None:
    model = publish(MISBEHAVES, memoryBytes=256 << 20)
    model.until("Running")
    assert model.result("nothing") == "ok"
    answer = model.call(how)
    assert answer.status_code in (200, 500, 502, 503, 504), (how, answer.status_code, answer.text)
    assert answer.headers["Content-Type"].startswith("application/json")

    def is_well() -> bool:
        return model.call("nothing").status_code == 200

    wait_for(is_well, 60, what=f"it answers again after {how}")
    assert model.until("Running")["status"] == "Running"
    # The replacement may answer before the one it replaces has ended, and its end is told then.
    if (told := TOLD.get(how)) is not None:
        wait_for(lambda: told in " ".join(model.log("deployment")), 60, what=f"the deployment log says that it {told}")
    model.stop()


def test_one_that_closes_its_output_harms_its_own_callers_only(publish: Publisher) -> None:
    """What it prints from then on may go where the next connection is."""
    model = publish(MISBEHAVES)
    model.until("Running")
    for how in ("close", "nothing", "nothing", "nothing"):
        assert model.call(how).status_code in (200, 400, 500, 502, 503, 504)
    model.stop()


WRITES = """
import os

def predict():
    with open(os.path.join(os.environ["HOME"], "large"), "wb") as file:
        for _ in range(300):
            file.write(b"x" * 1_000_000)
    return os.environ["HOME"]
"""


def test_what_one_writes_in_its_folder_goes_with_it(publish: Publisher) -> None:
    model = publish(WRITES)
    model.until("Running")
    home = Path(model.result())
    assert home.joinpath("large").stat().st_size == 300_000_000
    model.stop()
    wait_for(lambda: not home.exists(), 30, what="its folder is gone")


def test_many_that_fail_over_and_over_at_once_leave_the_others_alone(platform: Platform, publish: Publisher) -> None:
    bad = "import os, time\ntime.sleep(0.2)\nos._exit(1)\ndef predict():\n    pass\n"
    made: list[Published] = []
    threads = [threading.Thread(target=lambda: made.append(publish(bad, replicas=3))) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for model in made:
        model.until("Failed", within_s=120)
    with platform.http() as http:
        assert all(service["isAlive"] for service in http.get(f"{V1}/platform").json()["services"])
