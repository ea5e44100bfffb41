"""What a change of settings does to what runs, by example."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from services.core.commands import (
    ChangeSettings,
    PublishVersion,
    RecordFailed,
    RecordStopped,
    RestartVersion,
    ScaleInstances,
    StartVersion,
    StopVersion,
)
from services.core.errors import Invalid, Refused
from services.core.lifecycle import DeploymentPhase, Seen, shown
from services.core.records import Desired, HealthCheck
from services.core.settings import Defaults, Scaling, Settings
from services.core.wanted import wanted
from tests.makers import History, built, create, publish, ready, source, version_id

ONE = version_id(1)


def running(**settings: Any) -> History:
    made = replace(Settings(), **settings)
    return History(create(settings=made)).do(publish(1), built(1), ready(1))


def desired(history: History, number: int = 1) -> Desired:
    (body,) = (
        each.body
        for each in wanted(history.state, deployer_id="local").values()
        if isinstance(each.body, Desired) and each.body.version_id == version_id(number)
    )
    return body


def change(history: History, *, defaults: Defaults | None = None, **settings: Any) -> History:
    defaults = defaults or Defaults()
    return history.do(ChangeSettings(settings=replace(history.state.settings, **settings), defaults=defaults))


def phase(history: History) -> DeploymentPhase:
    return history.state.version(ONE).deployment


def test_instances_and_scaling_change_live() -> None:
    history = change(running(), instances=3)
    assert desired(history).instances == 3
    assert desired(history).generation == 1
    history = change(history, scaling=Scaling(min_instances=4, max_instances=6, target_calls=1.0))
    assert desired(history).instances == 4
    assert phase(history) is DeploymentPhase.READY


@pytest.mark.parametrize(
    "settings",
    [
        {"memory_bytes": 1 << 30},
        {"cpu_limit": 0.5},
        {"workers": 2},
        {"request_timeout_s": 30.0},
        {"health_check": HealthCheck(period_s=20.0)},
        {"environment_variables": (("A", "sealed"),)},
    ],
)
def test_what_is_fixed_at_start_replaces_the_running_instances_and_the_version_serves_on(
    settings: dict[str, Any],
) -> None:
    history = change(running(), **settings)
    assert desired(history).generation == 2
    assert phase(history) is DeploymentPhase.RESTARTING
    assert history.state.labels == {"latest": ONE}
    assert shown(history.state.version(ONE), Seen(ready=2), wanted_instances=2).is_pending
    history.do(ready(1, generation=2))
    assert phase(history) is DeploymentPhase.READY
    assert history.events()[-1] == "VersionBecameReady", "no label moves"


def test_the_same_settings_again_change_nothing() -> None:
    history = running()
    before = history.state
    assert change(history).state is before


def test_settings_that_cannot_run_leave_the_old_instances_serving_and_the_version_says_why() -> None:
    history = change(running(), memory_bytes=64 << 20)
    history.do(RecordFailed(version_id=ONE, generation=2, reason="used more than its 64 MiB of memory"))
    version = history.state.version(ONE)
    assert version.deployment is DeploymentPhase.READY
    assert version.reason == "used more than its 64 MiB of memory"
    assert history.state.labels == {"latest": ONE}
    assert change(history, memory_bytes=1 << 30).state.version(ONE).generation == 3


def test_a_version_that_is_still_starting_starts_again_with_the_new_settings() -> None:
    history = change(History().do(publish(1), built(1)), workers=2)
    assert desired(history).generation == 2
    assert phase(history) is DeploymentPhase.STARTING
    assert history.do(ready(1, generation=2)).state.labels == {"latest": ONE}


def test_a_stopped_version_is_left_alone() -> None:
    history = running().do(StopVersion(version_id=ONE), RecordStopped(version_id=ONE, generation=1))
    change(history, workers=2)
    assert history.events()[-1] == "SettingsChanged"


def test_settings_that_do_not_fit_are_refused_with_the_sum_and_change_nothing() -> None:
    history = running()
    before = history.state
    with pytest.raises(Invalid, match="10 s x 10 = 100 s, the request timeout is 120 s"):
        change(history, request_timeout_s=120.0)
    assert history.state is before


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (9, "recycle_after_calls must be 0, for never, or at least 10, got 9"),
        (-1, "recycle_after_calls must be between 0 and 10000000, got -1"),
        (10_000_001, "recycle_after_calls must be between 0 and 10000000, got 10000001"),
    ],
)
def test_workers_are_recycled_after_a_sensible_number_of_calls_or_never(calls: int, words: str) -> None:
    history = running()
    with pytest.raises(Invalid, match=words):
        change(history, recycle_after_calls=calls)
    assert desired(change(history, recycle_after_calls=10, preload=True)).recycle_after_calls == 10
    assert desired(change(history, recycle_after_calls=0)).recycle_after_calls == 0


def test_the_platforms_word_is_picked_up_at_the_next_start_and_not_before() -> None:
    two_workers = Defaults(workers=2)
    history = running()
    assert desired(history).workers == 1
    change(history, defaults=two_workers, instances=3)
    assert desired(history).workers == 1, "a live change restarts nothing"
    history.do(RestartVersion(version_id=ONE, defaults=two_workers))
    assert desired(history).workers == 2
    assert history.state.version(ONE).defaults == two_workers


def test_a_version_that_serves_on_keeps_what_it_was_started_with_when_the_next_one_picks_up_more() -> None:
    published = publish(2)
    assert isinstance(published, PublishVersion)
    history = running().do(replace(published, defaults=Defaults(workers=2)), built(2))
    assert (desired(history, 1).workers, desired(history, 2).workers) == (1, 2)


def test_what_a_model_says_itself_counts_more_than_the_platforms_word() -> None:
    history = running(workers=3).do(RestartVersion(version_id=ONE, defaults=Defaults(workers=2)))
    assert desired(history).workers == 3


def test_a_version_that_does_not_run_cannot_be_restarted() -> None:
    with pytest.raises(Refused, match="does not run: start it instead"):
        History().do(publish(1, should_deploy=False), built(1), RestartVersion(version_id=ONE))


def test_more_instances_than_the_platform_allows_are_refused() -> None:
    with pytest.raises(Invalid, match="instances must be between 1 and 4, got 5"):
        change(running(), defaults=Defaults(max_instances=4), instances=5)


def test_the_platform_scales_within_the_bounds_and_only_where_it_was_asked_to() -> None:
    history = running().do(ScaleInstances(instances=4, reason="busy"))
    assert desired(history).instances == 2
    change(history, scaling=Scaling(min_instances=1, max_instances=5, target_calls=1.0))
    history.do(ScaleInstances(instances=4, reason="busy"))
    assert desired(history).instances == 4
    history.do(ScaleInstances(instances=9, reason="busy"))
    assert desired(history).instances == 5
    change(history, scaling=None)
    assert desired(history).instances == 2


IN_R = source(file="predict.R")
LITTLE = 128 << 20


def test_a_function_in_r_is_refused_with_less_memory_than_r_needs() -> None:
    history = History(create(settings=Settings(memory_bytes=LITTLE)))
    history.do(publish(1))
    with pytest.raises(Invalid, match=r"^memory_bytes must be at least 268435456 \(256 MB\) for a function in R"):
        history.do(publish(2, source=IN_R))
    change(history, memory_bytes=1 << 30).do(publish(2, source=IN_R), built(2))
    with pytest.raises(Invalid, match="for a function in R"):
        change(history, memory_bytes=LITTLE)


NOT_IN_R = [("workers", 2, "1"), ("recycle_after_calls", 100, "0"), ("preload", True, "false")]


@pytest.mark.parametrize(("name", "asked", "allowed"), NOT_IN_R)
def test_what_r_has_not_is_refused_for_a_model_in_r_and_for_a_version_in_r(name: str, asked: Any, allowed: str) -> None:
    sentence = f"^{name} must be {allowed} for a function in R, got {str(asked).lower()}$"
    history = History(create()).do(publish(1, source=IN_R), built(1))
    with pytest.raises(Invalid, match=sentence):
        change(history, **{name: asked})
    python = change(History(create()).do(publish(1), built(1)), **{name: asked})
    with pytest.raises(Invalid, match=sentence):
        python.do(publish(2, source=IN_R))


def test_of_a_model_in_both_languages_only_what_is_in_python_restarts_for_what_r_has_not() -> None:
    history = History(create()).do(publish(1, source=IN_R), built(1), publish(2), built(2))
    change(history, workers=3)
    assert [desired(history, number).generation for number in (1, 2)] == [1, 2]
    assert [desired(history, number).workers for number in (1, 2)] == [1, 3]


def test_a_version_in_r_starts_with_settings_that_were_made_for_one_in_python_and_others_can_be_changed() -> None:
    history = History(create()).do(publish(1, source=IN_R), built(1), StopVersion(version_id=ONE))
    change(history, workers=3).do(StartVersion(version_id=ONE))
    assert desired(change(history, instances=3)).instances == 3


def test_a_stopped_version_in_r_is_not_started_with_less_memory_than_r_needs() -> None:
    history = History(create()).do(publish(1, source=IN_R), built(1), StopVersion(version_id=ONE))
    change(history, memory_bytes=LITTLE)
    with pytest.raises(Invalid, match="for a function in R"):
        history.do(StartVersion(version_id=ONE))
