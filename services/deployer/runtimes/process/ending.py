"""This file is how the processes of an instance end: waited for, made to, and told about."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import structlog

from services.deployer.runtimes.process import procfs

log = structlog.get_logger()

KILL_S = 10.0  # a process that survives SIGKILL this long hangs in the kernel
LAST_WORDS_S = 0.2  # for the leader, after all others: it tells their callers that their calls have ended
_LOOK_EVERY_S = 0.02  # while an instance is ending


async def until_ended(process: procfs.Process, timeout_s: float) -> None:
    """Return once the process is gone or a zombie, or after `timeout_s`."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, event.set)
    try:
        if procfs.is_alive(process):
            async with asyncio.timeout(timeout_s):
                await event.wait()
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def kill(leader: procfs.Process, home: Path | None, mark: int | None) -> None:
    """End what it started, then it, again and again until nothing is found: it may start more meanwhile."""
    deadline = time.monotonic() + KILL_S
    others = [each for each in await asyncio.to_thread(_left, leader, home, mark) if each.pid != leader.pid]
    for each in others:
        procfs.send(each, signal.SIGKILL)
    if others:
        await until_ended(leader, LAST_WORDS_S)
    while left := await asyncio.to_thread(_left, leader, home, mark):
        for each in left:
            procfs.send(each, signal.SIGKILL)
        if time.monotonic() > deadline:
            log.error("instance_survives_kill", pids=[each.pid for each in left])
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _left(leader: procfs.Process, home: Path | None, mark: int | None) -> list[procfs.Process]:
    processes = procfs.table()
    marks = procfs.with_groups([] if mark is None else [mark], processes)
    return procfs.members(leader, processes, home=home, marked=marks.get(mark or 0, ()))


def told(status: int) -> str:
    """How a process ended, from its status as the parent sees it.

    >>> told(1), told(-9)
    ('ended with exit status 1', 'was killed by SIGKILL')
    """
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
