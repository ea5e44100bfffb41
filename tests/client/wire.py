"""This file is the HTTP around the stand-in: a server in a thread that can lose answers and go away."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, Any]
FaultKind = Literal["503", "lost-request", "lost-answer"]


class Raw(bytes):
    """A body that is not JSON."""


class Refusal(Exception):
    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body


@dataclass(kw_only=True)
class Asked:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Fault:
    """The next `times` requests with this method and a path that matches go wrong."""

    method: str
    pattern: str
    kind: FaultKind
    times: int = 1

    def hits(self, asked: Asked) -> bool:
        if self.times < 1 or self.method != asked.method or not re.search(self.pattern, asked.path):
            return False
        self.times -= 1
        return True


@dataclass
class Wire:
    """Serves `answer` on a free port, which is kept over `go_away` and `come_back`."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    port: int = 0
    _lock: Lock = field(default_factory=Lock)
    _server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def come_back(self) -> None:
        self._server = _Server(self, self.port)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def go_away(self) -> None:
        """Nothing listens any more, and open connections break."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.break_connections()
        self._server = None

    def count(self, method: str, pattern: str) -> int:
        return sum(each.method == method and bool(re.search(pattern, each.path)) for each in self.asked)

    def serve(self, asked: Asked) -> Answer | None:
        """The answer, None for a connection that breaks without one. One request at a time."""
        with self._lock:
            self.asked.append(asked)
            kind = next((fault.kind for fault in self.faults if fault.hits(asked)), None)
            if kind == "503":
                return 503, {"error": "starting"}
            if kind == "lost-request":
                return None
            try:
                answer = self.answer(asked)
            except Refusal as refusal:
                answer = refusal.status, refusal.body
            return None if kind == "lost-answer" else answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, wire: Wire, port: int) -> None:
        self.wire = wire
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def break_connections(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by the other side meanwhile

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for the client to acknowledge its headers
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(method=self.command, url=self.path, headers=dict(self.headers), body=body)
        asked.headers = {name.title(): value for name, value in asked.headers.items()}
        answer = self.server.wire.serve(asked)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, value = answer
        content = b"" if value is None else value if isinstance(value, Raw) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """The test's output stays clean."""
