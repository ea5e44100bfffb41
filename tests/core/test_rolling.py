"""How instances are exchanged for those of a newer generation, one at a time, and how many are started at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.core.draining import HOLD_S
from services.core.placement import CALM_S, Start, Stop
from services.core.records import InstancePhase, PlacementPhase, Target
from services.core.rolling import STARTS_AT_ONCE
from tests.core.deployment import Deployment, desired

DRAINING, RUNNING, STARTING = InstancePhase.DRAINING, InstancePhase.RUNNING, InstancePhase.STARTING


def rolling(instances: int = 2, **changes: object) -> Deployment:
    """A version that runs, and of which a new generation has just been ordered."""
    deployment = Deployment(desired(instances=instances, **changes)).run_all()
    deployment.routes_to(placements=deployment.revision)
    deployment.want(generation=2)
    return deployment


def follow(deployment: Deployment, **changes: int) -> None:
    """The router has all that was published in effect."""
    deployment.routes_to(placements=deployment.revision, **changes)


def test_one_step_of_a_roll_goes_through_its_whole_order() -> None:
    deployment = rolling()

    decision = deployment.look()
    assert decision.actions == (Start(),)  # 1: one more than wanted
    deployment.carry_out(decision)
    follow(deployment)
    assert deployment.look().actions == ()  # 2: it is not ready

    deployment.set_health("2-0", is_ready=True)
    deployment.look()
    assert deployment.look().actions == ()  # 3: no router sends it calls yet
    assert deployment.phases() == {"1-0": RUNNING, "1-1": RUNNING, "2-0": RUNNING}

    follow(deployment)
    deployment.look()
    assert deployment.phases() == {"1-0": DRAINING, "1-1": RUNNING, "2-0": RUNNING}  # 4: marked

    assert deployment.look().actions == ()  # 5: the mark is not in effect
    follow(deployment, in_flight=1)
    assert deployment.look().actions == ()  # 6: a call is in flight; the next is not started meanwhile
    follow(deployment)
    decision = deployment.look()
    assert decision.actions == (Stop(deployment.id("1-0"), 5.0),)  # 7

    deployment.carry_out(decision)
    assert Start() in deployment.look().actions  # 8: only now the next one
    assert deployment.phase() is PlacementPhase.STARTING


def test_it_runs_once_all_of_the_new_generation_have_been_ready_while_an_older_one_may_still_drain() -> None:
    deployment = rolling()
    while deployment.phase() is not PlacementPhase.RUNNING or deployment.placement.generation == 1:
        decision = deployment.turn()
    assert "running" in decision.said
    assert deployment.alive(2) == ["2-0", "2-1"]
    assert deployment.alive(1) == ["1-1"]
    deployment.turns(5)
    assert deployment.phases() == {"2-0": RUNNING, "2-1": RUNNING}
    assert deployment.placement.exits == 0


def test_a_router_that_does_not_answer_holds_a_step_for_a_bound_and_is_named() -> None:
    deployment = rolling(instances=1)
    deployment.carry_out(deployment.look())
    deployment.set_health("2-0", is_ready=True)
    deployment.live_routers = frozenset()
    deployment.look()
    assert "waiting for router-1 to route around what is being stopped" in deployment.look().said
    deployment.after(HOLD_S - 1).look()
    assert deployment.phases()["1-0"] is RUNNING
    assert "went on without router-1, which did not answer in time" in deployment.after(1).look().said
    assert deployment.phases()["1-0"] is DRAINING


def test_a_wait_for_routers_begins_anew_with_each_step_and_after_each_silence_of_the_bus() -> None:
    deployment = rolling(instances=1)
    deployment.carry_out(deployment.look())
    deployment.set_health("2-0", is_ready=True)
    deployment.look()
    deployment.look()
    deployment.may_remove = False
    deployment.after(3600).look()
    deployment.may_remove = True
    deployment.look()
    assert deployment.phases()["1-0"] is RUNNING


def test_while_it_rolls_it_can_be_scaled_up_and_down() -> None:
    deployment = rolling(instances=2).turns(2)
    deployment.want(instances=4)
    assert deployment.look().actions.count(Start()) == 2  # one of four is there, and two older ones
    deployment.turns(12)
    assert deployment.phases() == {f"2-{number}": RUNNING for number in range(4)}

    deployment.want(generation=3)
    deployment.turns(2)
    deployment.want(instances=1)
    for _ in range(12):
        assert deployment.serving()
        deployment.turn()
    assert [*deployment.phases().values()] == [RUNNING]
    assert deployment.alive(3) == deployment.alive()


def test_what_is_lost_while_it_rolls_is_made_up_for_by_the_new_generation_at_once() -> None:
    deployment = rolling(instances=4)
    deployment.carry_out(deployment.look())
    deployment.end("1-2")
    deployment.end("1-3")
    assert deployment.look().actions.count(Start()) == 2
    assert deployment.placement.exits == 0


def test_what_is_lost_while_an_older_one_drains_is_made_up_for_too() -> None:
    deployment = rolling(instances=2).turns(3)
    follow(deployment, in_flight=1)
    deployment.look()
    assert deployment.phases() == {"1-0": DRAINING, "1-1": RUNNING, "2-0": RUNNING}
    deployment.end("1-1")
    assert Start() in deployment.look().actions


def test_an_older_one_that_is_not_ready_goes_before_those_that_are_and_only_in_exchange() -> None:
    deployment = rolling(instances=2)
    deployment.set_health("1-1", is_ready=False)
    deployment.carry_out(deployment.look())
    assert deployment.phases()["1-1"] is RUNNING
    deployment.set_health("2-0", is_ready=True)
    deployment.look()
    follow(deployment)
    deployment.look()
    assert deployment.phases() == {"1-0": RUNNING, "1-1": DRAINING, "2-0": RUNNING}


def test_a_new_one_that_is_not_ready_any_more_takes_nobodys_place() -> None:
    deployment = rolling(instances=1)
    deployment.carry_out(deployment.look())
    deployment.set_health("2-0", is_ready=True)
    deployment.look()
    deployment.set_health("2-0", is_ready=False)
    follow(deployment)
    deployment.look()
    assert deployment.phases()["1-0"] is RUNNING


def test_a_generation_that_fails_is_stopped_and_the_older_one_serves_on() -> None:
    deployment = rolling(instances=2)
    for number in range(5):
        deployment.after(60).carry_out(deployment.look())
        deployment.end(f"2-{number}", reason="its example input failed: ValueError: no such flower")
        deployment.look()
    assert deployment.phase() is PlacementPhase.FAILED
    assert deployment.placement.reason == "its example input failed: ValueError: no such flower"
    deployment.after(3600).turns(5)
    assert deployment.phases() == {"1-0": RUNNING, "1-1": RUNNING}

    deployment.want(generation=3)
    assert Start() in deployment.look().actions
    assert (deployment.phase(), deployment.placement.reason) == (PlacementPhase.STARTING, "")
    deployment.turns(12)
    assert deployment.phases() == {"3-0": RUNNING, "3-1": RUNNING}


def fail(deployment: Deployment, generation: int) -> None:
    """Every further instance of the generation ends as soon as it was started."""
    while deployment.phase() is not PlacementPhase.FAILED:
        serving = deployment.serving()
        deployment.carry_out(deployment.after(60).look())
        for name in set(deployment.alive(generation)) - set(serving):
            deployment.end(name, reason="no weights")
        deployment.look()


def test_what_serves_in_the_place_of_an_older_one_that_is_gone_stays_when_its_generation_fails() -> None:
    deployment = rolling(instances=3)
    while len(deployment.alive(1)) > 2:
        deployment.turn()
    fail(deployment, 2)
    for _ in range(6):
        deployment.turn()
        assert deployment.serving() == ["1-1", "1-2", "2-0"]


def test_what_serves_beside_enough_older_ones_goes_in_its_order_when_its_generation_fails() -> None:
    deployment = rolling(instances=2)
    deployment.carry_out(deployment.look())
    deployment.set_health("2-0", is_ready=True)
    deployment.look()
    deployment.progress = type(deployment.progress)(
        placement=deployment.placement,
        advanced_at=deployment.now,
        early_exits=5,
        announced=deployment.progress.announced,
    )
    assert Stop(deployment.id("2-0"), 5.0) not in deployment.look().actions
    assert deployment.phases()["2-0"] is DRAINING
    deployment.turns(4)
    assert deployment.phases() == {"1-0": RUNNING, "1-1": RUNNING}


def test_a_failed_generation_and_the_older_one_are_all_taken_away_by_a_stop() -> None:
    deployment = rolling(instances=2)
    fail(deployment, 2)
    deployment.want(target=Target.STOPPED)
    deployment.turns(4)
    assert (deployment.phase(), deployment.alive()) == (PlacementPhase.STOPPED, [])


def test_a_stop_in_the_middle_of_a_roll_takes_both_generations_away() -> None:
    deployment = rolling(instances=2).turns(2)
    deployment.want(target=Target.STOPPED)
    deployment.turns(4)
    assert (deployment.phase(), deployment.alive()) == (PlacementPhase.STOPPED, [])


def test_nothing_older_is_given_up_soon_after_a_new_one_has_ended() -> None:
    """What becomes ready and ends at once, again and again, must not wear the older ones away."""
    deployment = rolling(instances=2).turns(3)
    deployment.end("2-0", reason="segmentation fault")
    deployment.turn()
    for _ in range(10):
        deployment.after(0.4).turn()
        assert deployment.phases()["1-1"] is RUNNING
    assert len(deployment.serving()) == 3
    deployment.after(CALM_S).turn()
    assert deployment.phases()["1-1"] is DRAINING


def test_what_ends_soon_after_it_was_ready_fails_the_generation_and_costs_one_older_one_at_most() -> None:
    deployment = rolling(instances=3)
    for _ in range(100):
        deployment.after(1.0).turn()
        for name in set(deployment.serving()) & set(deployment.alive(2)):
            deployment.end(name, reason="segmentation fault")
    assert deployment.phase() is PlacementPhase.FAILED
    assert len(deployment.serving()) >= 2


def test_a_generation_that_is_overtaken_before_it_is_ready_makes_room_for_the_next() -> None:
    deployment = rolling(instances=2)
    deployment.carry_out(deployment.look())
    deployment.set_health("2-0", is_ready=False, reason="worker 0 takes no connections")
    deployment.want(generation=3)
    decision = deployment.look()
    assert Start() in decision.actions
    assert deployment.phases() == {"1-0": RUNNING, "1-1": RUNNING, "2-0": DRAINING}
    deployment.carry_out(decision)
    deployment.turns(12)
    assert deployment.phases() == {"3-0": RUNNING, "3-1": RUNNING}


def test_instances_of_which_no_verdict_is_known_are_not_taken_for_overtaken() -> None:
    deployment = Deployment(desired(instances=2, generation=2))
    for name in ("1-0", "1-1"):
        deployment.add(name)
    deployment.carry_out(deployment.look())
    deployment.look()
    assert set(deployment.phases().values()) == {STARTING}


def test_the_start_deadline_is_counted_anew_for_each_step() -> None:
    deployment = rolling(instances=2, start_deadline_s=300.0)
    deployment.after(250).turns(1)
    deployment.look()
    deployment.after(250).turns(3)
    assert deployment.phase() is PlacementPhase.STARTING
    deployment.turns(2, is_ready=False)
    deployment.after(301).look()
    assert deployment.phase() is PlacementPhase.STALLED
    assert len(deployment.serving()) == 2
    deployment.turns(6)
    assert deployment.phase() is PlacementPhase.RUNNING


def test_waiting_for_an_older_one_to_drain_stalls_nothing() -> None:
    deployment = rolling(instances=2, start_deadline_s=30.0, request_timeout_s=600.0).turns(3)
    deployment.look()
    follow(deployment, in_flight=1)
    for _ in range(5):
        deployment.after(60).look()
    assert deployment.phase() is PlacementPhase.STARTING
    follow(deployment)
    deployment.turns(8)
    assert deployment.phase() is PlacementPhase.RUNNING


def test_an_older_one_is_held_to_the_memory_it_was_started_with() -> None:
    deployment = rolling(instances=2, memory_bytes=2 << 30)
    deployment.want(memory_bytes=1 << 30)
    deployment.set_memory("1-0", 3 << 29)
    deployment.turns(1)
    assert deployment.progress.condemned == {}
    deployment.set_memory("1-0", 3 << 30)
    deployment.set_memory("2-0", 3 << 29)
    assert {each for each in deployment.look().actions if isinstance(each, Stop)} == {
        Stop(deployment.id("1-0"), 0.0),
        Stop(deployment.id("2-0"), 0.0),
    }


def test_calls_on_an_older_one_are_waited_for_as_long_as_they_could_take_when_they_began() -> None:
    deployment = rolling(instances=1, request_timeout_s=600.0)
    deployment.want(request_timeout_s=1.0)
    deployment.turns(3)
    follow(deployment, in_flight=1)
    deployment.look()
    stop = Stop(deployment.id("1-0"), 5.0)
    assert stop not in deployment.after(604).look().actions
    assert stop in deployment.after(1).look().actions


def test_a_deployer_that_comes_back_in_the_middle_of_a_roll_goes_on_with_it_and_is_not_late() -> None:
    deployment = rolling(instances=2, start_deadline_s=300.0)
    deployment.after(3600).turns(2)
    deployment.crash()
    deployment.turn(is_ready=False)
    assert deployment.phase() is PlacementPhase.STARTING
    for _ in range(12):
        assert len(deployment.serving()) >= 2
        deployment.turn()
    assert deployment.phases() == {"2-0": RUNNING, "2-1": RUNNING}


def test_starts_at_once_are_bounded_and_the_next_follow_as_they_become_ready() -> None:
    deployment = Deployment(desired(instances=1)).run_all()
    deployment.want(instances=8)
    decision = deployment.look()
    assert decision.actions.count(Start()) == STARTS_AT_ONCE == 4
    deployment.carry_out(decision)
    assert Start() not in deployment.look().actions
    deployment.set_health("1-1", is_ready=True)
    assert deployment.look().actions.count(Start()) == 1
    deployment.turns(6)
    assert len(deployment.serving()) == 8


def test_scaling_down_drains_the_youngest_in_their_order() -> None:
    deployment = Deployment(desired(instances=8)).turns(1)
    while len(deployment.serving()) < 8:
        deployment.after(1).turn()
    deployment.want(instances=2)
    assert deployment.look().actions == ()
    kept = {name for name, phase in deployment.phases().items() if phase is RUNNING}
    assert len(kept) == 2
    assert kept < {"1-0", "1-1", "1-2", "1-3"}  # the four that were started first, at the same moment
    assert deployment.look().actions == ()  # not in effect at the router
    follow(deployment, in_flight=1)
    assert deployment.look().actions == ()  # each has a call
    follow(deployment)
    assert len([each for each in deployment.look().actions if isinstance(each, Stop)]) == 6


def test_a_crash_loop_of_what_has_run_says_what_is_missing_why_and_when_it_goes_on() -> None:
    deployment = Deployment(desired(instances=2)).run_all()
    said: list[str] = []
    for number in range(1, 5):
        deployment.end(f"1-{number}", reason="was killed by SIGSEGV")
        said += deployment.look().said
        deployment.after(10).carry_out(deployment.look())
    deployment.look()
    assert deployment.placement.reason == "1 of 2 missing: was killed by SIGSEGV"
    assert "3 ended early in a row: the next start waits 1 s" in said
    deployment.turns(3)
    assert (deployment.placement.reason, deployment.placement.last_exit) == ("", "was killed by SIGSEGV")


def test_what_takes_long_to_fail_at_its_start_is_given_up_all_the_same() -> None:
    deployment = Deployment(desired(start_deadline_s=3600.0))
    for number in range(5):
        deployment.carry_out(deployment.look())
        deployment.after(300).look()
        deployment.end(f"1-{number}", reason="its example input failed: it took longer than 60 s")
        deployment.look()
        deployment.after(60)
    assert deployment.phase() is PlacementPhase.FAILED


@settings(max_examples=150, deadline=None)
@given(
    before=st.integers(1, 5),
    after=st.integers(1, 5),
    scaled_at=st.integers(0, 20),
    lost=st.lists(st.integers(0, 40), max_size=2),
    kills=st.lists(st.integers(0, 40), max_size=2),
    is_slow=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_never_fewer_serve_than_before_or_wanted_however_a_roll_goes(
    before: int, after: int, scaled_at: int, lost: list[int], kills: list[int], is_slow: list[bool]
) -> None:
    deployment = rolling(instances=before)
    losses = 0
    for turn, slow in enumerate(is_slow):
        if turn == scaled_at:
            deployment.want(instances=after)
        if turn in lost and deployment.serving():
            deployment.end(deployment.serving()[-1])
            losses += 1
        if turn in kills:
            deployment.crash()
        deployment.after(1.0).turn(is_ready=not slow)
        assert len(deployment.serving()) >= min(before, after) - losses
        assert len(deployment.alive()) <= max(before, after) + 1
    for _ in range(30):
        deployment.after(10.0).turn()
    assert deployment.phases() == dict.fromkeys(deployment.alive(2), RUNNING)
    assert len(deployment.alive()) == after
