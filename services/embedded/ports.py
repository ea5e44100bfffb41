"""This file is the ports of one home: two that people know, the others chosen free once and then kept.

They are kept in `config/ports.json`. Chosen ports lie below the range that the kernel gives to outgoing
connections, so that none of those is in the way after a restart.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping

import msgspec

from services.embedded.home import Home, write_whole
from services.embedded.trouble import Trouble

PUBLIC = 8080
API = 8000
LOOPBACK = "127.0.0.1"
SERVICES = ("api", "builder", "deployer", "router", "monitor")
WITH_HEALTH = (*SERVICES, "nats")
_RANGE = range(20000, 32000)


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Every port that a program of this home listens on, all on the loopback address."""

    public: int
    api: int
    nats: int
    database: int
    health: dict[str, int]  # service, or NATS -> port of its /healthz


def kept_ports(home: Home) -> Ports | None:
    """What was chosen at an earlier start; None before the first one."""
    path = home / "config" / "ports.json"
    return msgspec.json.decode(path.read_bytes(), type=Ports) if path.exists() else None


def settle_ports(home: Home, environ: Mapping[str, str], *, may_bind: Callable[[int], bool]) -> Ports:
    """The ports to start with, written down: wanted, else kept, else chosen. Raises Trouble if one is busy.

    A port that nobody outside of this home knows is chosen anew when another program has taken it meanwhile.
    """
    kept = kept_ports(home)
    taken: set[int] = set()
    ports = Ports(
        public=_known("MODELWAY_PORT", environ, kept.public if kept else PUBLIC, taken, may_bind),
        api=_known("MODELWAY_API_PORT", environ, kept.api if kept else API, taken, may_bind),
        nats=_chosen(kept.nats if kept else 0, taken, may_bind),
        database=_chosen(kept.database if kept else 0, taken, may_bind),
        health={name: _chosen(kept.health.get(name, 0) if kept else 0, taken, may_bind) for name in WITH_HEALTH},
    )
    write_whole(home / "config" / "ports.json", msgspec.json.encode(ports).decode())
    return ports


def wanted_elsewhere(kept: Ports, environ: Mapping[str, str]) -> str | None:
    """The variable that asks for another port than the one in use; None when there is none."""
    asked = {"MODELWAY_PORT": kept.public, "MODELWAY_API_PORT": kept.api}
    return next((name for name, port in asked.items() if environ.get(name, str(port)) != str(port)), None)


def can_bind(port: int) -> bool:
    """True if a program started now could listen on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now, for a program that needs it only once."""
    return _chosen(0, set(), can_bind)


def _known(
    name: str, environ: Mapping[str, str], default: int, taken: set[int], may_bind: Callable[[int], bool]
) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Trouble(f"{name} must be a port between 1 and 65535, got {text!r}.")
    port = int(text)
    if port in taken or not may_bind(port):
        raise Trouble(
            f"Port {port} is in use by another program: stop that program, or choose another port, "
            f"as in: make up {name}={port + 1}"
        )
    taken.add(port)
    return port


def _chosen(kept: int, taken: set[int], may_bind: Callable[[int], bool]) -> int:
    if kept and kept not in taken and may_bind(kept):
        taken.add(kept)
        return kept
    for port in secrets.SystemRandom().sample(_RANGE, k=len(_RANGE)):
        if port not in taken and may_bind(port):
            taken.add(port)
            return port
    raise Trouble(f"No port between {_RANGE.start} and {_RANGE.stop} is free on this machine.")
