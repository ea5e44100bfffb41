"""This file is what /proc tells: which processes live, which belong together, how much memory they hold.

A process id alone names nothing, since ids are reused: with the boot and the start time it names one process for ever.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_ENDED = frozenset("ZXx")  # a zombie is dead; it only waits to be reaped


class Process(msgspec.Struct, frozen=True):
    """One process, unmistakably."""

    boot_id: str
    pid: int
    start_ticks: int


class Stat(msgspec.Struct, frozen=True):
    """The part of /proc/<pid>/stat that is used here."""

    state: str
    parent: int
    session: int
    start_ticks: int


@cache
def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def stat_of(pid: int) -> Stat | None:
    """None when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold spaces and brackets
    return Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), start_ticks=int(fields[19]))


def identify(pid: int) -> Process | None:
    """The process that has `pid` now; None when there is none."""
    stat = stat_of(pid)
    return None if stat is None else Process(boot_id(), pid, stat.start_ticks)


def is_alive(process: Process) -> bool:
    """True while exactly this process runs; a zombie does not."""
    if process.boot_id != boot_id():
        return False
    stat = stat_of(process.pid)
    return stat is not None and stat.start_ticks == process.start_ticks and stat.state not in _ENDED


def send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process; nothing happens when it is gone, or is not ours to signal."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if is_alive(process):  # checked after the descriptor is held: the id cannot be reused from here on
            with suppress(OSError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def table() -> dict[int, Stat]:
    """All that lives now, by process id."""
    stats = {int(entry): stat_of(int(entry)) for entry in os.listdir(_PROC) if entry.isdecimal()}
    return {pid: stat for pid, stat in stats.items() if stat is not None and stat.state not in _ENDED}


def members(
    leader: Process, processes: Mapping[int, Stat], *, home: Path | None = None, marked: Collection[int] = ()
) -> list[Process]:
    """The processes of the session that `leader` began, and all they started, as far as their parents still live.

    With `home` also those whose environment has it as HOME, which finds what left the session and lost its parent.
    `marked` are processes that bear the instance's mark: they are its own, wherever they went and whatever they forgot.
    """
    if leader.boot_id != boot_id():
        return []
    present = processes.get(leader.pid)
    # While a session has members its number is not given to a new process: a stranger there means that none are left.
    is_reused = present is not None and present.start_ticks != leader.start_ticks
    found = set() if is_reused else {pid for pid, stat in processes.items() if stat.session == leader.pid}
    found.update(pid for pid in marked if pid in processes)
    if home is not None:
        found |= {pid for pid in processes if pid not in found and _has_home(pid, home)}
    grown = -1
    while grown != len(found):
        grown = len(found)
        found |= {pid for pid, stat in processes.items() if stat.parent in found}
    return [Process(leader.boot_id, pid, processes[pid].start_ticks) for pid in sorted(found)]


def with_groups(groups: Collection[int], processes: Iterable[int]) -> dict[int, set[int]]:
    """Which of `processes` have which of `groups` among their supplementary ones. Nobody but root can put one off."""
    found: dict[int, set[int]] = {group: set() for group in groups}
    for pid in processes if found else ():
        for group in _groups(pid) & found.keys():
            found[group].add(pid)
    return found


def _groups(pid: int) -> set[int]:
    with suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("Groups:"):
                return {int(word) for word in line.split()[1:]}
    return set()


def _has_home(pid: int, home: Path) -> bool:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"HOME={home}".encode() in environment.split(b"\0")


def memory_bytes(processes: list[Process]) -> int:
    """What they hold together; a page shared by n processes counts an n-th in each."""
    return sum(_share_bytes(each.pid) for each in processes)


def _share_bytes(pid: int) -> int:
    with suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, IndexError):  # not ours to look into that closely: resident pages, then
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def find_leaders(pattern: re.Pattern[str], processes: Mapping[int, Stat]) -> dict[Process, str]:
    """Session leaders whose command line matches, with the text of the match's first group."""
    found = {}
    for pid, stat in processes.items():
        match = pattern.search(_command(pid)) if stat.session == pid else None
        if match is not None:
            found[Process(boot_id(), pid, stat.start_ticks)] = match.group(1)
    return found


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
