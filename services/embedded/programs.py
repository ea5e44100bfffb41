"""This file is the programs of the home: eight, two more for each further router, one for each further api.

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
from services.embedded.routers import Place, places

NAMES = ("nats", "database", "haproxy", *SERVICES)  # what every home has
DEPLOYER = "local"
ADMINISTRATOR = "admin"
_LIMITS = ("SNAPSHOT_FILES", "SNAPSHOT_BYTES", "SNAPSHOT_FILE_BYTES")
_COLLECTION = ("COLLECT_EVERY_S", "COLLECT_GRACE_S")
_RATES = ("REQUESTS_PER_SECOND", "REQUESTS_BURST", "SESSION_LASTS_S")
_OPENID_CONNECT = (  # the secret only by its file: the supervisor writes down what it starts programs with
    "OIDC_ISSUER",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET_FILE",
    "OIDC_NAME",
    "OIDC_SCOPES",
    "OIDC_CREATES_PEOPLE",
    "OIDC_ADMINISTRATORS_GROUP",
)
_SCALING = ("SCALE_UP_AFTER_S", "SCALE_DOWN_AFTER_S")
_OF_THE_PERSON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_TO_REACH_REGISTRIES = ("UV_", "PIP_", "R_REPOSITORY", "R_INSTALL_UID", "XDG_", "SSL_CERT_", *_PROXIES)


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
    r_harness: Path


def all_programs(home: Home, ports: Ports, parts: Parts, environ: Mapping[str, str]) -> list[Program]:
    """All of them, in the order of `names`."""
    base = {name: environ[name] for name in _OF_THE_PERSON if name in environ}
    servers = [
        _server("nats", [str(parts.nats_server), "-c", str(home / "config" / "nats.conf")], base),
        _server("database", _database_command(home, ports, parts), base),
        *(_server(place.haproxy, _haproxy_command(place, parts), base) for place in places(home, ports)),
    ]
    own = _own_environments(home, ports, parts, environ)
    services = [_service(name, home, ports, base, its_own) for name, its_own in own.items()]
    found = {program.name: program for program in (*servers, *services)}
    return [found[name] for name in names(home, ports)]


def names(home: Home, ports: Ports | None) -> tuple[str, ...]:
    """What runs in this home, servers first."""
    further = places(home, ports)[1:] if ports else ()
    servers = [name for name in NAMES if name not in SERVICES]
    apis = ports.apis if ports else ()
    return (*servers, *(each.haproxy for each in further), *SERVICES, *apis, *(each.router for each in further))


def service_environment(
    name: str, home: Home, ports: Ports, base: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """What the service `name` is configured with, and nothing else."""
    kind = kind_of(name)
    return {
        **base,
        "NATS_URL": f"nats://{LOOPBACK}:{ports.nats}",
        "NATS_USER": kind,
        "NATS_PASSWORD_FILE": str(credentials.bus_password(home, kind)),
        "SERVICE_ID": f"{name}-1" if name == kind else name,
        "LOG_LEVEL": "info",
        "HEALTH_HOST": LOOPBACK,
        "HEALTH_PORT": str(ports.health[name]),
        **own,
    }


def kind_of(name: str) -> str:
    """Which service the program `name` is one of."""
    return name.partition("-")[0]


def _server(name: str, command: list[str], environment: dict[str, str]) -> Program:
    return Program(name=name, command=command, environment=environment, order=10, stop_s=30)


def _service(name: str, home: Home, ports: Ports, base: Mapping[str, str], own: Mapping[str, str]) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-P", "-m", f"services.{kind_of(name)}"],
        environment=service_environment(name, home, ports, base, own),
        order=20,
        stop_s=20,
    )


def _database_command(home: Home, ports: Ports, parts: Parts) -> list[str]:
    return [
        *database.command(parts.database, home, port=ports.database, storage=home / "database"),
        "--auth",
    ]


def _haproxy_command(place: Place, parts: Parts) -> list[str]:
    socket = f"{place.master_socket},mode,600"
    return [str(parts.haproxy), "-W", "-db", "-S", socket, "-f", str(place.folder / "haproxy.cfg")]


def _own_environments(home: Home, ports: Ports, parts: Parts, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    blobs = {"BLOBS_URL": (home / "blobs").as_uri()}
    variables = {"VARIABLE_KEYS_FILE": str(credentials.variable_keys(home))}
    environments = {"ENVIRONMENTS_DIR": str(home / "environments")}
    collection = _chosen(_COLLECTION, environ)
    api = {**blobs, **variables, **_api(home, ports), **_limits(environ), **collection}
    return {
        "api": api,
        **{name: {**api, "HTTP_PORT": str(port)} for name, port in ports.apis.items()},
        "builder": {**blobs, **environments, **_builder(home, parts), **_registries(environ), **collection},
        "deployer": {**blobs, **environments, **variables, **_deployer(home, parts), **collection},
        **{place.router: router_environment(place, ports, parts.haproxy) for place in places(home, ports)},
        "monitor": {},
    }


def _api(home: Home, ports: Ports) -> dict[str, str]:
    return {
        "HTTP_HOST": LOOPBACK,
        "HTTP_PORT": str(ports.api),
        "PUBLIC_URL": public_url(ports),
        "MONGODB_URL_FILE": str(database.url_file(home)),
        "DATABASE_NAME": database.NAME,
        "STORAGE_PATH": str(home.root),
        "TOKEN_KEYS_FILE": str(credentials.token_keys(home)),
        "BOOTSTRAP_USER": ADMINISTRATOR,
        "BOOTSTRAP_API_KEY_FILE": str(credentials.api_key(home)),
        "BOOTSTRAP_PASSWORD_FILE": str(credentials.administrator_password(home)),
        "DEPLOYER_ID": DEPLOYER,
    }


def _limits(environ: Mapping[str, str]) -> dict[str, str]:
    """How much a person may upload, as MODELWAY_SNAPSHOT_FILES and its like say, how soon busy models scale, how often
    one may ask, and who else vouches for people."""
    return _chosen((*_LIMITS, *_SCALING, *_RATES, *_OPENID_CONNECT), environ)


def _chosen(names: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """What `make up` is told as MODELWAY_<name>."""
    return {name: environ[f"MODELWAY_{name}"] for name in names if f"MODELWAY_{name}" in environ}


def _builder(home: Home, parts: Parts) -> dict[str, str]:
    return {
        "HARNESS_WHEEL": str(parts.harness_wheel),
        "R_HARNESS": str(parts.r_harness),
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


def router_environment(place: Place, ports: Ports, haproxy: Path) -> dict[str, str]:
    return {
        "HAPROXY_DIR": str(place.folder),
        "HAPROXY_MASTER_SOCKET": str(place.master_socket),
        "HAPROXY_BINARY": str(haproxy),
        "PUBLIC_HOST": LOOPBACK,
        "PUBLIC_PORT": str(place.port),
        "API_ADDRESS": ",".join(f"{LOOPBACK}:{port}" for port in (ports.api, *ports.apis.values())),
    }


def public_url(ports: Ports) -> str:
    return f"http://{LOOPBACK}:{ports.public}"


def _registries(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.upper().startswith(_TO_REACH_REGISTRIES)}
