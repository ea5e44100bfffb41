"""The whole platform, with `up`, `down` and `status` as a person runs them; the example is published elsewhere."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from services.embedded import locks
from services.embedded.home import open_home
from services.embedded.ports import free_port, kept_ports
from services.embedded.programs import NAMES
from services.embedded.ready import checks
from services.embedded.supervisor import LOCK
from tests.parts import wait_for
from tests.services.embedded.conftest import all_locks, short_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Platform:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {
            **os.environ,
            "MODELWAY_HOME": str(root),
            "MODELWAY_PORT": str(free_port()),
            "MODELWAY_API_PORT": str(free_port()),
        }

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.embedded", *arguments],
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def up(self) -> str:
        done = self.run("up", "--no-example")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def holders(self, name: str) -> list[psutil.Process]:
        return locks.holders([self.root / "locks" / f"{name}.lock"])

    def pids(self) -> dict[str, set[int]]:
        return {name: {each.pid for each in self.holders(name)} for name in NAMES}

    def main(self, name: str) -> psutil.Process:
        """The process that the supervisor started for `name`."""
        [supervisor] = self.holders(LOCK)
        [found] = [each for each in self.holders(name) if each.ppid() == supervisor.pid]
        return found

    def wait_until_ready(self) -> None:
        home = open_home(self.root)
        ports = kept_ports(home)
        assert ports is not None
        for name, check in checks(home, ports).items():
            wait_for(partial(_passes, check), 60, what=f"{name} is ready")


def _passes(check: object) -> bool:
    return callable(check) and check() is None


@pytest.fixture(scope="module")
def platform_home() -> Iterator[Platform]:
    with short_folder() as root:
        platform = Platform(root)
        yield platform
        platform.run("down")


@pytest.fixture
def platform(platform_home: Platform) -> Platform:
    """Up, whatever the test before did to it."""
    platform_home.up()
    return platform_home


def lasting_lines(output: str) -> list[str]:
    """What `up` printed, without the steps that tell seconds."""
    return [line for line in output.splitlines() if not re.match(r"\[ *\d", line)]


def test_a_second_up_changes_nothing_and_prints_the_same_lines(platform: Platform) -> None:
    before, first = platform.pids(), lasting_lines(platform.up())
    assert lasting_lines(platform.up()) == first
    assert platform.pids() == before
    assert any("make down" in line for line in first)


def test_the_command_line_finds_an_address_and_a_key_that_work(platform: Platform) -> None:
    path = platform.root / "cli.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = tomllib.loads(path.read_text())
    headers = {"X-Domino-Api-Key": values["api_key"]}
    listed = httpx.get(f"{values['url']}/api/modelServing/v1/modelApis", headers=headers, timeout=10)
    assert listed.status_code == 200
    assert listed.json()["items"] == []


def test_the_password_in_the_file_that_up_and_status_name_signs_in_until_another_is_set(platform: Platform) -> None:
    file = platform.root / "secrets" / "administrator-password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for said in (platform.up(), platform.run("status").stdout):
        assert f"admin, with the password in {file}" in said
        assert file.read_text() not in said
    url = tomllib.loads((platform.root / "cli.toml").read_text())["url"]
    body = {"userName": "admin", "password": file.read_text()}
    with httpx.Client(base_url=f"{url}/api/modelServing/v1", timeout=10) as browser:
        signed_in = browser.post("/session", json=body)
        assert signed_in.status_code == 200, signed_in.text
        assert browser.get("/session").json()["person"]["isAdministrator"]


def test_only_the_api_is_told_where_the_database_is(platform: Platform) -> None:
    told = {name for name in NAMES if "MONGODB_URL_FILE" in platform.main(name).environ()}
    assert told == {"api"}


def test_no_secret_stands_in_the_arguments_or_the_environment_of_a_service(platform: Platform) -> None:
    secrets = {path.read_text().strip() for path in (platform.root / "secrets").iterdir()}
    for name in NAMES:
        process = platform.main(name)
        shown = " ".join([*process.cmdline(), *process.environ().values()])
        assert not [secret for secret in secrets if secret in shown], name


def test_status_shows_all_eight_ready(platform: Platform) -> None:
    done = platform.run("status")
    assert done.returncode == 0
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines()[1:9]}
    assert set(rows) == set(NAMES)
    assert {row[1] for row in rows.values()} == {"running"}
    assert {row[-1] for row in rows.values()} == {"yes"}


@pytest.mark.parametrize("name", NAMES)
def test_each_program_that_is_killed_comes_back_once(platform: Platform, name: str) -> None:
    before = platform.main(name)
    before.send_signal(signal.SIGKILL)
    wait_for(lambda: before.pid not in platform.pids()[name] and bool(platform.pids()[name]), 30)
    platform.wait_until_ready()
    assert platform.main(name).pid != before.pid


def test_after_the_supervisor_was_killed_up_leaves_exactly_one_of_each(platform: Platform) -> None:
    before = platform.pids()
    [supervisor] = platform.holders(LOCK)
    supervisor.send_signal(signal.SIGKILL)
    wait_for(lambda: not platform.holders(LOCK), what="the supervisor is gone")
    assert "a dead supervisor left behind" in platform.up()
    for name in NAMES:
        assert platform.main(name).pid not in before[name]
        assert not before[name] & platform.pids()[name]


def test_a_running_platform_says_how_to_move_to_another_port(platform: Platform) -> None:
    done = platform.run("up", "--no-example", MODELWAY_PORT=str(free_port()))
    assert done.returncode == 1
    assert done.stderr.strip().endswith("make down first.")


def test_down_leaves_no_process_and_the_next_up_keeps_ports_and_keys(platform: Platform) -> None:
    key, ports = (platform.root / "cli.toml").read_text(), kept_ports(open_home(platform.root))
    done = platform.run("down")
    assert done.returncode == 0, done.stderr
    assert locks.holders(all_locks(platform.root)) == []
    assert [each for each in psutil.process_iter() if _mentions(each, platform.root)] == []
    assert platform.run("down").returncode == 0
    assert platform.run("status").returncode == 1
    platform.up()
    assert (platform.root / "cli.toml").read_text() == key
    assert kept_ports(open_home(platform.root)) == ports


def _mentions(process: psutil.Process, root: Path) -> bool:
    try:
        return str(root) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_busy_port_is_one_sentence_and_starts_nothing(folder: Path) -> None:
    platform = Platform(folder)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = platform.run("up", MODELWAY_PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Port {port} is in use by another program: stop that program, or choose another port, "
        f"as in: make up MODELWAY_PORT={port + 1}"
    )
    assert locks.holders(all_locks(folder)) == []
