"""This file starts homes for the tests: each in a short folder of its own, on ports that were free."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest

from services.embedded import locks
from services.embedded.home import Home, open_home
from services.embedded.ports import Ports, free_port
from services.embedded.programs import NAMES, Program
from services.embedded.progress import Progress
from services.embedded.ready import Check, checks
from services.embedded.supervisor import LOCK, ProgramState, Supervisor
from services.embedded.up import prepare
from tests.parts import wait_for

FRONT = """
defaults
    mode http
    timeout client 5s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 403
"""


def all_locks(root: Path) -> list[Path]:
    return [root / "locks" / f"{name}.lock" for name in (*NAMES, LOCK)]


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A home's place with a short path, for its sockets' sake. Nothing that runs from it outlives the test."""
    made = Path(tempfile.mkdtemp(prefix="mw", dir="/tmp"))
    try:
        yield made / "home"
        if (made / "home" / "locks").is_dir():
            locks.end_holders(all_locks(made / "home"), grace_s=10)
    finally:
        shutil.rmtree(made)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as root:
        yield root


@dataclass
class Servers:
    """NATS, the database and HAProxy under the home's own supervisor, without the five services."""

    home: Home
    ports: Ports
    programs: list[Program] = field(default_factory=list)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.home)

    @property
    def names(self) -> list[str]:
        return [program.name for program in self.programs]

    @property
    def checks(self) -> Mapping[str, Check]:
        return checks(self.home, self.ports)

    def start(self) -> None:
        environ = {**os.environ, "MODELWAY_PORT": str(self.ports.public), "MODELWAY_API_PORT": str(self.ports.api)}
        self.ports, programs = prepare(self.home, environ, Progress())
        self.programs = [program for program in programs if program.name in {"nats", "database", "haproxy"}]
        self.supervisor.start(self.programs)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        for name in self.names:
            wait_for(partial(self._answers, name), 30, what=f"{name} is ready")

    def _answers(self, name: str) -> bool:
        return self.checks[name]() is None

    def state(self, name: str) -> ProgramState:
        return next(state for state in self.supervisor.states() if state.name == name)

    def holders(self, name: str) -> list[psutil.Process]:
        return locks.holders([self.home.lock(name)])

    def kill_supervisor(self) -> None:
        [supervisor] = self.holders(LOCK)
        supervisor.send_signal(signal.SIGKILL)
        wait_for(lambda: not self.supervisor.is_running, what="the supervisor is gone")


@pytest.fixture(scope="module")
def home_with_servers() -> Iterator[Servers]:
    with short_folder() as root:
        home = open_home(root)
        ports = Ports(public=free_port(), api=free_port(), nats=0, database=0, health={})
        (home / "haproxy" / "haproxy.cfg").write_text(FRONT.format(port=ports.public))
        servers = Servers(home, ports)
        yield servers
        servers.supervisor.stop(within_s=40)


@pytest.fixture
def servers(home_with_servers: Servers) -> Servers:
    """Ready, whatever the test before did to them."""
    if not home_with_servers.supervisor.is_running:
        home_with_servers.start()
    home_with_servers.wait_until_ready()
    return home_with_servers
