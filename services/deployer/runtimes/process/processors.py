"""This file is how much of the processors an instance may use: a control group of its own, where one can be made.

Both kinds of control groups will do. With the newer kind a group can only be limited below one that holds no processes
itself and hands the controller down, so the nearest such group above this process is taken.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from services.core.ids import InstanceId

log = structlog.get_logger()

_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1000  # the kernel takes no less


class Base(msgspec.Struct, frozen=True):
    """The group below which those of instances are made."""

    folder: Path
    is_unified: bool  # the newer kind


class Processors:
    """The control groups of the instances below one folder; without a base there are none."""

    def __init__(self, base: Base | None, instances_dir: Path) -> None:
        self._base = base
        home = hashlib.sha256(str(instances_dir).encode()).hexdigest()[:8]
        self._prefix = f"modelway-{home}-"  # other homes on this machine have groups too

    @property
    def can_limit(self) -> bool:
        return self._base is not None

    def limit(self, instance_id: InstanceId, pid: int, *, most: float, share: float) -> None:
        """Have `pid`, and all it will start, use at most `most` cores, and their `share` when there are too few.

        0 is no limit, and no share of its own. What the kernel refuses is told in the log.
        """
        if self._base is None or not (most or share):
            return
        group = self._base.folder / f"{self._prefix}{instance_id}"
        try:
            group.mkdir(exist_ok=True)
            for name, value in _settings(most, share, is_unified=self._base.is_unified):
                (group / name).write_text(value)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            log.warning("processors_not_limited", instance=instance_id, reason=str(error))

    def release(self, kept: Collection[InstanceId]) -> None:
        """Take away the groups of all other instances; one in which anything still runs stays till the next time."""
        if self._base is None:
            return
        for group in self._base.folder.glob(f"{self._prefix}*"):
            if group.name.removeprefix(self._prefix) not in kept:
                with suppress(OSError):
                    group.rmdir()


def find_base(own: str, mounts: str, can_make: Callable[[Base], bool]) -> Base | None:
    """Where groups can be made, from the texts of /proc/self/cgroup and /proc/self/mounts; None: nowhere."""
    return next((base for base in _candidates(own, mounts) if can_make(base)), None)


def this_machine() -> Base | None:
    """The base for this process; nothing is left of the attempt."""
    try:
        own, mounts = Path("/proc/self/cgroup").read_text(), Path("/proc/self/mounts").read_text()
    except OSError:
        return None
    return find_base(own, mounts, _can_make)


def _candidates(own: str, mounts: str) -> Iterator[Base]:
    groups = [line.split(":", 2) for line in own.splitlines()]
    for words in (line.split() for line in mounts.splitlines()):
        mount, kind, options = Path(words[1]), words[2], words[3].split(",")
        for _, controllers, path in groups:
            if kind == "cgroup" and "cpu" in options and "cpu" in controllers.split(","):
                yield Base(mount / path.strip("/"), is_unified=False)
            if kind == "cgroup2" and not controllers:
                nearest = mount / path.strip("/")
                above = (folder for folder in nearest.parents if folder.is_relative_to(mount))
                yield from (Base(folder, is_unified=True) for folder in (nearest, *above))


def _can_make(base: Base) -> bool:
    probe = base.folder / f"modelway-probe-{os.getpid()}"
    try:
        probe.mkdir()
    except OSError:
        return False
    try:
        return os.access(probe / ("cpu.max" if base.is_unified else "cpu.cfs_quota_us"), os.W_OK)
    finally:
        probe.rmdir()


def _settings(most: float, share: float, *, is_unified: bool) -> Iterator[tuple[str, str]]:
    """The names and values of the files to write.

    >>> dict(_settings(1.5, 0.5, is_unified=True)), dict(_settings(1.5, 0.0, is_unified=False))
    ({'cpu.max': '150000 100000', 'cpu.weight': '50'}, {'cpu.cfs_period_us': '100000', 'cpu.cfs_quota_us': '150000'})
    """
    quota_us = max(_LEAST_QUOTA_US, round(most * _PERIOD_US))
    if most and is_unified:
        yield "cpu.max", f"{quota_us} {_PERIOD_US}"
    elif most:
        yield "cpu.cfs_period_us", str(_PERIOD_US)
        yield "cpu.cfs_quota_us", str(quota_us)
    if share:
        name, of_one_core, highest = ("cpu.weight", 100, 10_000) if is_unified else ("cpu.shares", 1024, 262_144)
        yield name, str(min(max(2, round(share * of_one_core)), highest))
