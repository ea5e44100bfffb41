"""Real instances for tests: a project in a short folder, the harness as a process, its sockets, its logs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

import httpx

INSTANCE = "cdef0123-1-a1b2"
VERSION = "0123456789abcdef01234567"
WITHIN_S = 20.0
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # none is spoken; a client that makes its own takes 20 ms for it


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with `what` was waited for when it does not come about."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {WITHIN_S:g} s for {what}"
        time.sleep(0.01)


class Running:
    """One instance of the harness, in a folder of its own."""

    program: tuple[str, ...] = (sys.executable, "-m", "modelway_harness")
    file = "predict.py"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "p"
        self.exit_file = folder / "exit.json"
        self.config = folder / "instance.json"
        self.sockets: list[Path] = []
        self._files: list[IO[bytes]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, script: str, *, file: str | None = None) -> None:
        """Put a script into the project."""
        path = self.project / (file or self.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)

    def start(self, *, workers: int = 1, as_instance: str = INSTANCE, **settings: object) -> None:
        """Start the harness on what is in the project, as the platform does."""
        self.sockets = [self.folder / f"w{index}.sock" for index in range(workers)]
        told: dict[str, object] = {
            "instance_id": INSTANCE,
            "version_id": VERSION,
            "version_number": 3,
            "model_id": "89abcdef0123456789abcdef",
            "file": self.file,
            "function": "predict",
            "project_dir": str(self.project),
            "sockets": [str(path) for path in self.sockets],
            "exit_file": str(self.exit_file),
            "request_timeout_s": 20.0,
            "grace_s": 10.0,
            "added_later": True,
        }
        self.config.write_text(json.dumps(told | settings))
        scratch = self.folder / "tmp"  # of what is killed here nobody else clears it up
        scratch.mkdir(exist_ok=True)
        self._files = [(self.folder / name).open("ab") for name in ("stdout", "stderr")]
        self._process = subprocess.Popen(
            [*self.program, "--instance", as_instance, "--config", str(self.config)],
            cwd=self.project,
            env={**os.environ, "HOME": str(self.folder / "home"), "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[1],
            start_new_session=True,
        )

    def ready(self, *, workers: int = 1, **settings: object) -> Running:
        """Start, and wait until every worker is healthy."""
        self.start(workers=workers, as_instance=INSTANCE, **settings)
        for worker in range(workers):
            until(lambda worker=worker: self.is_healthy(worker), f"worker {worker} to be healthy")  # type: ignore[misc]
        return self

    def is_healthy(self, worker: int = 0) -> bool:
        with closing(_UnixConnection(self.sockets[worker])) as connection:
            try:
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def is_healthy_within(self, patience_s: float) -> bool:
        """The same, of who waits no longer."""
        with closing(_UnixConnection(self.sockets[0], patience_s)) as connection:
            try:
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def get(self, path: str, *, worker: int = 0) -> httpx.Response:
        with self.client(worker) as client:
            return client.get(path)

    def call(self, *, worker: int = 0, headers: dict[str, str] | None = None, **data: object) -> httpx.Response:
        """Call the function with named arguments."""
        with self.client(worker) as client:
            return client.post("/model", json={"data": data}, headers=headers)

    def asked(self, *, worker: int = 0, **data: object) -> tuple[int, Any] | None:
        """Status and result of a call; None when nobody is there, or the connection ends without an answer."""
        with closing(_UnixConnection(self.sockets[worker])) as connection:
            try:
                connection.request("POST", "/model", json.dumps({"data": data}), {"Content-Type": "application/json"})
                response = connection.getresponse()
                return response.status, json.loads(response.read()).get("result")
            except (OSError, http.client.HTTPException):
                return None

    def worker_ids(self) -> set[int]:
        """Process ids of the workers that live."""
        return live_children(self.pid)

    def holds_socket(self, worker: int = 0) -> int:
        """Process id of the worker behind a socket, told by the function `pid` of the script."""
        result = self.call(worker=worker).json()["result"]
        assert isinstance(result, int)
        return result

    def says(self, name: str = "stderr") -> str:
        return (self.folder / name).read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ended_with(self) -> int:
        """Wait for the end of the parent process; its exit status."""
        assert self._process is not None
        return self._process.wait(WITHIN_S)

    def clean(self) -> None:
        """End whatever is left of it."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # the whole session: a test that failed may leave workers
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(WITHIN_S)
        for file in self._files:
            file.close()

    def client(self, worker: int = 0, **settings: Any) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.sockets[worker]), verify=_TLS)
        return httpx.Client(transport=transport, base_url="http://worker", timeout=WITHIN_S, **settings)


class _UnixConnection(http.client.HTTPConnection):
    """A connection that is closed also when it was refused, which httpx's is not."""

    def __init__(self, path: Path, patience_s: float = WITHIN_S) -> None:
        super().__init__("worker", timeout=patience_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet reaped does not."""
    return Path(f"/proc/{pid}").exists() and not _is_zombie(pid)


def live_children(pid: int) -> set[int]:
    """Process ids of the children of a process that live."""
    return {child for child in _children(pid) if not _is_zombie(child)}


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
