"""How a build's programs are run: bounded, alone, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.builder.command import Answer, clean_environment, run
from services.core.errors import Unavailable
from tests.parts import wait_for, wait_until

ENVIRON = clean_environment(os.environ)


async def sh(script: str, answer: Answer | None = None, question: bytes = b"") -> int:
    return await run(["/bin/sh", "-c", script], ENVIRON, answer or Answer(), question=question)


def is_gone(pid_file: Path) -> bool:
    pid = int(pid_file.read_text())
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_output_and_exit_code_come_back() -> None:
    answer = Answer()
    assert await sh("echo out; echo err >&2; cat; exit 3", answer, b"question") == 3
    assert bytes(answer) == b"out\nerr\nquestion"


async def test_it_runs_in_a_place_without_project_files_and_writes_for_everyone() -> None:
    answer = Answer()
    await sh("pwd; umask", answer)
    assert bytes(answer).split() == [b"/", b"0022"]


async def test_only_what_is_needed_is_passed_on() -> None:
    given = {"PATH": "/bin", "NATS_PASSWORD_FILE": "x", "AWS_SECRET": "x", "UV_INDEX_URL": "u", "https_proxy": "p"}
    passed = clean_environment(given)
    assert {"PATH", "UV_INDEX_URL", "https_proxy"} <= set(passed)
    assert not {"NATS_PASSWORD_FILE", "AWS_SECRET"} & set(passed)


async def test_a_program_that_cannot_be_started_says_so() -> None:
    assert await run(["/no/such/program"], ENVIRON, Answer()) != 0


async def test_an_answer_that_is_too_long_ends_the_program() -> None:
    with pytest.raises(Unavailable):
        await run(["/bin/sh", "-c", "yes"], ENVIRON, Answer(limit_bytes=1000))


async def test_at_the_deadline_the_program_and_all_it_started_are_killed(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await sh(f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/self; wait")
    await wait_until(lambda: is_gone(tmp_path / "child") and is_gone(tmp_path / "self"))


async def test_a_child_left_behind_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with asyncio.timeout(10):
        assert await sh(f"sleep 600 & echo $! > {tmp_path}/child") == 0
    await wait_until(lambda: is_gone(tmp_path / "child"))


def test_the_program_dies_with_a_killed_builder(tmp_path: Path) -> None:
    script = (
        "import asyncio, os\n"
        "from services.builder.command import Answer, run\n"
        f"sleep = 'echo $$ > {tmp_path}/child; exec sleep 600'\n"
        "asyncio.run(run(['/bin/sh', '-c', sleep], dict(os.environ), Answer()))\n"
    )
    builder = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3])
    try:
        child = tmp_path / "child"
        wait_for(lambda: child.exists() and child.read_text().endswith("\n"))
        assert not is_gone(child)
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    wait_for(lambda: is_gone(child))
