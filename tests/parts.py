"""This file starts the real parts a test needs: NATS, the database; and waits for what should become true.

Every part has its own folder and a free port, and ends with its test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from services.kit.config import BusConfig, Secret

START_S = 20.0


async def wait_until(condition: Callable[[], bool], deadline_s: float = 10.0, *, what: str = "") -> None:
    """Return once `condition()` is true; fails the test when `deadline_s` seconds pass before."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what or condition}"
        await asyncio.sleep(0.02)


async def wait_until_async(
    condition: Callable[[], Awaitable[bool]], deadline_s: float = 10.0, *, what: str = ""
) -> None:
    """Like `wait_until`, for a condition that has to be awaited."""
    end = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what or condition}"
        await asyncio.sleep(0.02)


def wait_for(condition: Callable[[], bool], deadline_s: float = START_S, *, what: str = "") -> None:
    """Like `wait_until`, outside of an event loop."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what or condition}"
        time.sleep(0.02)


def free_port() -> int:
    """A port nobody listens on now, for a server that cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_program(name: str) -> str | None:
    """The program beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


class Process:
    """A program of which the test knows how to start it again after it was killed."""

    def __init__(self, command: list[str], folder: Path, log: Path) -> None:
        self.command = command
        self._folder = folder
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)
        if number is signal.SIGSTOP:
            wait_for(self._is_stopped, what="every thread has stopped")

    def _is_stopped(self) -> bool:
        stats = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] in "TZ" for stat in stats)

    def kill(self) -> None:
        """`kill -9`, and gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not heard within a few seconds."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()


class NatsServer(Process):
    """nats-server with JetStream. The port is chosen free at the first start and kept."""

    def __init__(self, folder: Path, users: list[dict[str, object]] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__([], folder, folder / "nats.log")
        self.folder = folder
        self.port = 0
        self._users = users

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    def config(self, user: str = "test", password: str = "") -> BusConfig:
        return BusConfig(nats_url=self.url, nats_user=user, nats_password=Secret(password))

    def start(self) -> None:
        """Returns once it takes connections."""
        program = find_program("nats-server")
        assert program is not None, "nats-server is not installed"
        (self.folder / "nats.conf").write_text(json.dumps(self._settings()))
        self.command = [program, "-c", "nats.conf"]
        super().start()
        wait_for(self._is_up, what="nats-server is up")

    def restart(self) -> None:
        self.kill()
        self.start()

    def forget_everything(self) -> None:
        """Kill it, delete its storage and start it again."""
        self.kill()
        shutil.rmtree(self.storage)
        self.start()

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port or -1,
            "ports_file_dir": str(self.folder),
            "jetstream": {"store_dir": str(self.storage), "max_memory_store": 1 << 28, "max_file_store": 4 << 30},
        }
        if self._users is not None:
            settings["authorization"] = {"users": self._users}
        return settings

    def _is_up(self) -> bool:
        assert self.is_running, f"nats-server ended: {self.output}"
        found = self.folder / f"nats-server_{self.pid}.ports"
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            self.port = int(json.loads(found.read_text())["nats"][0].rpartition(":")[2])
            return "Server is ready" in self.output
        return False


class Database(Process):
    """SecantusDB, reached through the MongoDB wire protocol, without authentication."""

    def __init__(self, folder: Path, *, cache: str = "64M") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__([], folder, folder / "database.log")
        self.folder = folder
        self.port = 0
        self._cache = cache

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def start(self) -> None:
        """Returns once it takes connections."""
        program = find_program("secantusd-py")
        assert program is not None, "secantusd-py is not installed"
        storage = str(self.folder / "storage")
        config = self.folder / "secantusd.toml"  # else it would look for one in the home directory
        config.touch()
        self.command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(self.port)]
        self.command += ["--storage-path", storage, "--cache-size", self._cache, "--sync-on-commit"]
        super().start()
        wait_for(self._is_up, what="the database is up")

    def _is_up(self) -> bool:
        assert self.is_running, f"the database ended: {self.output}"
        listening = [c.laddr.port for c in psutil.Process(self.pid).net_connections("tcp") if c.status == "LISTEN"]
        if listening:
            self.port = listening[0]
        return bool(listening)


@contextlib.contextmanager
def running(part: NatsServer | Database) -> Iterator[None]:
    """`part` runs inside, and is gone afterwards."""
    try:
        part.start()
        yield
    finally:
        part.stop()
