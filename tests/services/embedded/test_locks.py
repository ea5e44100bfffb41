from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.embedded import locks
from tests.parts import wait_for

_SLEEP = "import time; time.sleep(60)"
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
_PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], close_fds=False).wait()"


class Locked:
    """Starts programs through the wrapper, as the supervisor does."""

    def __init__(self, folder: Path) -> None:
        self.lock = folder / "program.lock"
        self._folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *code: str) -> subprocess.Popen[bytes]:
        specification = self._folder / "program.json"
        program = {
            "command": [sys.executable, "-c", *code],
            "environment": {"ONLY": "this"},
            "folder": str(self._folder),
            "lock": str(self.lock),
        }
        specification.write_text(json.dumps(program))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.embedded.locked", str(specification)], stdout=subprocess.PIPE
        )
        self.started.append(process)
        return process


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Locked]:
    locked = Locked(tmp_path)
    yield locked
    locks.end_holders([locked.lock], grace_s=0.2)
    for process in locked.started:
        process.kill()
        process.communicate()


def test_the_program_has_exactly_its_own_environment(locked: Locked) -> None:
    output, _ = locked.start("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))").communicate(timeout=20)
    assert output.decode().strip() == "['ONLY']"


def test_a_second_copy_waits_until_the_first_is_gone(locked: Locked) -> None:
    first = locked.start(_SLEEP)
    wait_for(lambda: locks.is_held(locked.lock), what="the first copy runs")
    second = locked.start("print('second')")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1)
    first.kill()
    output, _ = second.communicate(timeout=20)
    assert output == b"second\n"


def test_a_lock_is_held_until_the_last_child_of_a_killed_program_is_gone(locked: Locked) -> None:
    program = locked.start(_PARENT, _SLEEP)
    wait_for(lambda: len(locks.holders([locked.lock])) == 2, what="the child runs")
    program.kill()
    program.wait(20)
    assert locks.is_held(locked.lock)
    assert locks.end_holders([locked.lock], grace_s=20) == 1
    assert not locks.is_held(locked.lock)


def test_the_wrapper_ends_what_a_killed_program_left_behind(locked: Locked) -> None:
    program = locked.start(_PARENT, _SLEEP)
    wait_for(lambda: len(locks.holders([locked.lock])) == 2, what="the child runs")
    program.kill()
    output, _ = locked.start("print('again')").communicate(timeout=30)
    assert output == b"again\n"


def test_a_holder_that_ignores_the_wish_to_end_is_killed(locked: Locked) -> None:
    program = locked.start(_DEAF)
    assert program.stdout is not None
    assert program.stdout.readline() == b"deaf\n"
    locks.end_holders([locked.lock], grace_s=0.2)
    assert program.wait(20) == -signal.SIGKILL


def test_ending_the_holders_of_a_free_lock_ends_nobody(tmp_path: Path) -> None:
    assert locks.end_holders([tmp_path / "free.lock"], grace_s=1) == 0
