"""This file is the eight programs of the home: how each is started, with what, and how to ask if it is ready.

A program gets exactly the environment written here: what it needs, and the path of each secret it may read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.embedded import credentials, database
from services.embedded.home import Home
from services.embedded.interpreters import ModelInterpreter
from services.embedded.ports import LOOPBACK, SERVICES, Ports

NAMES = ("nats", "database", "haproxy", *SERVICES)
DEPLOYER = "local"
ADMINISTRATOR = "admin"
_LIMITS = ("SNAPSHOT_FILES", "SNAPSHOT_BYTES", "SNAPSHOT_FILE_BYTES")
_COLLECTION = ("COLLECT_EVERY_S", "COLLECT_GRACE_S")
_OF_THE_PERSON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_TO_REACH_REGISTRIES = ("UV_", "PIP_", "XDG_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Program:
    """One supervised program. Of two, the one with the lower `order` starts first and stops last."""

    name: str
    command: list[str]
    environment: dict[str, str]
    order: int
    stop_s: int


@dataclass(frozen=True)
class Parts:
    """What was found and prepared for the programs to use."""

    nats_server: Path
    database: Path
    haproxy: Path
    uv: Path
    interpreter: ModelInterpreter
    harness_wheel: Path


def all_programs(home: Home, ports: Ports, parts: Parts, environ: Mapping[str, str]) -> list[Program]:
    """The eight, in the order of `NAMES`."""
    base = {name: environ[name] for name in _OF_THE_PERSON if name in environ}
    servers = [
        _server("nats", [str(parts.nats_server), "-c", str(home / "config" / "nats.conf")], base),
        _server("database", _database_command(home, ports, parts), base),
        _server("haproxy", _haproxy_command(home, parts), base),
    ]
    own = _own_environments(home, ports, parts, environ)
    return [*servers, *(_service(name, home, ports, base, own[name]) for name in SERVICES)]


def service_environment(
    name: str, home: Home, ports: Ports, base: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """What the service `name` is configured with, and nothing else."""
    return {
        **base,
        "NATS_URL": f"nats://{LOOPBACK}:{ports.nats}",
        "NATS_USER": name,
        "NATS_PASSWORD_FILE": str(credentials.bus_password(home, name)),
        "SERVICE_ID": f"{name}-1",
        "LOG_LEVEL": "info",
        "HEALTH_HOST": LOOPBACK,
        "HEALTH_PORT": str(ports.health[name]),
        **own,
    }


def _server(name: str, command: list[str], environment: dict[str, str]) -> Program:
    return Program(name=name, command=command, environment=environment, order=10, stop_s=30)


def _service(name: str, home: Home, ports: Ports, base: Mapping[str, str], own: Mapping[str, str]) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-P", "-m", f"services.{name}"],
        environment=service_environment(name, home, ports, base, own),
        order=20,
        stop_s=20,
    )


def _database_command(home: Home, ports: Ports, parts: Parts) -> list[str]:
    return [
        *database.command(parts.database, home, port=ports.database, storage=home / "database"),
        "--auth",
    ]


def _haproxy_command(home: Home, parts: Parts) -> list[str]:
    socket = f"{haproxy_master_socket(home)},mode,600"
    return [str(parts.haproxy), "-W", "-db", "-S", socket, "-f", str(home / "haproxy" / "haproxy.cfg")]


def haproxy_master_socket(home: Home) -> Path:
    return home.private_sockets / "haproxy-master.sock"


def _own_environments(home: Home, ports: Ports, parts: Parts, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    blobs = {"BLOBS_URL": (home / "blobs").as_uri()}
    variables = {"VARIABLE_KEYS_FILE": str(credentials.variable_keys(home))}
    environments = {"ENVIRONMENTS_DIR": str(home / "environments")}
    collection = _chosen(_COLLECTION, environ)
    return {
        "api": {**blobs, **variables, **_api(home, ports), **_limits(environ), **collection},
        "builder": {**blobs, **environments, **_builder(home, parts), **_registries(environ), **collection},
        "deployer": {**blobs, **environments, **variables, **_deployer(home, parts), **collection},
        "router": router_environment(home, ports, parts.haproxy),
        "monitor": {},
    }


def _api(home: Home, ports: Ports) -> dict[str, str]:
    return {
        "HTTP_HOST": LOOPBACK,
        "HTTP_PORT": str(ports.api),
        "PUBLIC_URL": public_url(ports),
        "MONGODB_URL_FILE": str(database.url_file(home)),
        "DATABASE_NAME": database.NAME,
        "TOKEN_KEYS_FILE": str(credentials.token_keys(home)),
        "BOOTSTRAP_USER": ADMINISTRATOR,
        "BOOTSTRAP_API_KEY_FILE": str(credentials.api_key(home)),
        "DEPLOYER_ID": DEPLOYER,
    }


def _limits(environ: Mapping[str, str]) -> dict[str, str]:
    """How much a person may upload, as MODELWAY_SNAPSHOT_FILES and its like say."""
    return _chosen(_LIMITS, environ)


def _chosen(names: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """What `make up` is told as MODELWAY_<name>."""
    return {name: environ[f"MODELWAY_{name}"] for name in names if f"MODELWAY_{name}" in environ}


def _builder(home: Home, parts: Parts) -> dict[str, str]:
    return {
        "HARNESS_WHEEL": str(parts.harness_wheel),
        "UV_PATH": str(parts.uv),
        "MODEL_PYTHON": parts.interpreter.path,
        "BUILD_DIR": str(home / "builds"),
        "BUILD_CONCURRENCY": "1",
    }


def _deployer(home: Home, parts: Parts) -> dict[str, str]:
    return {
        "DEPLOYER_ID": DEPLOYER,
        "INSTANCES_DIR": str(home / "instances"),
        "VERSIONS_DIR": str(home / "versions"),
        "SOCKETS_DIR": str(home.sockets),
        "INSTANCE_UIDS": parts.interpreter.instance_uids,
    }


def router_environment(home: Home, ports: Ports, haproxy: Path) -> dict[str, str]:
    return {
        "HAPROXY_DIR": str(home / "haproxy"),
        "HAPROXY_MASTER_SOCKET": str(haproxy_master_socket(home)),
        "HAPROXY_STATS_SOCKET": str(home.private_sockets / "haproxy-stats.sock"),
        "HAPROXY_BINARY": str(haproxy),
        "PUBLIC_HOST": LOOPBACK,
        "PUBLIC_PORT": str(ports.public),
        "API_ADDRESS": f"{LOOPBACK}:{ports.api}",
    }


def public_url(ports: Ports) -> str:
    return f"http://{LOOPBACK}:{ports.public}"


def _registries(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.upper().startswith(_TO_REACH_REGISTRIES)}
