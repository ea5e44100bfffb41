"""This file knows the processes of a platform by what they run: its programs, and the instances of models."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

PROGRAMS = ("nats", "database", "haproxy", "api", "builder", "deployer", "router", "monitor")

_MARKS = {
    "nats": "nats-server",
    "database": "secantusd",
    "haproxy": "haproxy",
    **{name: f"services.{name}" for name in ("api", "builder", "deployer", "router", "monitor")},
}


def is_instance(process: psutil.Process) -> bool:
    """Whether this is the leading process of an instance."""
    try:
        return "modelway_harness" in process.cmdline() and os.getsid(process.pid) == process.pid
    except (psutil.Error, ProcessLookupError):
        return False


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def leaders(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that live and that none of the others started: what is forked looks like its parent for a moment."""
    parents = {}
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            parents[each] = each.ppid()
    return [each for each, parent in parents.items() if parent not in {other.pid for other in processes}]


def is_program(process: psutil.Process, program: str) -> bool:
    """Whether this is the process that the supervisor started, not one of its children."""
    command = command_of(process)
    if not command or "locked" in " ".join(command[:4]):
        return False
    mark = _MARKS[program.partition("-")[0]]
    if program.startswith("haproxy"):
        is_it = command[0].endswith(mark) and command[-1].endswith(f"/{program}/haproxy.cfg")
    elif program.startswith("nats"):
        is_it = command[0].endswith(mark)
    else:
        is_it = any(word.endswith(mark) or f"/{mark}" in word for word in command[:5])
    if is_it and program.startswith(("router", "api")) and _service_id(process) not in (program, f"{program}-1"):
        return False
    parent = _parent_of(process) if is_it else None
    return is_it and (parent is None or not command_of(parent) or "supervisord" in " ".join(command_of(parent)))


def _parent_of(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


def _service_id(process: psutil.Process) -> str:
    try:
        return process.environ().get("SERVICE_ID", "")
    except psutil.Error:
        return ""
