"""What holds in every history: exits, lost verdicts, silent routers, crashes and changes of mind, in any order."""

from __future__ import annotations

from hypothesis import HealthCheck as Check
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.core.placement import Decision, Stop
from services.core.progress import generation_of
from services.core.records import InstancePhase, PlacementPhase, Target
from tests.core.deployment import Deployment, desired

LOOKS_UNTIL_SETTLED = 40


class Histories(RuleBasedStateMachine):
    """The world does anything; the deployer looks, and what it decides is carried out, sooner or later."""

    def __init__(self) -> None:
        super().__init__()
        self.deployment = Deployment(desired(instances=2))
        self.stopping: set[str] = set()
        self.most_wanted = 2
        self.remembered: set[str] = set()

    @rule(seconds=st.sampled_from([0.1, 1.0, 20.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.deployment.after(seconds)

    @rule(data=st.data(), was_stopped=st.booleans())
    @precondition(lambda self: self._alive())
    def an_instance_ends(self, data: st.DataObject, was_stopped: bool) -> None:
        self.deployment.end(data.draw(st.sampled_from(self._alive())), was_stopped=was_stopped)

    @rule(data=st.data(), is_ready=st.booleans(), is_unrecoverable=st.booleans())
    @precondition(lambda self: self._alive())
    def the_monitor_speaks(self, data: st.DataObject, is_ready: bool, is_unrecoverable: bool) -> None:
        name = data.draw(st.sampled_from(self._alive()))
        self.deployment.set_health(name, is_ready=is_ready, is_unrecoverable=is_unrecoverable and not is_ready)

    @rule(is_whole=st.booleans(), is_bus_away=st.booleans())
    def the_bus_comes_or_goes(self, is_whole: bool, is_bus_away: bool) -> None:
        self.deployment.may_remove = is_whole and not is_bus_away
        self.deployment.is_bus_away = is_bus_away

    @rule(lag=st.integers(0, 3), in_flight=st.integers(0, 1))
    def a_router_reports(self, lag: int, in_flight: int) -> None:
        revision = max(0, self.deployment.revision - lag)
        self.deployment.routes_to(routes=revision, placements=revision, in_flight=in_flight)

    @rule()
    def the_router_falls_silent(self) -> None:
        self.deployment.live_routers = frozenset()

    @rule(instances=st.integers(1, 4))
    def it_is_scaled(self, instances: int) -> None:
        self.most_wanted = max(self.most_wanted, instances)
        self.deployment.want(instances=instances)

    @rule()
    def it_is_stopped(self) -> None:
        self.deployment.stop(routed_out_at=self.deployment.revision)

    @rule()
    def it_is_started_again(self) -> None:
        self.deployment.want(target="running", generation=self.deployment.last.generation + 1, routed_out_at=0)

    @rule()
    def it_is_restarted(self) -> None:
        if self.deployment.last.target is Target.RUNNING:
            self.deployment.want(generation=self.deployment.last.generation + 1)

    @rule()
    def the_deployer_is_killed(self) -> None:
        self.deployment.crash()
        self.remembered = set()

    @rule(is_carried_out=st.booleans())
    def the_deployer_looks(self, is_carried_out: bool) -> None:
        stored, marked = self.deployment.stored, self._marked()
        decision = self.deployment.look()
        self._check_stops(stored, decision)
        self._check_marks(marked, decision)
        if is_carried_out:
            self.deployment.carry_out(decision)

    @invariant()
    def it_never_runs_more_than_was_ever_wanted(self) -> None:
        counts: dict[int, int] = {}
        draining = self.deployment.stored.instances if self.deployment.stored is not None else ()
        spared = {each.instance_id for each in draining if each.phase is InstancePhase.DRAINING}
        for name in self._alive():
            instance_id = self.deployment.id(name)
            if instance_id not in spared and name not in self.stopping:
                counts[generation_of(instance_id)] = counts.get(generation_of(instance_id), 0) + 1
        assert all(count <= self.most_wanted for count in counts.values())

    def teardown(self) -> None:
        """Once the world behaves, what is wanted comes true."""
        deployment = self.deployment
        deployment.may_remove, deployment.is_bus_away = True, False
        for _ in range(LOOKS_UNTIL_SETTLED):
            deployment.carry_out(deployment.look())
            deployment.routes_to(routes=1 << 40, placements=deployment.revision)
            for name in self._alive():
                deployment.set_health(name, is_ready=True)
            deployment.after(30)
        deployment.look()
        phase, running = deployment.phase(), [*deployment.phases().values()]
        if deployment.last.target == "stopped":
            assert (phase, running) == (PlacementPhase.STOPPED, [])
        elif phase is not PlacementPhase.FAILED:
            assert phase is PlacementPhase.RUNNING
            assert running == [InstancePhase.RUNNING] * deployment.last.instances
            assert {generation_of(each.instance_id) for each in deployment.placement.instances} == {
                deployment.last.generation
            }

    def _alive(self) -> list[str]:
        return [name for name, each in self.deployment.instances.items() if each.is_alive]

    def _marked(self) -> set[str]:
        """Those that drain by what was last published, or is remembered; a deployer that was killed knows the first."""
        stored = self.deployment.stored.instances if self.deployment.stored is not None else ()
        return {each.instance_id for each in stored if each.phase is InstancePhase.DRAINING} | self.remembered

    def _check_marks(self, marked: set[str], decision: Decision) -> None:
        """Never fewer ready than before this look, or than are wanted, because of what it marked."""
        deployment, progress = self.deployment, decision.progress
        self.remembered = set(progress.drains)
        if deployment.last.target is Target.STOPPED:
            return
        ready = [
            deployment.id(name)
            for name in self._alive()
            if (verdict := deployment.health.get(deployment.id(name))) is not None and verdict.is_ready
        ]
        before = [each for each in ready if each not in marked and each not in progress.condemned]
        left = [each for each in before if each not in progress.drains]
        assert len(left) >= min(len(before), deployment.last.instances)

    def _check_stops(self, stored: object, decision: Decision) -> None:
        """Nothing is stopped that was not told to be draining first, but what is condemned or hopeless."""
        placement = decision.progress.placement
        before = self.deployment.stored if stored is None else stored
        draining = {each.instance_id for each in getattr(before, "instances", ()) if each.phase == "draining"}
        for action in decision.actions:
            if isinstance(action, Stop) and action.instance_id not in decision.progress.condemned:
                is_hopeless = placement.phase is PlacementPhase.FAILED
                assert action.instance_id in draining or is_hopeless
                assert self.deployment.may_remove or is_hopeless


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[Check.too_slow]
)
