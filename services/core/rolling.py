"""This file is how many instances of a version are started, and which of them are let go: when it is scaled, and when
those of a newer generation take the place of the older ones, one at a time.

    one more than wanted is started ─▶ ready ─▶ every router sends it calls ─▶ an older one drains ─▶ gone ─▶ the next

An older one goes only in exchange, so that never fewer are ready than before, or than are wanted now. It says nothing
about how long anything takes: a step waits for the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.core.ids import InstanceId
from services.core.progress import Progress, Wanted, World, generation_of
from services.core.records import Instance, InstancePhase

STARTS_AT_ONCE = 4  # of one version: an import takes a whole processor


class Crew(msgspec.Struct, frozen=True, kw_only=True):
    """The instances of one version that are to stay for now, each group from the oldest to the youngest."""

    current: tuple[Instance, ...]  # of the wanted generation
    older: tuple[Instance, ...]  # of other generations: they serve until they are replaced
    overtaken: tuple[Instance, ...]  # of other generations too, and not ready yet: nobody waits for them any more
    ready: frozenset[InstanceId]  # now, of all of them


def crew(wanted: Wanted, progress: Progress, world: World) -> Crew:
    """Who stays: all that live, and neither drain nor are condemned. An unknown verdict makes nobody overtaken."""
    instances = progress.placement.instances
    staying = [each for each in instances if _is_staying(each) and each.instance_id not in progress.condemned]
    current = [each for each in staying if generation_of(each.instance_id) == wanted.generation]
    others = [each for each in staying if each not in current]
    overtaken = [each for each in others if _is_starting(each) and each.instance_id in world.health]
    return Crew(
        current=tuple(current),
        older=tuple(each for each in others if each not in overtaken),
        overtaken=tuple(overtaken),
        ready=frozenset(each.instance_id for each in staying if _is_ready(each, world)),
    )


def starts(those: Crew, wanted: int, *, does_older_drain: bool) -> int:
    """How many more may be started now.

    While older ones are left, one more than wanted may live, and none more while one of them drains: what it holds is
    still held. What was lost meanwhile is made up for in any case.
    """
    missing = wanted - len(those.current)
    if those.older:
        surge = 0 if does_older_drain else 1
        missing = min(missing, wanted + surge - len(those.current) - len(those.older))
    starting = sum(_is_starting(each) for each in those.current)
    return max(0, min(missing, STARTS_AT_ONCE - starting))


def replaced(those: Crew, wanted: int, *, taking_over: int) -> list[Instance]:
    """The older ones that may go when `taking_over` of the wanted generation have calls: what is not ready first."""
    excess = taking_over + len(those.older) - wanted
    return _ready_last(those.older, those)[: max(0, excess)]


def spare(instances: Iterable[Instance], those: Crew, wanted: int) -> list[Instance]:
    """Those beyond `wanted`: what is not ready first, then the youngest."""
    youngest_first = _ready_last(sorted(instances, key=lambda each: each.started_at, reverse=True), those)
    return youngest_first[: max(0, len(youngest_first) - wanted)]


def _ready_last(instances: Iterable[Instance], those: Crew) -> list[Instance]:
    return sorted(instances, key=lambda each: (each.instance_id in those.ready, not _is_starting(each)))


def _is_staying(instance: Instance) -> bool:
    return instance.phase in (InstancePhase.STARTING, InstancePhase.RUNNING)


def _is_starting(instance: Instance) -> bool:
    return instance.phase is InstancePhase.STARTING


def _is_ready(instance: Instance, world: World) -> bool:
    verdict = world.health.get(instance.instance_id)
    return not _is_starting(instance) and verdict is not None and verdict.is_ready
