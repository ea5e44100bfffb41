"""This file starts and ends the processes that a benchmark measures, and tells what they used."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[1]


def started(parts: ExitStack, log: Path, command: list[str], environment: dict[str, str]) -> psutil.Process:
    """A process that ends with `parts`, children included, and writes to `log`."""
    file = parts.enter_context(log.open("ab"))
    process = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=file, stderr=file)
    parts.callback(_end, process)
    return psutil.Process(process.pid)


def _end(process: subprocess.Popen[bytes]) -> None:
    workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    for each in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


@contextmanager
def standing_in(sockets: Sequence[str]) -> Iterator[None]:
    """One process answers for all instances inside."""
    command = [sys.executable, "-m", "benchmarks.stand_in", *sockets]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def usage(process: psutil.Process) -> tuple[float, int]:
    """Seconds of CPU so far and bytes of memory, children included."""
    ended = process.cpu_times()  # of children that have ended, too
    cpu_s, memory = ended.children_user + ended.children_system, 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            cpu_s += times.user + times.system
            memory += each.memory_full_info().pss
    return cpu_s, memory


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended, waited for or not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Seconds of CPU so far of these and of all that they started, living or ended."""
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total
