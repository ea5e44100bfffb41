"""This file is whether a process that has imported a script may be forked, or one sentence why not.

What a fork does not copy, or copies only in part, are threads and what lies behind descriptors: two processes that
share a connection, an event loop or a position in a file disturb each other. It is asked of the kernel, since Python
knows only of the threads and files that it began itself. Linux only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import time
import warnings
from contextlib import suppress

_TRIAL_S = 5.0
_LOOP = "an event loop"
_STATELESS = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})


def descriptors() -> frozenset[int]:
    """Those that are open in this process."""
    return frozenset(each for each in map(int, os.listdir("/proc/self/fd")) if _is_open(each))


def why_not(before: frozenset[int]) -> str:
    """Why a process must not be forked that had the descriptors `before` and has imported something since; else ""."""
    if _children():
        return "the import started a process"
    if _threads() > 1 and not _survives_a_fork():
        return "a fork did not come back after the import"
    threads = _threads() - 1
    if threads > 0:
        return f"the import started {threads} thread{'s' if threads > 1 else ''}"
    opened = [what for descriptor in sorted(descriptors() - before) if (what := _opened(descriptor))]
    named = _LOOP if _LOOP in opened else next(iter(opened), "")  # it has a pair of sockets, too
    return f"the import left {named} open" if named else ""


def end_children() -> None:
    """End the processes that the import started: whoever asked for them ends, too."""
    for child in _children():
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _is_open(descriptor: int) -> bool:
    """The one by which they were listed is no more, and its number is free again."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _children() -> list[int]:
    found: list[int] = []
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found


def _survives_a_fork() -> bool:
    """Fork once for nothing: libraries that mind forks, as OpenBLAS does, end their threads for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own warning of threads
        child = os.fork()
    if child == 0:
        os._exit(0)
    until = time.monotonic() + _TRIAL_S
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.001)
    return True


def _opened(descriptor: int) -> str:
    """What it is in words, when two processes had better not share it; else ""."""
    try:
        path, status = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor)
    except OSError:
        return ""
    kind = status.st_mode
    if stat.S_ISREG(kind):
        return "" if _is_mapped(status) or _appends(descriptor) else f"the file {path}"
    if stat.S_ISCHR(kind):
        return "" if path in _STATELESS else f"the device {path}"
    if stat.S_ISDIR(kind):
        return ""
    if path.startswith("anon_inode:"):
        return _LOOP if "eventpoll" in path else f"what Linux calls {path.removeprefix('anon_inode:').strip('[]')}"
    return "a socket" if stat.S_ISSOCK(kind) else "a pipe" if stat.S_ISFIFO(kind) else "a device"


def _appends(descriptor: int) -> bool:
    """Log files do: each write goes to the end, whoever shares the position."""
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)


def _is_mapped(status: os.stat_result) -> bool:
    """Of what is mapped into memory Python keeps the descriptor, and never reads by it."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return any(line.split(None, 5)[3:5] == [device, str(status.st_ino)] for line in maps)
