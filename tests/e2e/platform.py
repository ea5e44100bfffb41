"""This file runs a whole platform for tests: on free ports, in a home of its own, ended with nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from services.embedded.home import open_home
from services.embedded.ports import free_port, kept_ports
from services.embedded.routers import places
from tests.e2e.processes import PROGRAMS, command_of, is_instance, is_program, leaders
from tests.parts import wait_for

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Platform:
    """A platform as its users have it: `make up`, `make down`, the command line and HTTP."""

    def __init__(self, home: Path, *, routers: int = 1, apis: int = 1) -> None:
        self.home = home
        self.routers = routers
        self.apis = apis
        self.url = f"http://127.0.0.1:{free_port()}"
        self.api_port = free_port()

    @property
    def r_repository(self) -> Path:
        """Where R packages come from: nothing is there until a test puts it there."""
        return self.home / "r-packages"

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "MODELWAY_HOME": str(self.home),
            "MODELWAY_PORT": self.url.rpartition(":")[2],
            "MODELWAY_API_PORT": str(self.api_port),
            "MODELWAY_CONFIG": str(self.home / "cli.toml"),
            "MODELWAY_ROUTERS": str(self.routers),
            "MODELWAY_APIS": str(self.apis),
            "R_REPOSITORY": f"file://{self.r_repository}",
        }
        return {**os.environ, **own}

    @property
    def programs(self) -> tuple[str, ...]:
        """All of them, those of further routers and apis too."""
        further = [f"{kind}-{number}" for number in range(2, self.routers + 1) for kind in ("haproxy", "router")]
        return (*PROGRAMS, *further, *(f"api-{number}" for number in range(2, self.apis + 1)))

    @property
    def urls(self) -> list[str]:
        """Of each router, once it is up."""
        ports = kept_ports(open_home(self.home))
        assert ports is not None
        return [place.url for place in places(open_home(self.home), ports)]

    def embedded(self, *arguments: str, timeout_s: float = 300) -> Ran:
        return self._run([sys.executable, "-m", "services.embedded", *arguments], timeout_s)

    def up(self, *arguments: str) -> Ran:
        ran = self.embedded("up", *(arguments or ("--no-example",)))
        assert ran.code == 0, ran.err + ran.out
        return ran

    def down(self) -> None:
        ran = self.embedded("down")
        assert ran.code == 0, ran.err + ran.out

    def cli(self, *arguments: str, timeout_s: float = 300) -> Ran:
        """The command line, as installed beside this interpreter."""
        return self._run([str(Path(sys.executable).with_name("modelway")), *arguments], timeout_s)

    def done(self, *arguments: str) -> Any:
        """What a command that succeeds says with `--json`."""
        ran = self.cli(*arguments, "--json")
        assert ran.code == 0, ran.err + ran.out
        return ran.json

    def http(self) -> httpx.Client:
        key = self.done("config", "show")["api_key"]
        return httpx.Client(base_url=self.url, headers={"X-Domino-Api-Key": key}, timeout=30)

    def process(self, program: str) -> psutil.Process:
        """The one process of a program of this home; for HAProxy its master."""
        found = self.find(program)
        assert found is not None, f"{program} does not run"
        return found

    def find(self, program: str) -> psutil.Process | None:
        """Like `process`; None while there is none."""
        found = leaders([each for each in self.processes() if is_program(each, program)])
        assert len(found) <= 1, f"{program}: {[command_of(each) for each in found]}"
        return found[0] if found else None

    def kill(self, program: str) -> None:
        """`kill -9`; returns once the supervisor has started it again."""
        old = self.process(program)
        old.kill()

        def is_new() -> bool:
            found = [each for each in self.processes() if is_program(each, program)]
            return len(found) == 1 and found[0].pid != old.pid

        wait_for(is_new, 30, what=f"{program} is started again")

    def instances(self) -> list[psutil.Process]:
        """The leading process of every instance that runs."""
        return [each for each in self.processes() if is_instance(each)]

    def haproxy_workers(self) -> dict[str, set[int]]:
        """The process ids of the workers of each HAProxy, old ones that drain included."""
        names = [name for name in self.programs if name.startswith("haproxy")]
        masters = {name: self.find(name) for name in names}  # none for a moment when it is loaded anew
        return {name: {each.pid for each in master.children()} if master else set() for name, master in masters.items()}

    def has_reloaded_since(self, before: dict[str, set[int]]) -> bool:
        """Whether each HAProxy has a worker that was not there `before`."""
        now = self.haproxy_workers()
        return all(now[name] - workers for name, workers in before.items())

    def left_behind(self) -> list[psutil.Process]:
        return [each for each in self.processes() if each.pid != os.getpid()]

    def processes(self) -> list[psutil.Process]:
        """Every process of this home, commands that work on it included."""
        home = str(self.home)
        found = []
        for each in psutil.process_iter():
            try:
                belongs = any(home in word for word in each.cmdline()) or each.environ().get("MODELWAY_HOME") == home
                belongs = belongs or any(home in value for value in each.environ().values())
                belongs = belongs and each.status() != psutil.STATUS_ZOMBIE and each.pid != os.getpid()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if belongs:
                found.append(each)
        return found

    def _run(self, command: list[str], timeout_s: float) -> Ran:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def platform(*, routers: int = 1, apis: int = 1, is_up: bool = True) -> Iterator[Platform]:
    """A platform that is up inside, if it is to be, and of which nothing runs afterwards."""
    home = Path(tempfile.mkdtemp(prefix="mw-"))
    home.chmod(0o711)
    running = Platform(home, routers=routers, apis=apis)
    try:
        if is_up:
            running.up()
        yield running
    finally:
        running.embedded("down")
        left = running.left_behind()
        for each in left:
            each.kill()
        shutil.rmtree(home, ignore_errors=True)
        assert not left, [each.cmdline() for each in left]


def write_project(folder: Path, script: str, name: str = "predict.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(script)
    return folder


@dataclass(frozen=True)
class FailedCall:
    """A call that was not answered 200, in seconds of the monotonic clock."""

    began_at: float
    ended_at: float
    what: str


@dataclass
class Callers:
    """Calls one endpoint all the time from threads of its own, with connections kept open, and counts."""

    url: str
    token: str
    body: dict[str, Any]
    sent: int = 0
    longest_s: float = 0.0
    failed: list[FailedCall] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def failures(self) -> list[str]:
        return [each.what for each in self.failed]

    @contextmanager
    def calling(self, threads: int = 2) -> Iterator[Callers]:
        workers = [threading.Thread(target=self._call) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield self
        finally:
            self._stop.set()
            for worker in workers:
                worker.join(90)

    def _call(self) -> None:
        with httpx.Client(auth=(self.token, self.token), timeout=70) as client:
            while not self._stop.is_set():
                began_at, wrong = time.monotonic(), ""
                try:
                    answer = client.post(self.url, json=self.body)
                    if answer.status_code != 200:
                        wrong = f"{answer.status_code} {answer.text[:200]}"
                except httpx.HTTPError as error:
                    wrong = repr(error)
                ended_at = time.monotonic()
                if wrong:
                    self.failed.append(FailedCall(began_at, ended_at, wrong))
                self.longest_s = max(self.longest_s, ended_at - began_at)
                self.sent += 1
                time.sleep(0.01)
