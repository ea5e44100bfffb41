"""This file is the api service with the bus and a database, and nobody else: what it can do by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
from cryptography.fernet import Fernet

from benchmarks.exchange import request_bytes
from benchmarks.load import Lane
from benchmarks.stage import until
from services.api.store import database as store
from tests.parts import Database, NatsServer, free_port, running

T = TypeVar("T")

KEY = "k" * 64
NAME = "modelway"
_STOP_S = 15
_LONG_S = 120.0  # for one call of a database that is being filled


class ApiAlone:
    """Parts on free ports in `folder`. Fill the database while api is down: `fill`, then `serving`."""

    def __init__(self, folder: Path, *, cache: str = "64M") -> None:
        self._folder = folder
        self.bus = NatsServer(folder / "nats")
        self._database = Database(folder / "database", cache=cache)
        self._api: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{free_port()}"

    @contextlib.contextmanager
    def parts(self) -> Iterator[None]:
        """Bus and database run inside."""
        with running(self.bus), running(self._database):
            yield

    def with_database(self, work: Callable[[store.Database], Awaitable[T]]) -> T:
        """What `work` makes of the database, whose schema is there."""
        return asyncio.run(_connected(self._database.url, work))

    def fill(self, work: Callable[[store.Database], Awaitable[T]]) -> T:
        """The same, while no part runs yet: the database has more memory for it, which much writing needs."""
        alone = Database(self._folder / "database", cache="2G")
        with running(alone):
            return asyncio.run(_connected(alone.url, work))

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Api runs inside, and is ready."""
        with (self._folder / "api.log").open("ab") as log:
            command = [sys.executable, "-m", "services.api"]
            self._api = api = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log)
        try:
            until(lambda: self._is_ready(api), "api is ready", every_s=0.1)
            yield
        finally:
            api.terminate()
            try:
                api.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                api.kill()
                api.wait(_STOP_S)

    def cpu_s(self) -> dict[str, float]:
        """CPU time that each part has used so far: others at work on this machine hardly change that."""
        pids = {"database": self._database.pid, "bus": self.bus.pid}
        if self._api is not None:
            pids["api"] = self._api.pid
        times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
        return {name: used.user + used.system for name, used in times.items()}

    def get(self, name: str, path: str, key: str = KEY) -> Lane:
        """Reading `path`; by default as the administrator."""
        return Lane(name=name, address=self.address, request=request_bytes("GET", path, {"X-Domino-Api-Key": key}))

    def _is_ready(self, api: subprocess.Popen[bytes]) -> bool:
        if api.poll() is not None:
            raise RuntimeError(f"api ended: {(self._folder / 'api.log').read_text(encoding='utf-8')[-2000:]}")
        try:
            return httpx.get(f"http://{self.address}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _environment(self) -> dict[str, str]:
        host, _, port = self.address.rpartition(":")
        return {
            "PATH": os.environ["PATH"],
            "NATS_URL": self.bus.url,
            "NATS_USER": "api",
            "NATS_PASSWORD_FILE": self._secret("bus", "unused"),
            "LOG_LEVEL": "warning",
            "HEALTH_HOST": host,
            "HEALTH_PORT": str(free_port()),
            "HTTP_HOST": host,
            "HTTP_PORT": port,
            "PUBLIC_URL": f"http://{self.address}",
            "MONGODB_URL_FILE": self._secret("database", self._database.url),
            "DATABASE_NAME": NAME,
            "TOKEN_KEYS_FILE": self._secret("token-keys", Fernet.generate_key().decode()),
            "VARIABLE_KEYS_FILE": self._secret("variable-keys", Fernet.generate_key().decode()),
            "BOOTSTRAP_API_KEY_FILE": self._secret("key", KEY),
            "BLOBS_URL": (self._folder / "blobs").as_uri(),
            "REQUESTS_PER_SECOND": "0",  # what is measured is not to be held back
        }

    def _secret(self, name: str, text: str) -> str:
        path = self._folder / f"{name}.secret"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return str(path)


async def _connected(url: str, work: Callable[[store.Database], Awaitable[T]]) -> T:
    client = store.connect(url, deadline_s=_LONG_S)
    try:
        await store.prepare(client[NAME])
        return await work(client[NAME])
    finally:
        client.close()
