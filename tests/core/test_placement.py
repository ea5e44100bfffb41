"""What a deployer decides for one version: by example here, over all histories in test_placement_histories."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from services.core.draining import HOLD_S, Routers
from services.core.ids import InstanceId
from services.core.placement import Forget, Start, Stop
from services.core.progress import note_trouble, reject
from services.core.records import InstancePhase, PlacementPhase, Target
from tests.core.deployment import Deployment, desired
from tests.makers import MODEL_ID, version_id

VERSION = version_id(1)


def test_what_is_missing_is_started() -> None:
    deployment = Deployment(desired(instances=3))
    assert deployment.look().actions == (Start(), Start(), Start())


def test_what_runs_already_is_kept_when_nothing_is_remembered() -> None:
    deployment = Deployment(desired(instances=2))
    deployment.add("1-a")
    assert deployment.look().actions == (Start(),)


def test_an_instance_runs_from_the_first_time_it_is_ready() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.set_health("1-0", is_ready=False)
    deployment.look()
    assert deployment.phases() == {"1-0": InstancePhase.RUNNING}
    assert deployment.phase() is PlacementPhase.RUNNING


def test_a_version_runs_only_when_every_wanted_instance_has_been_ready() -> None:
    deployment = Deployment(desired(instances=2)).start_all()
    deployment.set_health("1-0", is_ready=True)
    deployment.look()
    assert deployment.phase() is PlacementPhase.STARTING
    deployment.set_health("1-1", is_ready=True)
    deployment.look()
    assert deployment.phase() is PlacementPhase.RUNNING


def test_five_exits_before_it_first_runs_end_in_failed_with_the_last_reason() -> None:
    deployment = Deployment(desired())
    for number in range(5):
        deployment.after(60).start_all()
        deployment.end(f"1-{number}", reason=f"reason {number}")
        decision = deployment.look()
    assert decision.progress.placement.phase is PlacementPhase.FAILED
    assert decision.progress.placement.reason == "reason 4"
    assert Start() not in decision.actions


def test_when_given_up_what_still_starts_is_stopped() -> None:
    deployment = Deployment(desired(instances=2))
    for number in range(5):
        deployment.after(60).start_all()
        deployment.end(f"1-{number}")
        decision = deployment.look()
    assert [type(action) for action in decision.actions if isinstance(action, Stop)] == [Stop]


def test_after_it_has_run_exits_never_end_in_failed() -> None:
    deployment = Deployment(desired()).run_all()
    for number in range(8):
        deployment.end(f"1-{number}")
        deployment.look()
        deployment.after(120).start_all()
    assert deployment.phase() is PlacementPhase.RUNNING
    assert deployment.placement.exits == 8


def test_early_exits_are_replaced_with_back_off() -> None:
    deployment = Deployment(desired()).start_all()
    deployment.end("1-0")
    assert Start() not in deployment.look().actions
    assert Start() not in deployment.after(0.2).look().actions
    assert Start() in deployment.after(0.1).look().actions


def test_an_instance_that_lived_long_is_replaced_as_if_it_were_the_first_to_end() -> None:
    deployment = Deployment(desired()).run_all()
    for number in range(3):
        deployment.end(f"1-{number}")
        deployment.look()
        deployment.after(120).run_all()
        deployment.after(3600)
    deployment.end("1-3")
    deployment.look()
    assert deployment.progress.streak == 1


def test_an_end_is_counted_once_however_often_it_is_seen() -> None:
    deployment = Deployment(desired()).start_all()
    deployment.end("1-0")
    for _ in range(3):
        assert Forget(deployment.id("1-0")) in deployment.look().actions
    assert deployment.placement.exits == 1


def test_an_end_that_was_counted_before_a_crash_is_not_counted_after_it() -> None:
    deployment = Deployment(desired()).start_all()
    deployment.end("1-0")
    deployment.look()
    deployment.crash()
    deployment.look()
    assert deployment.placement.exits == 1


def test_what_vanished_without_a_trace_has_ended_too() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.forget("1-0")
    deployment.look()
    assert deployment.placement.exits == 1
    assert deployment.placement.instances == ()


def test_what_was_stopped_with_the_machine_is_started_again_at_once_and_not_counted() -> None:
    deployment = Deployment(desired(instances=4)).start_all()
    for number in range(4):
        deployment.end(f"1-{number}", was_stopped=True)
    decision = deployment.look()
    assert decision.actions.count(Start()) == 4
    assert (deployment.placement.exits, deployment.phase()) == (0, PlacementPhase.STARTING)


def test_past_the_start_deadline_it_is_stalled_with_the_last_health_reason_and_kept() -> None:
    deployment = Deployment(desired(start_deadline_s=300.0)).start_all()
    deployment.set_health("1-0", is_ready=False, reason="worker 0 takes no connections")
    deployment.after(299).look()
    assert deployment.phase() is PlacementPhase.STARTING
    decision = deployment.after(1).look()
    assert decision.progress.placement.phase is PlacementPhase.STALLED
    assert deployment.placement.reason == "not ready after 300 s: worker 0 takes no connections"
    assert decision.actions == ()
    deployment.set_health("1-0", is_ready=True)
    deployment.look()
    assert deployment.phase() is PlacementPhase.RUNNING


def test_an_instance_beyond_recovery_is_ended_replaced_and_counted() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.set_health("1-0", is_ready=False, is_unrecoverable=True, reason="worker 0 is silent")
    decision = deployment.look()
    assert {type(action) for action in decision.actions} == {Start, Stop}
    deployment.end("1-0", was_stopped=True)
    deployment.look()
    assert (deployment.placement.exits, deployment.placement.last_exit) == (1, "worker 0 is silent")


def test_an_instance_over_its_memory_is_ended_at_once_also_while_the_bus_is_away() -> None:
    deployment = Deployment(desired(memory_bytes=2 << 30)).run_all()
    deployment.set_memory("1-0", (2 << 30) + 1)
    deployment.may_remove = False
    assert Stop(deployment.id("1-0"), 0.0) in deployment.look().actions
    deployment.end("1-0", was_stopped=True)
    deployment.look()
    assert deployment.placement.last_exit == "used more than its 2 GiB of memory"


def test_what_the_runtime_rejects_has_failed_for_this_generation_only() -> None:
    deployment = Deployment(desired())
    deployment.look()
    deployment.progress = reject(deployment.progress, "no such environment")
    assert deployment.look().actions == ()
    assert (deployment.phase(), deployment.placement.reason) == (PlacementPhase.FAILED, "no such environment")
    deployment.want(generation=2)
    assert deployment.look().actions == (Start(),)


def test_what_could_not_be_started_for_now_is_tried_again_with_back_off_and_told() -> None:
    deployment = Deployment(desired())
    deployment.look()
    deployment.progress = note_trouble(deployment.progress, "the blob store is away", deployment.now)
    assert deployment.look().actions == ()
    assert (deployment.placement.reason, deployment.placement.exits) == ("the blob store is away", 0)
    assert deployment.after(0.25).look().actions == (Start(),)


def test_too_many_instances_drain_the_unready_and_the_youngest_first() -> None:
    deployment = Deployment(desired(instances=4)).start_all(apart_s=1)
    for number in (0, 1, 2):
        deployment.set_health(f"1-{number}", is_ready=True)
    deployment.look()
    deployment.want(instances=2)
    deployment.look()
    draining = {name for name, phase in deployment.phases().items() if phase is InstancePhase.DRAINING}
    assert draining == {"1-2", "1-3"}


def test_while_anything_is_unknown_instances_are_only_added() -> None:
    deployment = Deployment(desired(instances=2)).run_all()
    deployment.may_remove = False
    deployment.want(instances=1)
    assert deployment.look().actions == ()
    deployment.want(instances=0)
    assert deployment.after(1e6).look().actions == ()
    deployment.want(instances=3)
    assert deployment.look().actions == (Start(),)


def test_a_stopped_version_goes_through_the_whole_order() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.routes_to(routes=4)
    deployment.stop(routed_out_at=5)

    assert deployment.look().actions == ()  # 1: a router still leads here
    assert deployment.phase() is PlacementPhase.STOPPING
    assert deployment.phases() == {"1-0": InstancePhase.RUNNING}

    deployment.routes_to(routes=5)
    assert deployment.look().actions == ()  # 2: marked, and published at some revision
    assert deployment.phases() == {"1-0": InstancePhase.DRAINING}
    marked_at = deployment.placement.revision

    deployment.routes_to(routes=5, placements=marked_at - 1)
    assert deployment.look().actions == ()  # 3: not in effect yet

    deployment.routes_to(routes=5, placements=marked_at, in_flight=1)
    assert deployment.look().actions == ()  # 4: a call is in flight

    deployment.routes_to(routes=5, placements=marked_at)
    assert deployment.look().actions == (Stop(deployment.id("1-0"), 5.0),)  # 5

    deployment.end("1-0", was_stopped=True)
    deployment.look()
    assert deployment.phase() is PlacementPhase.STOPPED


def test_a_call_that_does_not_end_holds_the_drain_for_the_drain_time() -> None:
    deployment = Deployment(desired(request_timeout_s=60.0)).run_all()
    deployment.stop()
    deployment.look()
    deployment.routes_to(placements=deployment.placement.revision, in_flight=1)
    deployment.look()
    assert deployment.after(64).look().actions == ()
    assert deployment.after(1).look().actions == (Stop(deployment.id("1-0"), 5.0),)


def test_a_silent_router_holds_the_drain_for_a_bound_and_is_named() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.routes_to(routes=4)
    deployment.live_routers = frozenset()
    deployment.stop(routed_out_at=5)
    assert "waiting for router-1 to route around what is being stopped" in deployment.look().said
    assert deployment.after(HOLD_S - 1).look().said == ()
    assert deployment.phases() == {"1-0": InstancePhase.RUNNING}
    said = deployment.after(1).look().said
    assert said[0] == "went on without router-1, which did not answer in time"
    assert deployment.phases() == {"1-0": InstancePhase.DRAINING}


def test_a_silent_router_is_waited_for_once_and_not_at_every_step_of_a_stop() -> None:
    deployment = Deployment(desired(request_timeout_s=60.0)).run_all()
    deployment.routes_to(routes=4)
    deployment.live_routers = frozenset()
    deployment.stop(routed_out_at=5)
    deployment.look()
    deployment.after(HOLD_S).look()
    assert deployment.phases() == {"1-0": InstancePhase.DRAINING}
    deployment.look()
    assert deployment.after(64).look().actions == ()
    assert deployment.after(1).look().actions == (Stop(deployment.id("1-0"), 5.0),)


def test_a_router_that_lives_but_lags_is_waited_for_longer_than_a_silent_one() -> None:
    deployment = Deployment(desired(request_timeout_s=60.0)).run_all()
    deployment.routes_to(routes=4)
    deployment.stop(routed_out_at=5)
    deployment.look()
    deployment.after(HOLD_S + 1).look()
    assert deployment.phases() == {"1-0": InstancePhase.RUNNING}


def test_a_router_that_never_reported_is_waited_for_while_its_heart_beats() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.live_routers = frozenset({"router-2"})
    deployment.stop()
    deployment.look()
    assert deployment.look().actions == ()


def test_calls_through_a_silent_router_are_waited_for_as_long_as_they_may_take() -> None:
    deployment = Deployment(desired(request_timeout_s=60.0)).run_all()
    deployment.routes_to(routes=1)
    deployment.live_routers = frozenset()
    deployment.stop()
    deployment.look()
    deployment.after(HOLD_S).look()
    assert deployment.after(64).look().actions == ()
    assert deployment.after(1).look().actions == (Stop(deployment.id("1-0"), 5.0),)


def test_what_drains_does_not_count_when_it_is_scaled_up_again() -> None:
    deployment = Deployment(desired(instances=2)).run_all()
    deployment.want(instances=1)
    deployment.look()
    deployment.want(instances=2)
    assert Start() in deployment.look().actions


def test_the_end_of_an_older_generation_is_not_counted_for_the_new_one() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.want(generation=2)
    deployment.start_all()
    deployment.end("1-0")
    deployment.look()
    assert (deployment.placement.exits, deployment.placement.last_exit) == (0, "")


def test_a_placement_that_could_not_be_published_marks_nothing() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.stop()
    deployment.is_bus_away = True
    deployment.look()
    assert deployment.after(1e6).look().actions == ()


def test_a_deployer_that_comes_back_goes_on_with_the_drain() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.stop()
    deployment.look()
    deployment.crash()
    assert deployment.look().actions == (Stop(deployment.id("1-0"), 5.0),)


def test_a_removed_version_is_drained_by_what_was_last_known_of_it() -> None:
    deployment = Deployment(desired()).run_all()
    deployment.remove()
    deployment.look()
    assert deployment.phases() == {"1-0": InstancePhase.DRAINING}
    assert deployment.look().actions == (Stop(deployment.id("1-0"), 5.0),)


def test_a_started_again_version_counts_from_nothing() -> None:
    deployment = Deployment(desired()).start_all()
    deployment.end("1-0")
    deployment.look()
    deployment.stop()
    deployment.look()
    deployment.want(target="running", generation=2)
    assert Start() in deployment.look().actions
    assert (deployment.placement.exits, deployment.placement.generation) == (0, 2)


def test_a_generation_that_was_stopped_before_it_was_seen_to_start_is_stopped_under_its_own_number() -> None:
    deployment = Deployment(desired()).start_all()
    deployment.stop()
    deployment.look()
    deployment.end("1-0", was_stopped=True)
    deployment.look()
    deployment.want(target=Target.STOPPED, generation=2)
    deployment.look()
    assert (deployment.phase(), deployment.placement.generation) == (PlacementPhase.STOPPED, 2)


def test_a_router_is_behind_until_its_report_says_otherwise() -> None:
    routers = Routers(reports={}, live=frozenset({"b", "a"}))
    assert routers.behind(lambda report: True) == ("a", "b")
    deployment = Deployment(desired())
    deployment.routes_to(routes=3)
    assert deployment.routers().behind(lambda report: report.routes.get(MODEL_ID, 0) >= 3) == ()


def test_the_decision_carries_the_revision_it_answers() -> None:
    deployment = Deployment(replace(desired(), revision=41))
    assert deployment.look().progress.placement.desired_revision == 41
    assert deployment.id("1-0") == InstanceId(f"{VERSION[-8:]}-1-0")
    assert timedelta(0) == deployment.now - deployment.progress.advanced_at
