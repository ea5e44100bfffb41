"""An instance whose disk is full goes on answering, also a function that prints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_days import SmallDisk, mounted
from tests.harness.instances import Running, until

CHATTY = """
import sys, logging
logging.basicConfig(stream=sys.stderr)
def predict(x):
    print(x * 100_000)
    sys.stderr.write("half a line")
    logging.error("an error")
    return len(x)
def fail():
    raise ValueError("no")
"""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with tempfile.TemporaryDirectory(prefix="mwh-", dir="/tmp") as folder, mounted(Path(folder), megabytes=4) as small:
        yield small


def test_calls_of_a_function_that_prints_are_answered_while_the_disk_is_full_and_after(disk: SmallDisk) -> None:
    instance = Running(disk.path)
    instance.project.mkdir()
    (disk.path / "home").mkdir()
    instance.write(CHATTY)
    try:
        instance.ready()
        disk.fill()
        for _ in range(20):
            assert instance.call(x="x").json()["result"] == 1
        assert instance.get("/health").status_code == 200
        disk.free()
        assert instance.call(x="again").json()["result"] == 5
        until(lambda: "againagain" in instance.says("stdout"), "prints to be in the log again")
    finally:
        instance.clean()


def test_an_instance_that_cannot_write_its_last_words_ends_all_the_same(disk: SmallDisk) -> None:
    instance = Running(disk.path)
    instance.project.mkdir()
    (disk.path / "home").mkdir()
    instance.write("raise ValueError('no')\n")
    instance.config.write_text(" " * 4096)  # room for the configuration
    disk.fill()
    try:
        instance.start()
        assert instance.ended_with() == 3
    finally:
        instance.clean()
