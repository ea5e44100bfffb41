"""This file is the supervisor of the home: supervisord, its configuration, and what we ask it over its socket.

It runs in a session of its own, so that closing the terminal ends nothing, and restarts for ever whatever dies.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.embedded import locks
from services.embedded.home import Home, write_whole
from services.embedded.ports import SERVICES
from services.embedded.programs import Program, kind_of
from services.embedded.trouble import Trouble

LOCK = "supervisor"
_ANSWER_S = 10.0
_START_S = 20.0
_END_S = 40.0  # more than any program is given

_HEAD = """\
[supervisord]
nodaemon=false
directory=%(here)s
logfile={logs}/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={config}/supervisord.pid
childlogdir={logs}
umask=022
minfds=1024

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[rpcinterface:revival]
supervisor.rpcinterface_factory=services.embedded.revival:make_revival
root={root}
"""

# startretries: the default gives up after three deaths, and a database may be away for longer than that.
_PROGRAM = """
[program:{name}]
command={wrapper}
priority={order}
autostart=true
autorestart=true
startsecs=1
startretries=1000000
stopsignal=TERM
stopwaitsecs={stop_s}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
stdout_events_enabled=true
"""


class ProgramState(msgspec.Struct, frozen=True, kw_only=True):
    """A program as the supervisor sees it."""

    name: str
    statename: str  # RUNNING, STARTING, BACKOFF, STOPPED …
    pid: int
    start: int  # seconds since 1970; 0 if it never ran
    spawnerr: str = ""


@dataclass(frozen=True)
class Supervisor:
    """The supervisor of `home`, which may or may not run."""

    home: Home

    @property
    def is_running(self) -> bool:
        return locks.is_held(self.home.lock(LOCK))

    def start(self, programs: Sequence[Program]) -> None:
        """Write what it needs, start it in the background, and return once it answers. Raises Trouble."""
        configuration = self._write(programs)
        lock = locks.take(self.home.lock(LOCK))
        if lock is None:
            raise Trouble("Modelway is being started by another command: wait for that one.")
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                pass_fds=(lock,),
                timeout=_START_S,
                env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
                check=False,
            )
        finally:
            os.close(lock)
        if done.returncode != 0:
            raise Trouble(f"The supervisor did not start: {done.stderr.strip()}")
        self._wait_for_answer()

    def states(self) -> list[ProgramState]:
        """Every program, as it is now. Raises Trouble when the supervisor does not answer."""
        with self._asking() as proxy:
            return msgspec.convert(proxy.supervisor.getAllProcessInfo(), list[ProgramState])

    def stop(self, *, within_s: float) -> None:
        """Stop every program and the supervisor itself; kills the supervisor if that takes longer."""
        if not self.is_running:
            return
        with contextlib.suppress(Trouble), self._asking() as proxy:
            for name in self._services():  # at once; `shutdown` alone goes from one to the next
                proxy.supervisor.stopProcess(name, False)
        with contextlib.suppress(Trouble), self._asking() as proxy:
            proxy.supervisor.shutdown()
        lock = self.home.lock(LOCK)
        if not locks.are_free([lock], within_s=within_s):
            locks.end_holders([lock], grace_s=_ANSWER_S)

    def restart(self, name: str) -> None:
        """End one program as it likes to end, and start it again. Raises Trouble."""
        with self._asking() as proxy:
            proxy.supervisor.stopProcess(name, False)
        deadline = time.monotonic() + _END_S
        while any(state.name == name and state.pid for state in self.states()):
            if time.monotonic() > deadline:
                raise Trouble(f"{name} does not end.")
            time.sleep(0.05)
        with self._asking() as proxy:
            proxy.supervisor.startProcess(name, False)

    def _services(self) -> list[str]:
        return [state.name for state in self.states() if kind_of(state.name) in SERVICES]

    def _write(self, programs: Sequence[Program]) -> Path:
        folder = self.home / "config"
        paths = {"logs": self.home / "logs", "config": folder, "socket": self._socket, "root": self.home.root}
        parts = [_HEAD.format(**{name: _escaped(path) for name, path in paths.items()})]
        for program in programs:
            specification = folder / f"{program.name}.json"
            write_whole(specification, msgspec.json.encode(self._specification(program)).decode())
            wrapper = shlex.join([sys.executable, "-P", "-m", "services.embedded.locked", str(specification)])
            parts.append(
                _PROGRAM.format(
                    name=program.name,
                    wrapper=_escaped(wrapper),
                    order=program.order,
                    stop_s=program.stop_s,
                    log=_escaped(self.home.log(program.name)),
                )
            )
        path = folder / "supervisord.conf"
        write_whole(path, "".join(parts))
        return path

    def _specification(self, program: Program) -> dict[str, object]:
        return {
            "command": program.command,
            "environment": program.environment,
            "folder": str(self.home.root),
            "lock": str(self.home.lock(program.name)),
        }

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.states()
            except Trouble:
                if time.monotonic() > deadline or not self.is_running:
                    raise
                time.sleep(0.05)
            else:
                return

    @property
    def _socket(self) -> Path:
        return self.home.private_sockets / "supervisor.sock"

    @contextlib.contextmanager
    def _asking(self) -> Iterator[xmlrpc.client.ServerProxy]:
        transport = _Transport(self._socket)
        try:
            with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as proxy:
                yield proxy
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise Trouble(f"The supervisor does not answer: {error}") from error


def _escaped(value: object) -> str:
    """supervisord expands what stands after a percent sign."""
    return str(value).replace("%", "%%")


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, never longer than `_ANSWER_S` without a sign of life."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        made = _Connection(self._path)
        self._connection = host, made  # what `close` closes
        return made


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connecting.settimeout(_ANSWER_S)
        try:
            connecting.connect(str(self._path))
        except OSError:
            connecting.close()
            raise
        self.sock = connecting
