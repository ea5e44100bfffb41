"""This file is one instance with nothing around it, of the harness or of gunicorn: one worker, its socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.storm import HEALTH

READY_S = 30.0
END_S = 10.0
_INSTANCE = "bench-1-a1b2"
_APPLICATION = """\
def answer(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


class InstanceAlone:
    """It runs: a process with one worker. `started_s` is how long it took until it was healthy."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], began: float) -> None:
        self.address = address
        self.supervisor = psutil.Process(process.pid)
        while not _is_healthy(self.address):
            if process.poll() is not None or time.perf_counter() > began + READY_S:
                raise RuntimeError("the instance did not start")
            time.sleep(0.002)
        self.started_s = time.perf_counter() - began

    @property
    def worker(self) -> psutil.Process:
        (worker,) = self.supervisor.children()
        return worker

    @property
    def memory_bytes(self) -> int:
        """Of supervisor and worker together; what the worker has from the supervisor's fork counts once."""
        return int(self.worker.memory_info().rss + self.supervisor.memory_full_info().uss)


@contextlib.contextmanager
def instance_alone(script: str, source: Path | None = None) -> Iterator[InstanceAlone]:
    """An instance of `script`, whose function is `predict`; of the harness in the folder `source`, or the one here."""
    with tempfile.TemporaryDirectory(prefix="mw-bench-") as name:
        folder = Path(name)
        config = _written(folder, script)
        environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
        command = [sys.executable, "-m", "modelway_harness", "--instance", _INSTANCE, "--config", str(config)]
        with _running(command, folder / "p", environment, folder / "w.sock") as instance:
            yield instance


@contextlib.contextmanager
def gunicorn_alone() -> Iterator[InstanceAlone]:
    """One worker of gunicorn as it comes, of an application that answers everything with 200."""
    with tempfile.TemporaryDirectory(prefix="mw-bench-") as name:
        folder = Path(name)
        (folder / "app.py").write_text(_APPLICATION)
        address = folder / "w.sock"
        options = ["--no-control-socket", "--workers", "1", "--bind", f"unix:{address}", "app:answer"]
        with _running([sys.executable, "-m", "gunicorn", *options], folder, dict(os.environ), address) as instance:
            yield instance


@contextlib.contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str], address: Path) -> Iterator[InstanceAlone]:
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield InstanceAlone(str(address), process, began)
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _written(folder: Path, script: str) -> Path:
    (folder / "p").mkdir()
    (folder / "p" / "predict.py").write_text(script)
    return write_config(folder, folder / "p" / "predict.py", "predict", folder / "w.sock", _INSTANCE)


def write_config(folder: Path, file: Path, function: str, socket_path: Path, instance_id: str) -> Path:
    """What the harness is told of an instance, in `folder`; the project is where `file` is."""
    config = folder / "instance.json"
    settings = {
        "instance_id": instance_id,
        "version_id": "0" * 24,
        "version_number": 1,
        "model_id": "bench",
        "file": file.name,
        "function": function,
        "project_dir": str(file.parent),
        "sockets": [str(socket_path)],
        "exit_file": str(folder / "exit.json"),
        "request_timeout_s": 60.0,
        "grace_s": 5.0,
    }
    config.write_text(json.dumps(settings))
    return config


def _is_healthy(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
        caller.settimeout(1.0)
        caller.connect(address)
        caller.sendall(HEALTH)
        return b" 200 " in caller.recv(4096)
    return False
