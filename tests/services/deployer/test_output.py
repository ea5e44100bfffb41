"""How what instances write is read, kept and given back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.core.ids import InstanceId
from services.core.ports import Output
from services.deployer.runtimes.process.folders import Folders
from services.deployer.runtimes.process.output import LINE_BYTES, MAX_LINES, READ_BYTES, ProcessOutput, split_lines

INSTANCE = InstanceId("an-instance")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders(tmp_path / "instances", tmp_path / "sockets")
    folders.create(INSTANCE, None)
    return folders


def write(folders: Folders, data: bytes, stream: str = "stdout") -> Path:
    path = folders.of(INSTANCE) / f"{stream}.log"
    with path.open("ab") as file:
        file.write(data)
    return path


def texts(output: Output) -> list[str]:
    return [line.text for line in output.lines]


async def test_the_same_lines_are_read_until_they_are_accepted(folders: Folders) -> None:
    output = ProcessOutput(folders)
    write(folders, b"one\ntwo\n")
    first = await output.read(INSTANCE, is_final=False)
    assert texts(await output.read(INSTANCE, is_final=False)) == texts(first) == ["one", "two"]
    await output.accept(INSTANCE, first.cursor)
    assert texts(await output.read(INSTANCE, is_final=False)) == []


async def test_what_was_accepted_is_not_read_again_after_a_restart(folders: Folders) -> None:
    write(folders, b"one\n")
    first = ProcessOutput(folders)
    await first.accept(INSTANCE, (await first.read(INSTANCE, is_final=False)).cursor)
    write(folders, b"two\n")
    assert texts(await ProcessOutput(folders).read(INSTANCE, is_final=False)) == ["two"]


async def test_an_unfinished_line_waits_for_its_end_or_the_instances(folders: Folders) -> None:
    output = ProcessOutput(folders)
    write(folders, b"half")
    assert texts(await output.read(INSTANCE, is_final=False)) == []
    assert texts(await output.read(INSTANCE, is_final=True)) == ["half"]


async def test_both_streams_are_told_apart(folders: Folders) -> None:
    write(folders, b"out\n")
    write(folders, b"err\n", "stderr")
    output = await ProcessOutput(folders).read(INSTANCE, is_final=False)
    assert [(line.stream, line.text) for line in output.lines] == [("stdout", "out"), ("stderr", "err")]


async def test_disk_space_of_what_was_accepted_is_given_back(folders: Folders) -> None:
    output = ProcessOutput(folders)
    path = write(folders, b"x" * 99 + b"\n")
    write(folders, (b"x" * 99 + b"\n") * 20_000)
    before = path.stat().st_blocks
    while (piece := await output.read(INSTANCE, is_final=False)).lines:
        await output.accept(INSTANCE, piece.cursor)
    if path.stat().st_blocks == before:
        pytest.skip("this file system cannot give back a part of a file")
    assert path.stat().st_blocks * 512 <= 8192
    write(folders, b"and on\n")
    assert texts(await output.read(INSTANCE, is_final=False)) == ["and on"]


async def test_what_comes_faster_than_it_can_be_kept_is_dropped_and_told(folders: Folders) -> None:
    output = ProcessOutput(folders, keep_bytes=1000)
    write(folders, b"".join(b"line %04d\n" % number for number in range(500)))
    piece = await output.read(INSTANCE, is_final=False)
    assert texts(piece)[0] == "4500 bytes of stdout are missing here: they came faster than they could be kept"
    assert texts(piece)[-1] == "line 0499"
    await output.accept(INSTANCE, piece.cursor)
    assert texts(await output.read(INSTANCE, is_final=False)) == []


async def test_a_file_that_the_instance_cut_itself_is_read_from_its_new_begin(folders: Folders) -> None:
    output = ProcessOutput(folders)
    path = write(folders, b"a long first line\n")
    await output.accept(INSTANCE, (await output.read(INSTANCE, is_final=False)).cursor)
    os.truncate(path, 0)
    write(folders, b"new\n")
    assert texts(await output.read(INSTANCE, is_final=False)) == ["new"]


async def test_one_piece_has_a_bound_in_bytes_and_in_lines(folders: Folders) -> None:
    write(folders, b"\n" * 100_000)
    write(folders, b"y" * 1_000_000, "stderr")
    output = await ProcessOutput(folders).read(INSTANCE, is_final=False)
    by_stream = [[line.text for line in output.lines if line.stream == stream] for stream in ("stdout", "stderr")]
    assert len(by_stream[0]) == MAX_LINES
    assert sum(map(len, by_stream[1])) <= READ_BYTES


async def test_an_unknown_instance_has_no_lines(tmp_path: Path) -> None:
    output = ProcessOutput(Folders(tmp_path / "none", tmp_path / "none"))
    assert (await output.read(INSTANCE, is_final=True)).lines == ()
    await output.accept(INSTANCE, '{"stdout": 4}')


def test_lines_may_hold_anything_and_are_cut_where_they_are_too_long() -> None:
    lines, used = split_lines(b"\xff\x00ok\r\n" + b"z" * (LINE_BYTES + 5) + b"\n", is_final=False)
    assert lines == ["\ufffd\x00ok", "z" * LINE_BYTES, "zzzzz"]
    assert used == LINE_BYTES + 12
