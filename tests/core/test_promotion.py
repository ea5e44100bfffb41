"""Who answers `latest` and `prod`: promotion, roll back and canaries, by example."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.core.commands import (
    ArchiveModel,
    ChangeSettings,
    CompleteCanary,
    DemoteVersion,
    PromoteVersion,
    RecordFailed,
    RecordStopped,
    RestoreModel,
    RollBack,
    SetCanary,
    StartVersion,
    StopVersion,
    WithdrawCanary,
)
from services.core.errors import Invalid, Refused
from services.core.lifecycle import DeploymentPhase
from services.core.records import BuildPhase, Candidate, Route
from services.core.settings import RoutingMode, Settings
from services.core.wanted import wanted
from tests.makers import History, built, create, publish, ready, version_id

ONE, TWO, THREE = version_id(1), version_id(2), version_id(3)


def advanced(versions: int) -> History:
    """A model in advanced mode whose versions were published one after the other, each ready before the next."""
    history = History(create(settings=Settings(routing_mode=RoutingMode.ADVANCED)))
    for number in range(1, versions + 1):
        history.do(publish(number), built(number), ready(number))
    return history


def in_production() -> History:
    """Version 1 answers prod, version 2 latest."""
    return advanced(1).do(PromoteVersion(version_id=ONE), publish(2), built(2), ready(2))


def route(history: History) -> Route:
    (body,) = (
        each.body for each in wanted(history.state, deployer_id="local").values() if isinstance(each.body, Route)
    )
    return body


def phase(history: History, number: int) -> DeploymentPhase:
    return history.state.version(version_id(number)).deployment


def test_in_advanced_mode_production_is_known_and_answered_by_nobody_until_a_version_is_promoted() -> None:
    assert route(advanced(1)).labels == {"latest": ONE, "prod": None}


def test_what_is_in_production_runs_on_when_another_version_takes_latest() -> None:
    history = in_production()
    assert history.state.labels == {"latest": TWO, "prod": ONE}
    assert phase(history, 1) is DeploymentPhase.READY


def test_promoting_moves_production_and_stops_what_neither_label_needs() -> None:
    history = in_production().do(PromoteVersion(version_id=TWO))
    assert history.state.labels == {"latest": TWO, "prod": TWO}
    assert phase(history, 1) is DeploymentPhase.STOPPING
    assert history.events()[-2:] == ["LabelMoved", "StopOrdered"]


def test_promoting_a_stopped_version_starts_it_first_and_leaves_latest_alone() -> None:
    history = advanced(2).do(RecordStopped(version_id=ONE, generation=1), PromoteVersion(version_id=ONE))
    assert phase(history, 1) is DeploymentPhase.STARTING
    assert "prod" not in history.state.labels
    history.do(ready(1, generation=2))
    assert history.state.labels == {"latest": TWO, "prod": ONE}
    assert phase(history, 2) is DeploymentPhase.READY


def test_a_version_promoted_while_it_is_being_built_is_in_production_once_it_is_ready() -> None:
    history = advanced(1).do(publish(2), PromoteVersion(version_id=TWO), built(2), ready(2))
    assert history.state.labels == {"latest": TWO, "prod": TWO}


def test_of_two_promotions_the_later_one_counts_and_what_was_started_for_the_first_is_stopped() -> None:
    stopped = [RecordStopped(version_id=each, generation=1) for each in (ONE, TWO)]
    history = advanced(3).do(*stopped, PromoteVersion(version_id=ONE), PromoteVersion(version_id=TWO))
    assert phase(history, 1) is DeploymentPhase.STOPPING
    history.do(ready(1, generation=2), ready(2, generation=2))
    assert history.state.labels == {"latest": THREE, "prod": TWO}


def test_a_promoted_version_that_fails_to_start_leaves_production_where_it_is() -> None:
    history = in_production().do(publish(3), built(3), PromoteVersion(version_id=THREE))
    history.do(RecordFailed(version_id=THREE, generation=1, reason="ImportError"))
    assert history.state.labels == {"latest": TWO, "prod": ONE}


def test_promoting_in_basic_mode_is_refused() -> None:
    history = History().do(publish(1), built(1), ready(1))
    with pytest.raises(Refused, match="basic routing mode"):
        history.do(PromoteVersion(version_id=ONE))


def test_demoting_leaves_production_to_nobody_and_stops_the_version_unless_latest_needs_it() -> None:
    history = in_production().do(DemoteVersion(version_id=ONE))
    assert route(history).labels == {"latest": TWO, "prod": None}
    assert phase(history, 1) is DeploymentPhase.STOPPING
    history = advanced(1).do(PromoteVersion(version_id=ONE), DemoteVersion(version_id=ONE))
    assert phase(history, 1) is DeploymentPhase.READY
    with pytest.raises(Refused, match="not in production"):
        history.do(DemoteVersion(version_id=ONE))


def test_rolling_back_brings_the_earlier_version_back_into_production_in_one_step() -> None:
    history = in_production().do(PromoteVersion(version_id=TWO), RecordStopped(version_id=ONE, generation=1))
    history.do(RollBack())
    assert history.state.labels == {"latest": TWO, "prod": TWO}, "not before it is ready"
    history.do(ready(1, generation=2))
    assert history.state.labels == {"latest": TWO, "prod": ONE}
    history.do(RollBack())
    assert history.state.labels["prod"] == TWO, "a roll back can be rolled back"


def test_rolling_back_in_basic_mode_brings_back_the_version_that_answered_latest_before() -> None:
    history = History().do(publish(1), built(1), ready(1), publish(2), built(2), ready(2))
    history.do(RecordStopped(version_id=ONE, generation=1), RollBack(), ready(1, generation=2))
    assert history.state.labels == {"latest": ONE}
    assert phase(history, 2) is DeploymentPhase.STOPPING


def test_rolling_back_the_first_version_is_refused() -> None:
    with pytest.raises(Refused, match="no earlier version"):
        advanced(1).do(RollBack())


def test_leaving_advanced_mode_makes_production_unknown_and_stops_what_only_it_needed() -> None:
    history = in_production()
    basic = replace(history.state.settings, routing_mode=RoutingMode.BASIC)
    history.do(ChangeSettings(settings=basic))
    assert route(history).labels == {"latest": TWO}
    assert phase(history, 1) is DeploymentPhase.STOPPING


def test_a_stopped_version_gets_its_label_back_when_it_is_started_again() -> None:
    history = in_production().do(StopVersion(version_id=ONE), RecordStopped(version_id=ONE, generation=1))
    history.do(StartVersion(version_id=ONE), ready(1, generation=2))
    assert history.state.labels == {"latest": TWO, "prod": ONE}


def test_an_older_version_started_in_advanced_mode_waits_to_be_promoted() -> None:
    history = advanced(2).do(RecordStopped(version_id=ONE, generation=1), StartVersion(version_id=ONE))
    history.do(ready(1, generation=2))
    assert history.state.labels == {"latest": TWO}
    assert phase(history, 1) is DeploymentPhase.READY


def tried(share: float = 10.0) -> History:
    """Version 2 answers a share of version 1's calls."""
    history = advanced(1).do(publish(2, should_deploy=False), built(2))
    return history.do(SetCanary(label="latest", version_id=TWO, share=share))


