"""A worker's serving inside the test's own process: the thread of the calls, the relief, a real socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from modelway_harness.app import create_app
from modelway_harness.calls import Calls
from modelway_harness.config import Instance
from modelway_harness.endpoint import Endpoint
from modelway_harness.inference.dialect import Inference
from modelway_harness.reception import Reception
from modelway_harness.relief import Relief
from modelway_harness.serving import Serving
from modelway_harness.worker import listen

WITHIN_S = 20.0
INSTANCE = Instance(
    instance_id="i-1",
    version_id="0123456789abcdef01234567",
    version_number=3,
    model_id="m",
    file="predict.py",
    function="predict",
    project_dir=Path("/p"),
    sockets=(Path("/s/w0.sock"),),
    exit_file=Path("/s/exit.json"),
    request_timeout_s=20.0,
    max_body_bytes=1000,
)


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status_code: int
    headers: Message
    data: bytes

    def json(self) -> Any:
        return json.loads(self.data)


class Served:
    """One function behind a socket, until `stop`. Remembers in `asked` what was asked of the process around it."""

    def __init__(self, folder: Path, function: Callable[..., object], instance: Instance = INSTANCE) -> None:
        self.path = folder / "w.sock"
        self.asked: list[str] = []
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)
        self._calls = calls = Calls("predict")
        calls.load(lambda: function).result(WITHIN_S)
        endpoint = Endpoint(instance, 0)
        self.reception = Reception(
            listen(self.path), endpoint, create_app(endpoint, function), (Inference(instance, function),)
        )
        self.serving = Serving(self.reception, endpoint, calls, self)
        self._served = calls.give_thread(self.serving.serve)
        self._relief = threading.Thread(target=self._relieve, daemon=True)
        self._relief.start()

    def wake_relief(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake, b"!")

    def end(self) -> None:
        self.asked.append("end")

    def end_child(self) -> None:
        os._exit(1)

    def stop(self) -> None:
        """Stop, and wait until it has ended."""
        self.serving.stop()
        self._served.result(WITHIN_S)
        self._relief.join(WITHIN_S)
        self._calls.close()
        self.serving.close()
        for end in (self._woken, self._wake):
            os.close(end)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        with closing(self.connection()) as connection:
            return asked(connection, method, path, body, headers)

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is kept."""
        return connect(self.path)

    def bytes(self, *pieces: bytes) -> bytes:
        """All that comes back for some bytes, up to the end of the connection."""
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(WITHIN_S)
            raw.connect(str(self.path))
            for piece in pieces:
                raw.sendall(piece)
            raw.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: raw.recv(65536), b""))

    def _relieve(self) -> None:
        relief = Relief(self.serving, self._woken)
        while not self._served.done():
            relief.turn()


def connect(path: Path) -> http.client.HTTPConnection:
    """A connection to a worker, kept as long as both sides like."""
    return _Connection(path)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("worker", timeout=WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WITHIN_S)
        self.sock.connect(str(self._path))


def asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request on `connection`."""
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    return Reply(response.status, response.headers, response.read())
