"""This file is the ports of one home: two that people know, the others chosen free once and then kept.

They are kept in `config/ports.json`. Chosen ports lie below the range that the kernel gives to outgoing
connections, so that none of those is in the way after a restart. MODELWAY_ROUTERS says how many routers there are:
each after the first has a port of its own for callers, chosen too. MODELWAY_APIS says how many apis.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable, Mapping

import msgspec

from services.embedded.home import Home, write_whole
from services.embedded.trouble import Trouble

PUBLIC = 8080
API = 8000
LOOPBACK = "127.0.0.1"
SERVICES = ("api", "builder", "deployer", "router", "monitor")
WITH_HEALTH = (*SERVICES, "nats")
MAX_ROUTERS = 9
MAX_APIS = 4
_RANGE = range(20000, 32000)


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Every port that a program of this home listens on, all on the loopback address."""

    public: int
    api: int
    nats: int
    database: int
    health: dict[str, int]  # program -> port of its /healthz
    further: dict[str, int] = {}  # router after the first -> its public port
    apis: dict[str, int] = {}  # api after the first -> its HTTP port


def kept_ports(home: Home) -> Ports | None:
    """What was chosen at an earlier start; None before the first one."""
    path = home / "config" / "ports.json"
    return msgspec.json.decode(path.read_bytes(), type=Ports) if path.exists() else None


def settle_ports(home: Home, environ: Mapping[str, str], *, may_bind: Callable[[int], bool]) -> Ports:
    """The ports to start with, written down: wanted, else kept, else chosen. Raises Trouble if one is busy.

    A port that nobody outside of this home knows is chosen anew when another program has taken it meanwhile.
    """
    kept = kept_ports(home)
    further, apis = _further_routers(kept, environ), _further_apis(kept, environ)
    taken: set[int] = set()
    ports = Ports(
        public=_known("MODELWAY_PORT", environ, kept.public if kept else PUBLIC, taken, may_bind),
        api=_known("MODELWAY_API_PORT", environ, kept.api if kept else API, taken, may_bind),
        nats=_chosen(kept.nats if kept else 0, taken, may_bind),
        database=_chosen(kept.database if kept else 0, taken, may_bind),
        health=_all_chosen((*WITH_HEALTH, *further, *apis), kept.health if kept else {}, taken, may_bind),
        further=_all_chosen(further, kept.further if kept else {}, taken, may_bind),
        apis=_all_chosen(apis, kept.apis if kept else {}, taken, may_bind),
    )
    write_whole(home / "config" / "ports.json", msgspec.json.encode(ports).decode())
    return ports


def wanted_elsewhere(kept: Ports, environ: Mapping[str, str]) -> str | None:
    """The variable that asks for something else than what is in use; None when there is none."""
    used = {"MODELWAY_PORT": kept.public, "MODELWAY_API_PORT": kept.api}
    used |= {"MODELWAY_ROUTERS": 1 + len(kept.further), "MODELWAY_APIS": 1 + len(kept.apis)}
    return next((name for name, value in used.items() if environ.get(name, str(value)) != str(value)), None)


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


def _further_routers(kept: Ports | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Their names. More may come, never fewer: what a router has said stays on the bus, and drains wait for it."""
    least = 1 + len(kept.further) if kept else 1
    text = environ.get("MODELWAY_ROUTERS") or str(least)
    if not text.isdecimal() or not least <= int(text) <= MAX_ROUTERS:
        raise Trouble(f"MODELWAY_ROUTERS must be a number between {least} and {MAX_ROUTERS} here, got {text!r}.")
    return tuple(f"router-{number}" for number in range(2, int(text) + 1))


def _further_apis(kept: Ports | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Their names."""
    text = environ.get("MODELWAY_APIS") or str(1 + len(kept.apis) if kept else 1)
    if not text.isdecimal() or not 1 <= int(text) <= MAX_APIS:
        raise Trouble(f"MODELWAY_APIS must be a number between 1 and {MAX_APIS}, got {text!r}.")
    return tuple(f"api-{number}" for number in range(2, int(text) + 1))


def _all_chosen(
    names: Iterable[str], kept: Mapping[str, int], taken: set[int], may_bind: Callable[[int], bool]
) -> dict[str, int]:
    return {name: _chosen(kept.get(name, 0), taken, may_bind) for name in names}


def _chosen(kept: int, taken: set[int], may_bind: Callable[[int], bool]) -> int:
    if kept and kept not in taken and may_bind(kept):
        taken.add(kept)
        return kept
    for port in secrets.SystemRandom().sample(_RANGE, k=len(_RANGE)):
        if port not in taken and may_bind(port):
            taken.add(port)
            return port
    raise Trouble(f"No port between {_RANGE.start} and {_RANGE.stop} is free on this machine.")
