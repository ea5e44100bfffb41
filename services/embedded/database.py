"""This file is the database of the home: SecantusDB, a process of its own that only answers to its one user.

It has no exception for local connections, so the user is made by a first, short start without credentials: on
storage that is not in use yet, on a random port of the loopback address. That storage gets its final name only
when the user is in it; a first start that was cut off leaves nothing behind but what the next one sweeps away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from services.embedded import credentials, locks
from services.embedded.home import Home, sync_folder, write_whole
from services.embedded.ports import LOOPBACK, free_port
from services.embedded.trouble import Trouble

NAME = "modelway"
_START_S = 60.0
_STOP_S = 30.0


def command(program: Path, home: Home, *, port: int, storage: Path) -> list[str]:
    """How the database is started, but for `--auth`. Its configuration is ours alone, not one found around."""
    return [
        str(program),
        *("--config", str(home / "config" / "secantusd.toml")),
        *("--host", LOOPBACK, "--port", str(port), "--storage-path", str(storage)),
        *("--cache-size", "256M", "--sync-on-commit"),
    ]


def url_file(home: Home) -> Path:
    """The secret file with the database's URL, user and password in it."""
    return home / "secrets" / "database-url"


def prepare_database(program: Path, home: Home, *, port: int) -> None:
    """Make the storage exist with its one user in it, and the URL point to `port`. Raises Trouble."""
    write_whole(home / "config" / "secantusd.toml", "")
    password = credentials.read(credentials.database_password(home))
    if not (home / "database").exists():
        make_storage(program, home, home / "database")
    write_whole(url_file(home), _url(port, password))


def check_database(url: Path) -> str | None:
    """None when the database answers to its user; else why not."""
    try:
        with closing(_client(credentials.read(url))) as client:
            client[NAME].command("ping")
    except PyMongoError as error:
        return str(error).partition(",")[0]
    return None


def make_storage(program: Path, home: Home, storage: Path) -> None:
    """Make `storage` exist with its one user in it, and nothing else. Raises Trouble."""
    password = credentials.read(credentials.database_password(home))
    unfinished = home / "database.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    write_whole(home / "config" / "secantusd.toml", "")
    port = free_port()
    with home.log("database").open("ab") as log:
        process = subprocess.Popen(
            command(program, home, port=port, storage=unfinished),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
        )
        try:
            _make_user(f"mongodb://{LOOPBACK}:{port}/?directConnection=true", password)
        finally:
            _end(process)
    unfinished.rename(storage)
    sync_folder(home.root)


@contextlib.contextmanager
def serving(program: Path, home: Home, storage: Path) -> Iterator[Path]:
    """The database runs on `storage` inside, while nothing else of the home does; gives the file with its URL.

    Its process holds the lock of the home's database: should we die, the next `up` ends it. Raises Trouble.
    """
    lock = locks.take(home.lock("database"))
    if lock is None:
        raise Trouble("The database of this home runs: make down first.")
    port, url = free_port(), home / "secrets" / "database-url.aside"
    write_whole(url, _url(port, credentials.read(credentials.database_password(home))))
    with home.log("database").open("ab") as log:
        process = subprocess.Popen(
            [*command(program, home, port=port, storage=storage), "--auth"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
            pass_fds=(lock,),
        )
        os.close(lock)
    try:
        _wait_until_it_answers(url)
        yield url
    finally:
        _end(process)
        url.unlink(missing_ok=True)


def _wait_until_it_answers(url: Path) -> None:
    deadline = time.monotonic() + _START_S
    while (why := check_database(url)) is not None:
        if time.monotonic() > deadline:
            raise Trouble(f"The database does not answer: {why}.")
        time.sleep(0.1)


def _make_user(url: str, password: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            with closing(_client(url)) as client:
                roles = [{"role": "readWrite", "db": NAME}]
                client.admin.command("createUser", credentials.DATABASE_USER, pwd=password, roles=roles)
                _refuse_strangers(client.admin.command("usersInfo"))
                return
        except PyMongoError as error:
            if time.monotonic() > deadline:
                raise Trouble(f"The database could not be set up: {error}.") from error
            time.sleep(0.1)


def _refuse_strangers(info: dict[str, Any]) -> None:
    if [user["user"] for user in info["users"]] != [credentials.DATABASE_USER]:
        raise Trouble("Another program made a user in the database while it was set up: try again.")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_S)


def _url(port: int, password: str) -> str:
    user = f"{credentials.DATABASE_USER}:{password}"
    return f"mongodb://{user}@{LOOPBACK}:{port}/?directConnection=true&authSource=admin"


def _client(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(url, serverSelectionTimeoutMS=1000, socketTimeoutMS=5000, connectTimeoutMS=1000)
