"""Who keeps a service's log may die or fall silent: the service goes on as if nothing was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from services.kit.logs import Outlet


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            assert end == reading, "only the reader goes away in these tests"


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    outlet.write("one\n")
    outlet.write("x" * 10_000 + "\ud800\n")
    assert os.read(reading, 65536).decode() == "one\n" + "x" * 10_000 + "\\ud800\n"


def test_a_line_is_dropped_when_nobody_is_there_to_read_it(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    assert Outlet(writing).write("into the void\n") == 14


def test_a_line_is_dropped_and_not_waited_with_while_the_reader_is_silent(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    outlet = Outlet(writing)
    for _ in range(1000):
        outlet.write("y" * 999 + "\n")
    assert len(os.read(reading, 1 << 20)) >= 4096
    outlet.write("heard again\n")
