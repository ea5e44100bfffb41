"""This file is one instance of the harness with nothing around it: a project, one worker, its socket."""

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


class InstanceAlone:
    """It runs, and `started_s` is how long it took until it was healthy."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], began: float) -> None:
        self.address = str(folder / "w.sock")
        self._process = process
        while not _is_healthy(self.address):
            if process.poll() is not None or time.perf_counter() > began + READY_S:
                raise RuntimeError("the instance did not start")
            time.sleep(0.002)
        self.started_s = time.perf_counter() - began

    @property
    def worker(self) -> psutil.Process:
        (worker,) = psutil.Process(self._process.pid).children()
        return worker


@contextlib.contextmanager
def instance_alone(script: str, source: Path | None = None) -> Iterator[InstanceAlone]:
    """An instance of `script`, whose function is `predict`; of the harness in the folder `source`, or the one here."""
    with tempfile.TemporaryDirectory(prefix="mw-bench-") as name:
        folder = Path(name)
        config = _written(folder, script)
        environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
        began = time.perf_counter()
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "modelway_harness", "--instance", _INSTANCE, "--config", str(config)]
            process = subprocess.Popen(command, cwd=folder / "p", env=environment, stdout=log, stderr=log)
        try:
            yield InstanceAlone(folder, process, began)
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
