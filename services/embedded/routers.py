"""This file is the routers of the home: one, or more, each with an HAProxy, a folder, sockets and a port of its own.

All of them lead to the same models. The first is `router` with `haproxy`, the second `router-2` with `haproxy-2` …
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.embedded.home import Home
from services.embedded.ports import LOOPBACK, Ports

FIRST = "router"


@dataclass(frozen=True)
class Place:
    """One router and the HAProxy that it looks after."""

    router: str  # the program's name
    port: int  # callers come here
    home: Home

    @property
    def haproxy(self) -> str:
        """The name of the program, and of the folder that the router writes."""
        return self.router.replace(FIRST, "haproxy", 1)

    @property
    def folder(self) -> Path:
        return self.home / self.haproxy

    @property
    def sockets(self) -> Path:
        """Only the owner gets in."""
        own = self.home.private_sockets
        return own if self.router == FIRST else own / self.router.rpartition("-")[2]

    @property
    def master_socket(self) -> Path:
        return self.sockets / "haproxy-master.sock"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


def places(home: Home, ports: Ports) -> tuple[Place, ...]:
    """Every router of the home, the first one first."""
    everyone = {FIRST: ports.public, **ports.further}
    return tuple(Place(router=name, port=port, home=home) for name, port in everyone.items())
