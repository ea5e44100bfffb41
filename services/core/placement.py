"""This file decides what a deployer does next for one version: start, stop or forget instances, and what it reports.

It is level-triggered: the same look at the same world decides the same, and a look that was missed is made up by the
next. core/progress says what is known, core/rolling how many are started and which may go, core/draining in which order
they are taken away.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from services.core.condemning import condemn
from services.core.deadlines import STOP_GRACE_S, derive
from services.core.delivery import backoff_s
from services.core.draining import Drain, advance, held_reason
from services.core.ids import InstanceId
from services.core.noticing import notice
from services.core.progress import MAX_EARLY_EXITS, Progress, Wanted, World, generation_of, renew
from services.core.records import Instance, InstancePhase, PlacementPhase
from services.core.rolling import Crew, crew, replaced, spare, starts

CALM_S = 5.0  # after an early exit nothing older is given up for so long: what replaces it may end just so


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
    if not world.may_remove:
        seen = replace(seen, held_since=None)  # routers are waited for while they can be heard
    delay_s = restart_delay_s(seen.streak)
    if seen.streak > progress.streak and delay_s >= 1.0 and wanted.instances:
        said.append(f"{seen.streak} ended early in a row: the next start waits {delay_s:g} s")
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
        """Make the wanted generation whole, one of the older ones going for each that is ready; or give it up."""
        self.progress = condemn(self.progress, self.wanted, self.world)
        self.actions += [Stop(each, why.grace_s) for each, why in self.progress.condemned.items()]
        self._give_up_if_hopeless()
        those = crew(self.wanted, self.progress, self.world)
        if self.progress.placement.phase is PlacementPhase.FAILED:
            self._fall_back(those)
        else:
            self._start_missing(those)
            self._set_phase(those)
            self._drain(spare(those.current, those, self.wanted.instances))
            self._exchange(those)
        self._drain(those.overtaken)
        self._go_on_draining()

    def wind_down(self) -> None:
        """Take every instance away, once routers lead nobody here any more."""
        alive = [each for each in self.progress.placement.instances if each.phase is not InstancePhase.EXITED]
        placement = self.progress.placement
        phase = PlacementPhase.STOPPING if alive else PlacementPhase.STOPPED
        if phase is not placement.phase:
            self.said.append("stopping" if alive else "stopped")
        self._report(phase, "")
        route_at, model_id = self.wanted.routed_out_at, placement.model_id
        behind = self.world.routers.behind(lambda report: not route_at or report.routes.get(model_id, 0) >= route_at)
        undrained = [each for each in alive if each.instance_id not in self.progress.drains]
        since = self.progress.held_since
        if undrained and self.world.may_remove and not self._is_held(behind):
            self._drain(undrained, held_since=since)
        self._go_on_draining()

    def forget_ended(self) -> None:
        ended = (each for each in self.progress.placement.instances if each.phase is InstancePhase.EXITED)
        self.actions += [Forget(each.instance_id) for each in ended]

    def _give_up_if_hopeless(self) -> None:
        placement = self.progress.placement
        is_starting = placement.phase in (PlacementPhase.STARTING, PlacementPhase.STALLED)
        if is_starting and self.progress.early_exits >= MAX_EARLY_EXITS:
            self.said.append(f"failed: {placement.last_exit}")
            self._report(PlacementPhase.FAILED, placement.last_exit)

    def _fall_back(self, those: Crew) -> None:
        """Given up: what still starts is stopped, and the older ones serve on, as long as they live.

        Those of the generation that answer calls by now go in their order, but as many as older ones are missing stay:
        what runs in their place is better than nothing.
        """
        serving = [each for each in those.current if each.phase is InstancePhase.RUNNING]
        self.actions += [Stop(each.instance_id, STOP_GRACE_S) for each in those.current if each not in serving]
        self._drain(spare(serving, those, max(0, self.wanted.instances - len(those.older))))

    def _start_missing(self, those: Crew) -> None:
        older_drain = any(generation_of(each) != self.wanted.generation for each in self.progress.drains)
        count = starts(those, self.wanted.instances, does_older_drain=older_drain)
        if self._is_over(restart_delay_s(self.progress.streak)):
            self.actions += [Start()] * count
        if not count and not any(each.phase is InstancePhase.STARTING for each in those.current):
            self.progress = replace(self.progress, advanced_at=self.world.now)  # nothing of it is late: it waits

    def _is_over(self, pause_s: float) -> bool:
        last = self.progress.last_exit_at
        return last is None or self.world.now - last >= timedelta(seconds=pause_s)

    def _set_phase(self, those: Crew) -> None:
        before = self.progress.placement.phase
        running = sum(each.phase is InstancePhase.RUNNING for each in those.current)
        waited_s = (self.world.now - self.progress.advanced_at).total_seconds()
        if before is PlacementPhase.RUNNING:
            self._report(PlacementPhase.RUNNING, self._why_incomplete(those))
        elif running >= self.wanted.instances:
            self.said.append("running")
            self._report(PlacementPhase.RUNNING, "")
        elif waited_s < self.wanted.start_deadline_s:
            self._report(PlacementPhase.STARTING, self.progress.trouble)
        else:
            reason = f"not ready after {self.wanted.start_deadline_s:g} s: {self._why_not_ready(those)}"
            if before is not PlacementPhase.STALLED:
                self.said.append(f"stalled: {reason}")
            self._report(PlacementPhase.STALLED, reason)

    def _why_incomplete(self, those: Crew) -> str:
        """What keeps ending, once that has happened more than once; "" when nothing is missing."""
        running = sum(each.phase is InstancePhase.RUNNING for each in (*those.current, *those.older))
        missing = self.wanted.instances - running
        if missing <= 0 or self.progress.streak <= 1:
            return ""
        why = self.progress.trouble or self.progress.placement.last_exit
        return f"{missing} of {self.wanted.instances} missing: {why}"

    def _why_not_ready(self, those: Crew) -> str:
        verdicts = (self.world.health.get(each.instance_id) for each in those.current)
        reasons = [each.reason for each in verdicts if each is not None and not each.is_ready and each.reason]
        last_exit = self.progress.placement.last_exit
        return next(iter((*reasons, self.progress.trouble, last_exit)), "") or "its health check has not answered yet"

    def _exchange(self, those: Crew) -> None:
        """Let older ones go, for as many of the wanted generation as are ready and, at every router, sent calls."""
        is_calm = not self.progress.early_exits or self._is_over(CALM_S)
        ready = {each.instance_id for each in those.current} & those.ready if those.older and is_calm else set()
        revisions = [self.progress.announced[each] for each in ready & self.progress.announced.keys()]
        since = self.progress.held_since
        if self._is_held(self._unaware(max(revisions)) if revisions else ()):
            revisions = [each for each in revisions if not self._unaware(each)]
        if is_calm:
            self._drain(replaced(those, self.wanted.instances, taking_over=len(revisions)), held_since=since)

    def _unaware(self, revision: int) -> tuple[str, ...]:
        """The routers that do not have this revision of the placement in effect."""
        version_id = self.progress.placement.version_id
        return self.world.routers.behind(lambda report: report.placements.get(version_id, 0) >= revision)

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

    def _drain(self, instances: Iterable[Instance], *, held_since: datetime | None = None) -> None:
        """Mark them, unless something is unknown: from here on they go in the order that core/draining says.

        A router that was waited for since `held_since` is not waited for as long again.
        """
        fresh = [each.instance_id for each in instances if each.instance_id not in self.progress.drains]
        if not fresh or not self.world.may_remove:
            return
        self.said += [f"instance {each} drains" for each in fresh]
        marked = tuple(
            replace(each, phase=InstancePhase.DRAINING) if each.instance_id in fresh else each
            for each in self.progress.placement.instances
        )
        placement = replace(self.progress.placement, instances=marked)
        drains = self.progress.drains | {each: Drain(since=held_since or self.world.now) for each in fresh}
        self.progress = replace(self.progress, drains=drains, placement=placement)

    def _go_on_draining(self) -> None:
        if not self.world.may_remove:
            return
        version_id, drains = self.progress.placement.version_id, dict(self.progress.drains)
        own_s = {each.instance_id: derive(each.request_timeout_s).drain_s for each in self.world.observed}
        for each, drain in self.progress.drains.items():
            # A call on an older one may have begun with the time that calls had then.
            drain_s = max(self.wanted.drain_s, own_s.get(each, 0.0))
            drains[each], is_over = advance(
                drain, each, version_id, self.world.routers, now=self.world.now, drain_s=drain_s
            )
            if is_over:
                self.actions.append(Stop(each, STOP_GRACE_S))
        self.progress = replace(self.progress, drains=drains)

    def _report(self, phase: PlacementPhase, reason: str) -> None:
        self.progress = replace(self.progress, placement=replace(self.progress.placement, phase=phase, reason=reason))
