"""This file runs api as a process of its own, as often as a test asks for it, on real parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
from cryptography.fernet import Fernet

from tests.parts import Database, NatsServer, Process, free_port, wait_for

KEY = "k" * 64
_ROOT = Path(__file__).parents[3]
_TOKEN_KEYS, _VARIABLE_KEYS = Fernet.generate_key().decode(), Fernet.generate_key().decode()


class ApiProcess(Process):
    """`python -m services.api`. Of those with the same parts and `blobs`, each does what the others do."""

    def __init__(self, name: str, folder: Path, database: Database, bus: NatsServer, *, database_name: str) -> None:
        super().__init__([sys.executable, "-m", "services.api"], folder, folder / f"{name}.log")
        self.name = name
        self.url = f"http://127.0.0.1:{free_port()}"
        self._parts = (folder, database, bus, database_name)

    def start(self, *, is_ready: bool = True) -> None:
        """Returns once it is ready, if that is to be waited for."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=_ROOT, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if is_ready:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.status("/readyz") == 200, 30, what=f"{self.name} is ready")

    def status(self, path: str) -> int:
        """0: nobody answers."""
        assert self.is_running, f"{self.name} ended: {self.output[-2000:]}"
        try:
            return httpx.get(f"{self.url}{path}", timeout=10).status_code
        except httpx.HTTPError:
            return 0

    def _environment(self) -> dict[str, str]:
        folder, database, bus, name = self._parts
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        own = {
            "NATS_URL": bus.url,
            "NATS_USER": "api",
            "NATS_PASSWORD": "unused",
            "SERVICE_ID": self.name,
            "HEALTH_HOST": host,
            "HEALTH_PORT": str(free_port()),
            "HTTP_HOST": host,
            "HTTP_PORT": port,
            "PUBLIC_URL": "http://models.example",
            "MONGODB_URL": database.url,
            "DATABASE_NAME": name,
            "TOKEN_KEYS": _TOKEN_KEYS,
            "VARIABLE_KEYS": _VARIABLE_KEYS,
            "BOOTSTRAP_API_KEY": KEY,
            "BLOBS_URL": (folder / "blobs").as_uri(),
            "REQUESTS_PER_SECOND": "0",
        }
        return {"PATH": os.environ["PATH"], **own}
