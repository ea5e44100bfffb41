"""This file is the client tests' fixtures: a stand-in platform, a project, and the command line on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from modelway import Client
from modelway.commands.main import main

from tests.client.stand_in import API_KEY, TOKEN, StandIn
from tests.client.wire import Wire

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short: what is waited for here is never far."""
    monkeypatch.setattr("modelway.following.poll_s", lambda elapsed_s: 0.005)
    monkeypatch.setattr("modelway.patience.backoff_s", lambda attempt: 0.005)
    monkeypatch.setattr("modelway.awaiting.poll_s", lambda elapsed_s: 0.005)
    monkeypatch.setattr("modelway.awaiting.RECEIPT_S", 0.5)
    monkeypatch.setattr("modelway.client._FOLLOW_EVERY_S", 0.005)


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def wire(stand_in: StandIn) -> Iterator[Wire]:
    wire = Wire(stand_in.answer)
    wire.come_back()
    stand_in.url = wire.url
    yield wire
    wire.go_away()
    assert not [each.url for each in wire.asked if API_KEY in each.url or TOKEN in each.url]


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    with Client(wire.url, API_KEY) as client:
        yield client


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two files."""
    directory = tmp_path / "flowers"
    directory.mkdir()
    (directory / "model.py").write_text("def predict(x):\n    return x\n")
    (directory / "data.csv").write_text("1,2\n")
    return directory


@pytest.fixture
def configuration(wire: Wire, tmp_path: Path) -> Path:
    path = tmp_path / "cli.toml"
    path.write_text(f'url = "{wire.url}"\napi_key = "{API_KEY}"\n')
    return path


@pytest.fixture
def run(configuration: Path) -> Run:
    """The command line with these arguments, configured for the stand-in."""

    def run(*args: str | Path, stdin: str | None = None) -> Result:
        env = {"MODELWAY_CONFIG": str(configuration)}
        result = CliRunner().invoke(main, [str(arg) for arg in args], env=env, input=stdin)
        if args[0] != "config":
            assert API_KEY not in result.output
        return result

    return run


@pytest.fixture
def publish(run: Run, project: Path) -> Run:
    """`modelway publish` of the project as "iris", with more arguments."""

    def publish(*args: str | Path) -> Result:
        return run("publish", project, "--name", "iris", "--file", "model.py", "--function", "predict", *args)

    return publish