def test_a_canary_is_started_and_answers_its_share_once_it_is_ready_beside_the_version_it_is_held_to() -> None:
    history = tried()
    assert route(history).candidates == {}
    history.do(ready(2))
    assert route(history).candidates == {"latest": Candidate(version_id=TWO, share=10.0)}
    assert history.state.labels == {"latest": ONE}


def test_a_canary_is_widened_by_setting_its_share_again() -> None:
    history = tried().do(ready(2), SetCanary(label="latest", version_id=TWO, share=50.0))
    assert route(history).candidates["latest"].share == 50.0
    before = history.state
    assert history.do(SetCanary(label="latest", version_id=TWO, share=50.0)).state is before


def test_completing_a_canary_is_a_switch_that_stops_the_version_before() -> None:
    history = tried().do(ready(2), CompleteCanary(label="latest"))
    assert history.state.labels == {"latest": TWO}
    assert history.state.canaries == {}
    assert phase(history, 1) is DeploymentPhase.STOPPING


def test_withdrawing_a_canary_stops_it_and_touches_nothing_else() -> None:
    history = tried().do(ready(2), WithdrawCanary(label="latest"))
    assert route(history).candidates == {}
    assert (phase(history, 1), phase(history, 2)) == (DeploymentPhase.READY, DeploymentPhase.STOPPING)


