"""This file decides what a deployer does next for one version: start, stop or forget instances, and what it reports.

It is level-triggered: the same look at the same world decides the same, and a look that was missed is made up by the
next. core/progress says what is known, core/draining in which order instances are taken away.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec
from msgspec.structs import replace

from services.core.deadlines import STOP_GRACE_S
from services.core.delivery import backoff_s
from services.core.draining import Drain, advance, held_reason
from services.core.ids import InstanceId
from services.core.progress import Condemned, Progress, Wanted, World, generation_of, notice, renew
from services.core.records import Instance, InstancePhase, PlacementPhase

MAX_EXITS_BEFORE_READY = 5


class Start(msgspec.Struct, frozen=True):
    """Start one more instance of the wanted generation, under an id never used before."""


class Stop(msgspec.Struct, frozen=True):
    instance_id: InstanceId
    grace_s: float


class Forget(msgspec.Struct, frozen=True):
    """Its end is counted: take away what is left of it, once its output is safe."""

    instance_id: InstanceId


Action = Start | Stop | Forget


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`progress.placement` is what to publish; `said` is for the deployment log."""

    progress: Progress
    actions: tuple[Action, ...] = ()
    said: tuple[str, ...] = ()


def decide(wanted: Wanted, progress: Progress, world: World) -> Decision:
    """What to do now for one version, and what to remember and publish."""
    seen, said = notice(renew(progress, wanted, world.now), world)
    look = _Look(wanted, seen, world, said)
    if wanted.instances:
        look.keep_running()
    else:
        look.wind_down()
    look.forget_ended()
    return Decision(progress=look.progress, actions=tuple(look.actions), said=tuple(look.said))


def restart_delay_s(streak: int) -> float:
    """Seconds between the last of `streak` early exits in a row and the next start: doubles each time, up to a minute.

    >>> [restart_delay_s(n) for n in (0, 1, 2, 5, 40)]
    [0.0, 0.25, 0.5, 4.0, 60.0]
    """
    return 0.0 if streak == 0 else backoff_s(streak, base_s=0.25, cap_s=60.0)


