"""The builder on bad days: a program that prints a gigabyte, a disk that is full."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.builder.build_log import LIMIT_BYTES, TAIL_BYTES
from services.core import subjects
from services.core.ids import VersionId
from services.core.records import BuildPhase
from services.core.subjects import LogKind
from services.kit.blobs import Blobs
from services.kit.bus import Bus
from services.kit.read_log import PAGE_BYTES, PlacedLine, read_log
from tests.bad_days import SmallDisk, mounted
from tests.parts import wait_until, wait_until_async
from tests.services.builder.parts import GOOD, MODEL_ID, VERSION_ID, make_order
from tests.services.builder.test_service import BuilderProcess, Facts, log_text, order
from tests.services.builder.test_service import blobs as blobs
from tests.services.builder.test_service import builder as builder
from tests.services.builder.test_service import facts as facts

TALKATIVE_UV = """#!/bin/sh
# Prints a gigabyte before it does what it should.
[ "$1" = pip ] && [ "$2" = compile ] && {{ yes {line} | head -c 1000000000; }}
exec {uv} "$@"
"""
MOST_MEMORY_MB = 150


def highest_memory_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def whole_log(bus: Bus, version_id: VersionId) -> list[PlacedLine]:
    subject = subjects.log(LogKind.BUILD, MODEL_ID, version_id)
    lines: list[PlacedLine] = []
    while page := await read_log(bus, subject, limit=10_000, after_ns=lines[-1].place_ns if lines else 0):
        assert sum(len(line.text) for line in page) < PAGE_BYTES + 20_000
        lines += page
    return lines


@pytest.mark.timeout(120)
async def test_a_build_that_prints_a_gigabyte_costs_neither_memory_nor_the_log(
    builder: BuilderProcess, bus: Bus, facts: Facts, blobs: Blobs, tmp_path: Path
) -> None:
    script = tmp_path / "uv"
    script.write_text(TALKATIVE_UV.format(line="spam and eggs " * 8, uv=builder.environ["UV_PATH"]))
    script.chmod(0o755)
    builder.environ["UV_PATH"] = str(script)
    builder.start()
    await order(bus, await make_order(blobs, {"model.py": GOOD}, timeout_s=100.0))
    assert (await facts.end()).phase is BuildPhase.COMPLETE

    async def is_complete() -> bool:
        lines[:] = await whole_log(bus, VERSION_ID)
        return "Build complete" in lines[-1].text

    lines: list[PlacedLine] = []
    await wait_until_async(is_complete, 20, what="the log has come to its end")
    assert sum(len(line.text) + 1 for line in lines) < LIMIT_BYTES + TAIL_BYTES + 64_000
    left_out = [line.text for line in lines if "the output is too long" in line.text]
    assert left_out
    assert "bytes are left out" in left_out[0]
    assert highest_memory_mb(builder.pid) < MOST_MEMORY_MB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "small", megabytes=24) as small:
        yield small


@pytest.mark.parametrize("full", ["ENVIRONMENTS_DIR", "BUILD_DIR"])
async def test_a_build_waits_for_room_on_the_disk_says_so_and_goes_on_by_itself(
    builder: BuilderProcess, bus: Bus, facts: Facts, blobs: Blobs, disk: SmallDisk, full: str
) -> None:
    folder = disk.path / "folder"
    folder.mkdir()
    builder.environ[full] = str(folder)
    builder.start()
    await wait_until(lambda: "bus_connected" in builder.output, what="the builder has started")
    disk.fill()
    await order(bus, await make_order(blobs, {"model.py": GOOD}))
    await wait_until(lambda: "message_held" in builder.output, 20, what="the build waits")

    async def says_why() -> bool:
        said = await log_text(bus)
        return "will be tried again" in said and (os.strerror(28) in said or "disk is full" in said)

    await wait_until_async(says_why, 20, what="the log says what the build waits for")
    disk.free()
    assert (await facts.end()).phase is BuildPhase.COMPLETE
