"""The three servers under the real supervisor: who may reach them, and what happens when something is killed."""

from __future__ import annotations

import json
import signal
import socket
import stat
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import OperationFailure

from services.embedded import credentials, locks
from services.embedded.database import NAME, prepare_database
from services.embedded.home import open_home
from services.embedded.parts import find
from services.embedded.ports import free_port
from tests.parts import wait_for
from tests.services.embedded.conftest import Servers, all_locks

SERVERS = ("nats", "database", "haproxy")


def greet_nats(port: int, **credential: str) -> str:
    """What NATS says to a client that shows this credential: PONG, or why not."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, connection.makefile("rb") as said:
        assert said.readline().startswith(b"INFO ")
        options = {"verbose": False, **credential}
        connection.sendall(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        return said.readline().decode().strip()


def test_the_servers_refuse_everyone_without_a_credential(servers: Servers) -> None:
    assert "Authorization Violation" in greet_nats(servers.ports.nats)
    with pymongo.MongoClient[dict[str, object]](
        f"mongodb://127.0.0.1:{servers.ports.database}/?directConnection=true", serverSelectionTimeoutMS=5000
    ) as stranger:
        with pytest.raises(OperationFailure, match="auth"):
            stranger[NAME]["models"].find_one()
        with pytest.raises(OperationFailure, match="auth"):
            stranger.admin.command("createUser", "me", pwd="x", roles=["root"])


def test_a_service_gets_in_with_its_own_password_only(servers: Servers) -> None:
    password = credentials.read(credentials.bus_password(servers.home, "router"))
    assert greet_nats(servers.ports.nats, user="router", **{"pass": password}) == "PONG"
    assert "Authorization Violation" in greet_nats(servers.ports.nats, user="api", **{"pass": password})


def test_the_database_user_writes_in_one_database_only(servers: Servers) -> None:
    url = credentials.read(servers.home / "secrets" / "database-url")
    with pymongo.MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=5000) as client:
        client[NAME]["things"].insert_one({"kept": True})
        with pytest.raises(OperationFailure, match="not authorized"):
            client["other"]["things"].insert_one({"kept": True})
        with pytest.raises(OperationFailure, match="not authorized"):
            client["admin"]["things"].find_one()
        for command in ({"createUser": "me", "pwd": "x", "roles": ["root"]}, {"usersInfo": 1}):
            with pytest.raises(OperationFailure, match="not authorized"):
                client["admin"].command(command)


def test_no_secret_stands_in_the_arguments_or_the_environment_of_a_program(servers: Servers) -> None:
    secrets = {path.read_text().strip() for path in (servers.home / "secrets").iterdir()}
    for process in locks.holders(all_locks(servers.home.root)):
        shown = " ".join([*process.cmdline(), *process.environ().values()])
        assert not [secret for secret in secrets if secret in shown], process.name()


def test_what_the_servers_write_is_out_of_reach_of_other_users(servers: Servers) -> None:
    open_to_others = [
        path
        for path in servers.home.root.iterdir()
        if path.name not in {"environments", "harness"} and stat.S_IMODE(path.stat().st_mode) & 0o066
    ]
    assert open_to_others == []
    for path in (servers.home / "config").iterdir():
        assert path.suffix == ".pid" or stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_comes_back_once(servers: Servers, name: str) -> None:
    before = servers.state(name).pid
    wait_for(lambda: servers.state(name).statename == "RUNNING")
    next(each for each in servers.holders(name) if each.pid == before).send_signal(signal.SIGKILL)
    wait_for(lambda: servers.state(name).pid not in {0, before}, 30, what=f"{name} was started again")
    servers.wait_until_ready()
    roots = [each for each in servers.holders(name) if each.ppid() == servers.holders("supervisor")[0].pid]
    assert [each.pid for each in roots] == [servers.state(name).pid]


def test_after_the_supervisor_was_killed_a_new_start_leaves_one_copy_of_each(servers: Servers) -> None:
    orphans = {name: {each.pid for each in servers.holders(name)} for name in SERVERS}
    servers.kill_supervisor()
    kept = servers.ports
    servers.start()
    assert servers.ports == kept
    for name in SERVERS:
        alive = {each.pid for each in servers.holders(name)}
        assert alive
        assert not alive & orphans[name]
        assert servers.state(name).pid in alive


def test_stopping_leaves_no_process_and_frees_every_port(servers: Servers) -> None:
    servers.supervisor.stop(within_s=40)
    assert locks.holders(all_locks(servers.home.root)) == []
    for port in (servers.ports.public, servers.ports.nats, servers.ports.database):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)


def test_a_first_start_of_the_database_that_was_cut_off_is_begun_again(folder: Path) -> None:
    home = open_home(folder)
    (home / "database.new").mkdir()
    (home / "database.new" / "WiredTiger").write_text("half")
    prepare_database(find("secantusd-py"), home, port=free_port())
    assert (home / "database" / "secantus_users.wt").exists()
    assert not (home / "database.new").exists()
