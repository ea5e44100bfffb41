"""What a Model API promises, by example."""

from __future__ import annotations

import pytest

from services.core.commands import (
    ArchiveModel,
    CancelBuild,
    CreateAccessToken,
    DescribeModel,
    RecordFailed,
    RecordStalled,
    RecordStopped,
    RegenerateAccessToken,
    RevokeAccessToken,
    StartVersion,
    StopVersion,
)
from services.core.errors import Invalid, NotFound, Refused
from services.core.lifecycle import DeploymentPhase
from services.core.records import BuildPhase
from services.core.settings import Settings
from tests.makers import History, built, create, publish, ready, version_id


def serving(number: int = 1) -> History:
    history = History()
    for each in range(1, number + 1):
        history.do(publish(each), built(each), ready(each))
    return history


def test_a_version_takes_latest_only_once_it_was_wholly_ready() -> None:
    history = History().do(publish(1), built(1, BuildPhase.BUILDING), built(1))
    assert history.state.labels == {}
    assert history.do(ready(1)).state.labels == {"latest": version_id(1)}


def test_the_next_version_takes_over_and_the_one_before_is_stopped_after_it_was_routed_out() -> None:
    history = serving(2)
    old, new = history.state.versions
    assert history.state.labels == {"latest": new.id}
    assert old.deployment is DeploymentPhase.STOPPING
    assert old.unrouted_at > 0
    assert history.events()[-3:] == ["VersionBecameReady", "LabelMoved", "StopOrdered"]


def test_a_failed_build_does_not_take_down_the_serving_version() -> None:
    history = serving().do(publish(2), built(2, BuildPhase.FAILED))
    assert history.state.labels == {"latest": version_id(1)}
    assert history.state.version(version_id(1)).deployment is DeploymentPhase.READY
    assert history.state.version(version_id(2)).reason == "file 'predict.py' is not in the project"


def test_a_version_that_fails_to_start_does_not_take_down_the_serving_version() -> None:
    failed = RecordFailed(version_id=version_id(2), generation=1, reason="ImportError: no module named x")
    history = serving().do(publish(2), built(2), failed)
    assert history.state.labels == {"latest": version_id(1)}
    assert history.state.version(version_id(2)).deployment is DeploymentPhase.FAILED


def test_a_version_that_becomes_ready_late_does_not_take_latest_from_one_ordered_after_it() -> None:
    history = History().do(publish(1), publish(2), built(2), built(1), ready(2))
    assert history.state.version(version_id(1)).deployment is DeploymentPhase.STOPPING
    history.do(ready(1))
    assert history.state.labels == {"latest": version_id(2)}


def test_a_superseded_version_that_is_still_being_built_does_not_start_when_its_build_completes() -> None:
    history = History().do(publish(1), publish(2), built(2), ready(2), built(1))
    assert history.state.version(version_id(1)).deployment is DeploymentPhase.NONE


def test_an_older_version_can_be_started_again_and_takes_over_when_ready() -> None:
    stopped = RecordStopped(version_id=version_id(1), generation=1)
    history = serving(2).do(stopped, StartVersion(version_id=version_id(1)))
    assert history.state.labels == {"latest": version_id(2)}
    history.do(ready(1, generation=2))
    assert history.state.labels == {"latest": version_id(1)}
    assert history.state.version(version_id(2)).deployment is DeploymentPhase.STOPPING


def test_an_observation_of_an_older_generation_says_nothing() -> None:
    one = version_id(1)
    history = serving().do(StopVersion(version_id=one), RecordStopped(version_id=one, generation=1))
    history.do(StartVersion(version_id=one), ready(1, generation=1))
    assert history.state.version(one).deployment is DeploymentPhase.STARTING
    assert history.state.labels == {}


def test_stopping_routes_out_first() -> None:
    history = serving().do(StopVersion(version_id=version_id(1)))
    assert history.events()[-2:] == ["LabelMoved", "StopOrdered"]
    assert history.state.labels == {}


def test_stopping_a_version_that_is_being_built_only_keeps_it_from_starting() -> None:
    history = History().do(publish(1), StopVersion(version_id=version_id(1)), built(1))
    version = history.state.version(version_id(1))
    assert version.is_built
    assert version.deployment is DeploymentPhase.NONE


def test_stopping_twice_is_stopping_once() -> None:
    history = serving().do(StopVersion(version_id=version_id(1)))
    before = history.state
    assert history.do(StopVersion(version_id=version_id(1))).state is before


