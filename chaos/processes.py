"""This file finds the processes of a home by what they are, those that may be killed and those that should not be."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence

import psutil

from tests.e2e.platform import Platform
from tests.e2e.processes import PROGRAMS, command_of, is_program


def supervisors(platform: Platform) -> list[psutil.Process]:
    return [each for each in platform.processes() if "supervisor.supervisord" in command_of(each)]


def victims(platform: Platform, whom: str, *, steady: str) -> list[psutil.Process]:
    """The processes to strike at for `whom`; none when there is none of it now. `steady`: end of a version's id."""
    if whom in PROGRAMS:
        return [each for each in platform.processes() if is_program(each, whom)][:1]
    find: dict[str, Callable[[], list[psutil.Process]]] = {
        "supervisor": lambda: supervisors(platform),
        "haproxy-worker": lambda: _haproxy_workers(platform)[-1:],
        "uv": lambda: [each for each in platform.processes() if command_of(each)[:1] and _is_uv(each)][:1],
    }
    if whom in find:
        return find[whom]()
    of_steady = whom.startswith("steady")
    leaders = [each for each in platform.instances() if (instance_of(each).startswith(steady)) == of_steady]
    return _parts(leaders[0], whom) if leaders else []


def instance_of(leader: psutil.Process) -> str:
    """The id of the instance that this process leads."""
    command = command_of(leader)
    return command[command.index("--instance") + 1] if "--instance" in command else ""


def instances_by_version(platform: Platform) -> dict[str, list[str]]:
    """The ids of running instances by the end of their version's id."""
    found: dict[str, list[str]] = defaultdict(list)
    for leader in platform.instances():
        instance_id = instance_of(leader)
        found[instance_id.split("-")[0]].append(instance_id)
    return dict(found)


def strangers(platform: Platform) -> list[str]:
    """What runs in the home, is no instance, and descends from no supervisor: a person's commands left out."""
    heads = {each.pid for each in supervisors(platform)}
    sessions = {each.pid for each in platform.instances()}
    return [
        f"{each.pid} {' '.join(command_of(each))[:160]}"
        for each in platform.processes()
        if not _descends(each, heads) and not _descends_from_us(each) and _session(each) not in sessions
    ]


def program_counts(platform: Platform) -> dict[str, int]:
    """How many there are of each program, and of what belongs to HAProxy and the supervisor."""
    processes = platform.processes()
    counts = {name: sum(is_program(each, name) for each in processes) for name in PROGRAMS}
    return {
        **counts,
        "supervisor": len(supervisors(platform)),
        "haproxy-worker": len(_haproxy_workers(platform)),
    }


def kill(processes: Sequence[psutil.Process]) -> None:
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def _haproxy_workers(platform: Platform) -> list[psutil.Process]:
    masters = [each for each in platform.processes() if is_program(each, "haproxy")]
    workers = [child for master in masters for child in _children(master)]
    return sorted(workers, key=lambda each: each.create_time())


def _parts(leader: psutil.Process, whom: str) -> list[psutil.Process]:
    workers = _children(leader)
    if whom.endswith("-worker"):
        return workers[:1]
    return [leader] if whom.endswith("-leader") else [leader, *workers]


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _is_uv(process: psutil.Process) -> bool:
    command = command_of(process)
    return bool(command) and os.path.basename(command[0]) == "uv"


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return 0


def _descends(process: psutil.Process, heads: set[int]) -> bool:
    try:
        return process.pid in heads or any(each.pid in heads for each in process.parents())
    except psutil.NoSuchProcess:
        return True  # it is gone


def _descends_from_us(process: psutil.Process) -> bool:
    return _descends(process, {os.getpid()})
