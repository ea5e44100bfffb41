"""This file decides which instances are ended by force and replaced, like one that was lost."""

from __future__ import annotations

from msgspec.structs import replace

from services.core.deadlines import STOP_GRACE_S
from services.core.progress import Condemned, Progress, Wanted, World, generation_of
from services.core.records import Instance, InstancePhase


def condemn(progress: Progress, wanted: Wanted, world: World) -> Progress:
    """`progress` with those condemned that hold more memory than they may, or are beyond recovery.

    An older one is held to the limit it was started with, not to a new and perhaps lower one: it is to serve until it
    is replaced. What is condemned stays so, for the first reason. The monitor's word counts only while everything can
    be heard.
    """
    known = {each.instance_id: each.memory_limit_bytes for each in world.observed}
    alive = (each for each in progress.placement.instances if each.phase is not InstancePhase.EXITED)
    fresh = {}
    for each in alive:
        is_current = generation_of(each.instance_id) == wanted.generation
        limit_bytes = known.get(each.instance_id, 0) or (wanted.memory_bytes if is_current else 0)
        if (why := _why(each, world, limit_bytes)) is not None:
            fresh[each.instance_id] = why
    return replace(progress, condemned=fresh | progress.condemned) if fresh else progress


def _why(instance: Instance, world: World, limit_bytes: int) -> Condemned | None:
    if limit_bytes and instance.memory_bytes > limit_bytes:
        return Condemned(f"used more than its {size(limit_bytes)} of memory", 0.0)
    verdict = world.health.get(instance.instance_id)
    if verdict is not None and verdict.is_unrecoverable and world.may_remove:
        return Condemned(verdict.reason or "stopped answering its health check", STOP_GRACE_S)
    return None


def size(count_bytes: int) -> str:
    """Bytes as people write them.

    >>> size(2 * 1024**3), size(1536 * 1024**2)
    ('2 GiB', '1.5 GiB')
    """
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count_bytes >= factor:
            return f"{count_bytes / factor:.4g} {unit}"
    return f"{count_bytes} bytes"