def test_a_version_can_be_published_without_being_deployed_and_started_later() -> None:
    history = History().do(publish(1, should_deploy=False), built(1))
    assert history.state.version(version_id(1)).deployment is DeploymentPhase.NONE
    history.do(StartVersion(version_id=version_id(1)), ready(1))
    assert history.state.labels == {"latest": version_id(1)}


def test_a_stalled_version_still_takes_over_when_it_recovers_and_its_reason_goes_away() -> None:
    stalled = RecordStalled(version_id=version_id(1), generation=1, reason="not ready after 300 s")
    history = History().do(publish(1), built(1), stalled)
    assert history.state.version(version_id(1)).reason == "not ready after 300 s"
    history.do(ready(1))
    assert history.state.labels == {"latest": version_id(1)}
    assert history.state.version(version_id(1)).reason == ""


def test_starting_a_version_whose_build_failed_is_refused_with_the_reason() -> None:
    history = History().do(publish(1), built(1, BuildPhase.FAILED))
    with pytest.raises(Refused, match=r"build failed: file 'predict.py' is not in the project"):
        history.do(StartVersion(version_id=version_id(1)))


def test_a_cancelled_build_fails_its_version_with_who_cancelled_it_and_late_reports_change_nothing() -> None:
    history = serving().do(publish(2), built(2, BuildPhase.BUILDING), CancelBuild(version_id=version_id(2), by="ada"))
    cancelled = history.state
    version = cancelled.version(version_id(2))
    assert (version.build, version.deployment) == (BuildPhase.FAILED, DeploymentPhase.NONE)
    assert version.reason == "the build was cancelled by ada"
    assert history.events()[-1] == "BuildCancelled"
    for phase in (BuildPhase.BUILDING, BuildPhase.COMPLETE, BuildPhase.FAILED):
        assert history.do(built(2, phase), built(2, phase, attempt=2)).state is cancelled
    assert cancelled.labels == {"latest": version_id(1)}


def test_cancelling_twice_is_cancelling_once_and_what_is_built_has_no_build_to_cancel() -> None:
    history = serving().do(publish(2), CancelBuild(version_id=version_id(2), by="ada"))
    before = history.state
    assert history.do(CancelBuild(version_id=version_id(2), by="bob")).state is before
    with pytest.raises(Refused, match="version 1 is built already: there is no build to cancel"):
        history.do(CancelBuild(version_id=version_id(1), by="ada"))


def test_archiving_cancels_the_builds_of_the_model() -> None:
    history = History().do(publish(1), publish(2, should_deploy=False), built(1, BuildPhase.BUILDING), ArchiveModel())
    for version in history.state.versions:
        assert (version.build, version.reason) == (BuildPhase.FAILED, "not built: the model was archived")
    before = history.state
    assert history.do(built(1), built(2)).state is before


def test_archiving_stops_every_version_and_refuses_new_ones() -> None:
    history = serving().do(publish(2), built(2), ArchiveModel())
    assert not any(version.is_wanted for version in history.state.versions)
    assert history.state.labels == {}
    with pytest.raises(Refused, match="archived"):
        history.do(publish(3))


def test_a_revoked_token_is_gone_and_a_regenerated_one_has_another_hash() -> None:
    token = CreateAccessToken(token_id="t", name="app", token_hash="1" * 64)
    history = History().do(token, RegenerateAccessToken(token_id="t", token_hash="2" * 64))
    assert [held.token_hash for held in history.state.tokens] == ["2" * 64]
    history.do(RevokeAccessToken(token_id="t"))
    assert history.state.tokens == ()
    with pytest.raises(NotFound):
        history.do(RevokeAccessToken(token_id="t"))


def test_two_tokens_of_one_name_are_refused() -> None:
    history = History().do(CreateAccessToken(token_id="t", name="app", token_hash="1" * 64))
    with pytest.raises(Refused, match="named 'app'"):
        history.do(CreateAccessToken(token_id="u", name="app", token_hash="2" * 64))


def test_instances_can_be_changed_within_bounds() -> None:
    described = DescribeModel(name="iris", description="", environment_id=create().environment_id, instances=4)
    assert History().do(described).state.settings.instances == 4
    with pytest.raises(Invalid, match="instances must be between 1 and 32, got 33"):
        History(create(settings=Settings(instances=33)))


def test_publishing_the_same_version_twice_is_publishing_it_once() -> None:
    assert len(History().do(publish(1), publish(1)).state.versions) == 1


def test_a_command_on_a_model_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFound):
        History(publish(1))
