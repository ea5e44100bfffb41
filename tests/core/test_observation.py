"""What is concluded from what is observed: only what is certain, whatever the order."""

from __future__ import annotations

import pytest

from services.core.commands import (
    RecordFailed,
    RecordReady,
    RecordStalled,
    RecordStopped,
    RestartVersion,
    StopVersion,
)
from services.core.ids import InstanceId
from services.core.observation import conclude, seen
from services.core.records import Health, InstancePhase, Placement, PlacementPhase
from services.core.settings import Settings
from tests.makers import History, built, create, health, instance, instance_id, placement, publish, ready, version_id

ONE = version_id(1)


def starting(instances: int = 2) -> History:
    return History(create(settings=Settings(instances=instances))).do(publish(1), built(1))


def test_a_version_is_ready_when_all_its_instances_are_ready_at_once() -> None:
    model = starting().state
    both = {ONE: placement(instances=[instance(1), instance(2)])}
    assert conclude(model, both, health(1)) == ()
    assert conclude(model, both, health(1, 2)) == (RecordReady(version_id=ONE, generation=1),)


def test_a_draining_instance_does_not_count() -> None:
    both = {ONE: placement(instances=[instance(1), instance(2, InstancePhase.DRAINING)])}
    assert conclude(starting().state, both, health(1, 2)) == ()


def test_an_older_generation_that_still_serves_does_not_make_the_new_one_ready() -> None:
    old = {ONE: placement(generation=1, instances=[instance(1, generation=7), instance(2, generation=7)])}
    verdicts = {instance_id(n, 7): verdict for n, verdict in zip((1, 2), health(1, 2).values(), strict=True)}
    assert conclude(starting().state, old, verdicts) == ()


def test_instances_of_another_generation_say_nothing() -> None:
    old = {ONE: placement(generation=7, instances=[instance(1), instance(2)])}
    assert conclude(starting().state, old, health(1, 2)) == ()


def test_giving_up_and_stalling_are_recorded_with_their_reasons() -> None:
    model = starting().state
    failed = {ONE: placement(phase=PlacementPhase.FAILED, reason="it exits at import")}
    assert conclude(model, failed, {}) == (RecordFailed(version_id=ONE, generation=1, reason="it exits at import"),)
    stalled = {ONE: placement(phase=PlacementPhase.STALLED, reason="not ready after 300 s")}
    assert conclude(model, stalled, {}) == (
        RecordStalled(version_id=ONE, generation=1, reason="not ready after 300 s"),
    )


def restarting() -> History:
    return starting().do(ready(1), RestartVersion(version_id=ONE))


def both_generations() -> tuple[Placement, dict[InstanceId, Health]]:
    """One instance is replaced already, the other still serves."""
    mixed = placement(generation=2, instances=[instance(1, generation=1), instance(1, generation=2)])
    (verdict,) = health(1).values()
    return mixed, {instance_id(1, 1): verdict, instance_id(1, 2): verdict}


def test_a_restart_is_over_once_every_instance_is_of_the_new_generation() -> None:
    mixed, verdicts = both_generations()
    assert conclude(restarting().state, {ONE: mixed}, verdicts) == ()
    whole = placement(generation=2, instances=[instance(1, generation=2), instance(2, generation=2)])
    verdicts = {instance_id(n, 2): verdict for n, verdict in zip((1, 2), health(1, 2).values(), strict=True)}
    assert conclude(restarting().state, {ONE: whole}, verdicts) == (RecordReady(version_id=ONE, generation=2),)


@pytest.mark.parametrize("phase", [PlacementPhase.FAILED, PlacementPhase.STALLED])
def test_a_restart_that_comes_to_nothing_is_recorded_and_the_version_still_serves(phase: PlacementPhase) -> None:
    history = restarting()
    history.do(*conclude(history.state, {ONE: placement(generation=2, phase=phase, reason="no")}, {}))
    assert history.events()[-1] == "RestartFailed"
    assert history.state.version(ONE).is_serving


def test_while_a_version_restarts_the_instances_of_both_generations_count_for_what_people_see() -> None:
    version = restarting().state.version(ONE)
    mixed, verdicts = both_generations()
    assert seen(version, mixed, verdicts, (), is_fresh=True).ready == 2
    untouched = placement(generation=1, instances=[instance(1), instance(2)])
    assert seen(version, untouched, health(1, 2), (), is_fresh=True).ready == 2


def test_a_stopping_version_is_stopped_when_its_deployer_says_so_not_when_its_instances_vanish() -> None:
    model = starting(1).do(ready(1), StopVersion(version_id=ONE)).state
    assert conclude(model, {}, {}) == ()
    assert conclude(model, {ONE: placement(phase=PlacementPhase.STOPPING)}, {}) == ()
    stopped = {ONE: placement(phase=PlacementPhase.STOPPED)}
    assert conclude(model, stopped, {}) == (RecordStopped(version_id=ONE, generation=1),)


def test_a_running_version_needs_no_record_when_an_instance_is_lost() -> None:
    model = starting(1).do(ready(1)).state
    assert conclude(model, {ONE: placement(phase=PlacementPhase.STARTING)}, {}) == ()
    assert seen(model.version(ONE), placement(), {}, [], is_fresh=True).ready == 0
