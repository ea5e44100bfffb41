"""This file is how at most one copy of a program runs, whoever started it: a lock that its process inherits.

A program's lock is taken by `locked` before it becomes the program, and the kernel gives it back when the last
process that inherited it is gone. So a lock that is held while nothing supervises the program is an orphan's.
Instances of models never hold one: the deployer hands them no descriptor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil


def take(lock: Path) -> int | None:
    """The descriptor that now holds `lock` and that children inherit; None while another process holds it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return descriptor


def is_held(lock: Path) -> bool:
    """True while some process holds `lock`. Asking takes it for an instant when it is free."""
    descriptor = take(lock)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def holders(locks: Iterable[Path]) -> list[psutil.Process]:
    """Every other process that has one of `locks` open: those that hold it, and those that wait for it."""
    wanted = {str(lock) for lock in locks}
    found = []
    for process in psutil.process_iter():
        try:
            opened = {file.path for file in process.open_files()}
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another person's
        if process.pid != os.getpid() and wanted & opened:
            found.append(process)
    return found


def end_holders(locks: Iterable[Path], *, grace_s: float) -> int:
    """End every process that holds one of `locks`: asked first, killed after `grace_s`. How many there were."""
    held = [lock for lock in locks if is_held(lock)]
    found = holders(held) if held else []
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    if not are_free(held, within_s=grace_s):
        for process in holders(held):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        are_free(held, within_s=grace_s)
    return len(found)


def are_free(locks: Iterable[Path], *, within_s: float) -> bool:
    """True as soon as no process holds any of `locks`; False when one still does after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while any(is_held(lock) for lock in locks):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
