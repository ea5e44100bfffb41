"""This file is `up`: from whatever is there to a platform that answers. Doing it twice changes nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from services.embedded import credentials, example, locks, ready
from services.embedded.database import prepare_database
from services.embedded.home import Home, open_home, write_whole
from services.embedded.interpreters import ModelInterpreter, pick_interpreter
from services.embedded.nats import write_nats_configuration
from services.embedded.parts import REPOSITORY, build_harness, find, find_haproxy
from services.embedded.ports import Ports, can_bind, kept_ports, settle_ports, wanted_elsewhere
from services.embedded.programs import (
    Parts,
    Program,
    all_programs,
    names,
    public_url,
    router_environment,
    service_environment,
)
from services.embedded.progress import Progress
from services.embedded.routers import Place, places
from services.embedded.supervisor import Supervisor
from services.embedded.trouble import Trouble

_READY_S = 120.0
_ORPHAN_S = 15.0
_INITIAL_S = 60.0


def up(root: Path, environ: Mapping[str, str], progress: Progress, *, with_example: bool = True) -> None:
    """Start what does not run, wait until all of it is ready, and show how to use it. Raises Trouble."""
    home = open_home(root)
    with only_command(home, progress):
        supervisor = Supervisor(home)
        ports = _running_ports(home, environ) if supervisor.is_running else None
        if ports is None:
            ports, programs = prepare(home, environ, progress)
            progress.step("Starting the bus, the database, HAProxy and the five services")
            supervisor.start(programs)
        else:
            progress.step("Modelway runs already")
        ready.wait_until_ready(
            ready.checks(home, ports),
            within_s=_READY_S,
            is_supervised=lambda: supervisor.is_running,
            on_ready=lambda name: progress.step(f"{name} is ready"),
            log_of=home.log,
        )
        _write_client_configuration(home, ports)
        shown = example.publish_and_call(home, progress) if with_example else None
    example.say_how_to_go_on(home, " and ".join(place.url for place in places(home, ports)), shown, progress)
    if warning := _interpreter(home).warning:
        progress.say(f"\nNote: {warning}")


@contextlib.contextmanager
def only_command(home: Home, progress: Progress, *, patience_s: float = 900.0) -> Iterator[None]:
    """Hold the home for one `up` or `down` at a time."""
    lock = home.lock("command")
    deadline = time.monotonic() + patience_s
    descriptor = locks.take(lock)
    if descriptor is None:
        progress.step("Another command works on this home: waiting for it")
    while descriptor is None:
        if time.monotonic() > deadline:
            raise Trouble("Another command still works on this home: look what it waits for.")
        time.sleep(0.1)
        descriptor = locks.take(lock)
    try:
        yield
    finally:
        os.close(descriptor)


def program_locks(home: Home) -> list[Path]:
    return [home.lock(name) for name in names(home, kept_ports(home))]


def _running_ports(home: Home, environ: Mapping[str, str]) -> Ports | None:
    kept = kept_ports(home)
    if kept is not None and (name := wanted_elsewhere(kept, environ)):
        raise Trouble(f"Modelway runs already, and not as {name} asks for: make down first.")
    return kept


def prepare(home: Home, environ: Mapping[str, str], progress: Progress) -> tuple[Ports, list[Program]]:
    """Everything that the programs need before the supervisor can start them. Raises Trouble."""
    if ended := locks.end_holders(program_locks(home), grace_s=_ORPHAN_S):
        progress.step(f"Ended {ended} processes that a dead supervisor left behind")
    ports = settle_ports(home, environ, may_bind=can_bind)
    progress.step(f"Preparing {home.root}")
    parts = _find_parts(home)
    write_nats_configuration(home, port=ports.nats, status_port=ports.health["nats"])
    if not (home / "database").exists():
        progress.step("Setting up the database")
    prepare_database(parts.database, home, port=ports.database)
    for place in places(home, ports):
        _write_first_haproxy_configuration(place, ports, parts.haproxy, environ)
    return ports, all_programs(home, ports, parts, environ)


def _find_parts(home: Home) -> Parts:
    uv = find("uv")
    interpreter = pick_interpreter(home, uv, is_root=os.getuid() == 0)
    write_whole(home / "config" / "interpreter.json", msgspec.json.encode(interpreter).decode())
    return Parts(
        nats_server=find("nats-server"),
        database=find("secantusd-py"),
        haproxy=find_haproxy(),
        uv=uv,
        interpreter=interpreter,
        harness_wheel=build_harness(home, uv, REPOSITORY / "harness" / "python"),
        r_harness=REPOSITORY / "harness" / "r",
    )


def _write_first_haproxy_configuration(place: Place, ports: Ports, haproxy: Path, environ: Mapping[str, str]) -> None:
    """HAProxy starts on the last good file; before there is one, the router writes one that knows no model."""
    place.home.make_private(place.folder)
    place.home.make_private(place.sockets)
    if (place.folder / "haproxy.cfg").exists():
        return
    base = {name: environ[name] for name in ("PATH", "HOME", "LANG") if name in environ}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services.router", "--initial"],
        env=service_environment(place.router, place.home, ports, base, router_environment(place, ports, haproxy)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_INITIAL_S,
        check=False,
    )
    if done.returncode != 0:
        raise Trouble(f"HAProxy's first configuration could not be written: {done.stderr.strip()}")


def _write_client_configuration(home: Home, ports: Ports) -> None:
    """What the command line finds in `cli.toml`: the address and the administrator's key."""
    key = credentials.read(credentials.api_key(home))
    text = f'url = "{public_url(ports)}"\napi_key = "{key}"\n'
    path = home / "cli.toml"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)


def _interpreter(home: Home) -> ModelInterpreter:
    return msgspec.json.decode((home / "config" / "interpreter.json").read_bytes(), type=ModelInterpreter)
