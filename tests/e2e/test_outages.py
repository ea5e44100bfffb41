"""`kill -9` of each process while a publish is under way: it ends Running, once, and callers notice nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.e2e.platform import Callers, Platform, Ran, write_project
from tests.e2e.processes import PROGRAMS
from tests.e2e.test_publish import SUM, endpoint
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def steady(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with two instances that is called all the time."""
    project = write_project(tmp_path_factory.mktemp("project") / "steady", SUM)
    platform.done("publish", str(project), "--name", "steady", "--file", "predict.py", "--function", "predict")
    return "steady"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_process_comes_back_and_the_publish_ends_running_once(
    platform: Platform, steady: str, tmp_path: Path, program: str
) -> None:
    name = f"victim-of-{program}"
    project = write_project(tmp_path / name, "import time\ntime.sleep(1.5)\n" + SUM)
    command = ("publish", str(project), "--name", name, "--file", "predict.py", "--function", "predict", "--json")
    ended: list[Ran] = []
    publishing = threading.Thread(target=lambda: ended.append(platform.cli(*command)))
    with Callers(*endpoint(platform, steady), {"parameters": [1, 2]}).calling() as callers:
        publishing.start()
        wait_for(lambda: bool(_versions(platform, name)) or not publishing.is_alive(), 30, what="the version is there")
        assert publishing.is_alive(), "the process was to be killed while the publish is under way"
        platform.kill(program)
        publishing.join(200)
    assert ended, "the publish did not end"
    assert ended[0].code == 0, ended[0].err + ended[0].out
    assert [version["status"] for version in _versions(platform, name)] == ["Running"]
    assert platform.done("predict", name, '{"parameters": [1, 2]}')["result"] == 3
    assert callers.sent > 10
    if program != "haproxy":
        assert callers.failures == []
    platform.done("stop", name)


def _versions(platform: Platform, name: str) -> list[dict[str, object]]:
    ran = platform.cli("versions", name, "--json")
    return ran.json if ran.code == 0 else []


def test_after_all_of_that_nothing_runs_twice(platform: Platform, steady: str) -> None:
    for program in PROGRAMS:
        platform.process(program)
    versions = platform.done("versions", steady)
    assert [version["status"] for version in versions] == ["Running"]


def test_what_ran_comes_back_running_after_down_and_up(platform: Platform, steady: str) -> None:
    before = platform.done("predict", steady, '{"parameters": [1, 2]}')["release"]
    platform.down()
    assert platform.left_behind() == []
    platform.up()
    wait_for(lambda: platform.cli("predict", steady, '{"parameters": [1, 2]}').code == 0, 60, what="it answers again")
    assert platform.done("predict", steady, '{"parameters": [1, 2]}')["release"] == before