class _Look:
    """One decision being made: `progress`, `actions` and `said` are its result."""

    def __init__(self, wanted: Wanted, progress: Progress, world: World, said: list[str]) -> None:
        self.wanted = wanted
        self.progress = progress
        self.world = world
        self.said = said
        self.actions: list[Action] = []

    def keep_running(self) -> None:
        """Make the wanted generation whole; then, and only then, take the older ones away."""
        self._give_up_if_hopeless()
        if self.progress.placement.phase is PlacementPhase.FAILED:
            self.actions += [Stop(each.instance_id, STOP_GRACE_S) for each in self._current()]
            self._go_on_draining()
            return
        self._condemn()
        current = self._current()
        if self._may_start():
            self.actions += [Start()] * (self.wanted.instances - len(current))
        self._set_phase(current)
        for spare in _spare(current, self.wanted.instances) if self.world.may_remove else ():
            self._drain(spare)
        if self._has_replaced(current):
            for each in self._undrained(self._older()):
                self._drain(each)
        self._go_on_draining()

    def wind_down(self) -> None:
        """Take every instance away, once routers lead nobody here any more."""
        alive = self._alive()
        placement = self.progress.placement
        phase = PlacementPhase.STOPPING if alive else PlacementPhase.STOPPED
        if phase is not placement.phase:
            self.said.append("stopping" if alive else "stopped")
        self._report(phase, "")
        route_at, model_id = self.wanted.routed_out_at, placement.model_id
        behind = self.world.routers.behind(lambda report: not route_at or report.routes.get(model_id, 0) >= route_at)
        undrained = self._undrained(alive)
        if undrained and self.world.may_remove and not self._is_held(behind):
            for each in undrained:
                self._drain(each)
        self._go_on_draining()

    def forget_ended(self) -> None:
        ended = (each for each in self.progress.placement.instances if each.phase is InstancePhase.EXITED)
        self.actions += [Forget(each.instance_id) for each in ended]

    def _alive(self) -> list[Instance]:
        return [each for each in self.progress.placement.instances if each.phase is not InstancePhase.EXITED]

    def _current(self) -> list[Instance]:
        """What counts towards the wanted instances."""
        return [
            each
            for each in self._alive()
            if generation_of(each.instance_id) == self.wanted.generation
            and each.phase is not InstancePhase.DRAINING
            and each.instance_id not in self.progress.condemned
        ]

    def _older(self) -> list[Instance]:
        return [each for each in self._alive() if generation_of(each.instance_id) != self.wanted.generation]

    def _undrained(self, instances: list[Instance]) -> list[Instance]:
        return [each for each in instances if each.instance_id not in self.progress.drains]

    def _give_up_if_hopeless(self) -> None:
        placement = self.progress.placement
        is_starting = placement.phase in (PlacementPhase.STARTING, PlacementPhase.STALLED)
        if is_starting and placement.exits >= MAX_EXITS_BEFORE_READY:
            self.said.append(f"failed: {placement.last_exit}")
            self._report(PlacementPhase.FAILED, placement.last_exit)

    def _condemn(self) -> None:
        """End what uses too much memory or is beyond recovery; it is replaced like one that was lost."""
        bound = self.wanted.memory_bytes
        for each in self._alive():
            verdict = self.world.health.get(each.instance_id)
            if bound and each.memory_bytes > bound:
                self._sentence(each, Condemned(f"used more than its {size(bound)} of memory", 0.0))
            elif verdict is not None and verdict.is_unrecoverable and self.world.may_remove:
                self._sentence(each, Condemned(verdict.reason or "stopped answering its health check", STOP_GRACE_S))
        self.actions += [Stop(each, why.grace_s) for each, why in self.progress.condemned.items()]

    def _sentence(self, instance: Instance, why: Condemned) -> None:
        condemned = {instance.instance_id: why} | self.progress.condemned
        self.progress = replace(self.progress, condemned=condemned)

    def _may_start(self) -> bool:
        last = self.progress.last_exit_at
        delay = timedelta(seconds=restart_delay_s(self.progress.streak))
        return last is None or self.world.now - last >= delay

    def _set_phase(self, current: list[Instance]) -> None:
        before = self.progress.placement.phase
        if before is PlacementPhase.RUNNING:
            return
        ready = sum(each.phase is InstancePhase.RUNNING for each in current)
        waited_s = (self.world.now - self.progress.began_at).total_seconds()
        if ready >= self.wanted.instances:
            self.said.append("running")
            self._report(PlacementPhase.RUNNING, "")
        elif waited_s < self.wanted.start_deadline_s:
            self._report(PlacementPhase.STARTING, self.progress.trouble)
        else:
            reason = f"not ready after {self.wanted.start_deadline_s:g} s: {self._why_not_ready(current)}"
            if before is not PlacementPhase.STALLED:
                self.said.append(f"stalled: {reason}")
            self._report(PlacementPhase.STALLED, reason)

    def _why_not_ready(self, current: list[Instance]) -> str:
        verdicts = (self.world.health.get(each.instance_id) for each in current)
        reasons = [each.reason for each in verdicts if each is not None and not each.is_ready and each.reason]
        last_exit = self.progress.placement.last_exit
        return next(iter((*reasons, self.progress.trouble, last_exit)), "") or "its health check has not answered yet"

    def _has_replaced(self, current: list[Instance]) -> bool:
        """True once the new generation is whole and every router sends it calls, so that an older one may go."""
        placement = self.progress.placement
        ready = sum(each.phase is InstancePhase.RUNNING for each in current)
        is_whole = placement.phase is PlacementPhase.RUNNING and ready >= self.wanted.instances
        if not is_whole or not self._undrained(self._older()) or not self.world.may_remove:
            return False
        version_id, revision = placement.version_id, placement.revision
        behind = self.world.routers.behind(lambda report: report.placements.get(version_id, 0) >= revision)
        return not self._is_held(behind)

    def _is_held(self, behind: tuple[str, ...]) -> bool:
        """Whether `behind` still holds what comes next; says so in the log when the wait begins, and when it is cut."""
        now, since = self.world.now, self.progress.held_since
        drain_s = self.wanted.drain_s
        holding = self.world.routers.holding(behind, since=since or now, now=now, drain_s=drain_s)
        if holding and since is None:
            self.said.append(held_reason(holding))
        if behind and not holding and since is not None:
            self.said.append(f"went on without {', '.join(behind)}, which did not answer in time")
        self.progress = replace(self.progress, held_since=(since or now) if holding else None)
        return bool(holding)

    def _drain(self, instance: Instance) -> None:
        if instance.instance_id in self.progress.drains:
            return
        self.said.append(f"instance {instance.instance_id} drains")
        drains = self.progress.drains | {instance.instance_id: Drain(since=self.world.now)}
        draining = replace(instance, phase=InstancePhase.DRAINING)
        instances = tuple(draining if each is instance else each for each in self.progress.placement.instances)
        placement = replace(self.progress.placement, instances=instances)
        self.progress = replace(self.progress, drains=drains, placement=placement)

    def _go_on_draining(self) -> None:
        if not self.world.may_remove:
            return
        version_id, drains = self.progress.placement.version_id, dict(self.progress.drains)
        for each, drain in self.progress.drains.items():
            drains[each], is_over = advance(
                drain, each, version_id, self.world.routers, now=self.world.now, drain_s=self.wanted.drain_s
            )
            if is_over:
                self.actions.append(Stop(each, STOP_GRACE_S))
        self.progress = replace(self.progress, drains=drains)

    def _report(self, phase: PlacementPhase, reason: str) -> None:
        self.progress = replace(self.progress, placement=replace(self.progress.placement, phase=phase, reason=reason))


def _spare(current: list[Instance], wanted: int) -> list[Instance]:
    """Those beyond `wanted`: what is not ready first, then the youngest."""
    oldest_last = sorted(current, key=lambda each: each.started_at, reverse=True)
    in_order = sorted(oldest_last, key=lambda each: each.phase is InstancePhase.RUNNING)
    return in_order[: max(0, len(current) - wanted)]


def size(count_bytes: int) -> str:
    """Bytes as people write them.

    >>> size(2 * 1024**3), size(1536 * 1024**2)
    ('2 GiB', '1.5 GiB')
    """
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count_bytes >= factor:
            return f"{count_bytes / factor:.4g} {unit}"
    return f"{count_bytes} bytes"