def test_a_canary_that_fails_to_start_ends_with_its_reason() -> None:
    history = tried().do(RecordFailed(version_id=TWO, generation=1, reason="ImportError"))
    assert history.state.canaries == {}
    assert history.events()[-2:] == ["VersionFailed", "CanaryEnded"]


def test_a_canary_whose_build_fails_ends() -> None:
    history = advanced(1).do(publish(2, should_deploy=False), SetCanary(label="latest", version_id=TWO, share=5))
    assert history.do(built(2, BuildPhase.FAILED)).state.canaries == {}


def test_a_canary_ends_when_another_version_takes_over_what_it_is_held_to() -> None:
    history = tried().do(ready(2), publish(3), built(3), ready(3))
    assert history.state.canaries == {}
    assert history.state.labels == {"latest": THREE}
    assert phase(history, 2) is DeploymentPhase.STOPPING


def test_a_canary_ends_with_the_version_it_is_held_to() -> None:
    history = tried().do(ready(2), StopVersion(version_id=ONE))
    assert history.state.canaries == {}
    assert {phase(history, 1), phase(history, 2)} == {DeploymentPhase.STOPPING}


def test_a_canary_works_on_basic_routing_too() -> None:
    history = History().do(publish(1), built(1), ready(1), publish(2, should_deploy=False), built(2))
    history.do(SetCanary(label="latest", version_id=TWO, share=1.5), ready(2))
    assert history.state.labels == {"latest": ONE}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (SetCanary(label="latest", version_id=ONE, share=10), "version 1 already answers latest"),
        (SetCanary(label="prod", version_id=TWO, share=10), "prod leads to no version yet"),
        (SetCanary(label="beta", version_id=TWO, share=10), "label must be latest or prod"),
        (SetCanary(label="latest", version_id=TWO, share=101), "share must be between 0 and 100 percent, got 101"),
        (SetCanary(label="latest", version_id=THREE, share=10), "version 2 is tried on latest already"),
        (CompleteCanary(label="latest"), "version 2 is not ready yet"),
        (WithdrawCanary(label="prod"), "no version is tried on prod"),
    ],
)
def test_what_makes_no_sense_of_a_canary_is_refused_with_the_reason(command: SetCanary, reason: str) -> None:
    history = tried().do(publish(3, should_deploy=False), built(3))
    with pytest.raises((Refused, Invalid), match=reason):
        history.do(command)


def test_archiving_ends_everything_and_restoring_lets_a_version_be_started_again() -> None:
    history = in_production().do(ArchiveModel())
    assert (history.state.labels, history.state.canaries) == ({}, {})
    with pytest.raises(Refused, match="restore it first"):
        history.do(StartVersion(version_id=ONE))
    stopped = [RecordStopped(version_id=each, generation=1) for each in (ONE, TWO)]
    history.do(*stopped, RestoreModel(), StartVersion(version_id=TWO), ready(2, generation=2))
    assert history.state.labels == {"latest": TWO}
