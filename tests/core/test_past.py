"""What was live at a moment of the past, and what a change of settings changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.changes import differences
from services.core.commands import (
    ArchiveModel,
    ChangeSettings,
    Command,
    CreateAccessToken,
    DescribeModel,
    RevokeAccessToken,
    SetCanary,
    StopVersion,
)
from services.core.errors import ModelwayError
from services.core.lifecycle import DeploymentPhase
from services.core.past import Led, live, state_at
from services.core.settings import Settings
from tests.makers import ARTIFACT, START, History, built, create, publish, ready, version_id

COMMANDS: list[Command] = [
    publish(1),
    built(1),
    ready(1),
    publish(2),
    built(2),
    ready(2),
    publish(3, should_deploy=False),
    built(3),
    SetCanary(label="latest", version_id=version_id(3), share=10),
    ready(3),
    StopVersion(version_id=version_id(2)),
    CreateAccessToken(token_id="t", name="app", token_hash="1" * 64),
    RevokeAccessToken(token_id="t"),
    ChangeSettings(settings=Settings(instances=3, workers=2)),
    ArchiveModel(),
]


def test_before_the_first_event_nothing_was_there() -> None:
    history = History().do(publish(1))
    assert state_at(history.entries, START) is None
    assert state_at([], START) is None


def test_a_moment_shows_who_answered_what_ran_and_under_which_names() -> None:
    history = History().do(publish(1), built(1), ready(1))
    moment = history.entries[-1].at
    history.do(CreateAccessToken(token_id="t", name="app", token_hash="1" * 64), publish(2), built(2), ready(2))
    earlier = state_at(history.entries, moment)
    assert earlier is not None
    then, today = live(earlier), live(history.state)
    assert then.routes == {"latest": Led(version_id=version_id(1))}
    assert [(ran.number, ran.artifact, ran.deployment) for ran in then.versions] == [
        (1, ARTIFACT, DeploymentPhase.READY)
    ]
    assert then.tokens == ()
    assert today.routes == {"latest": Led(version_id=version_id(2))}
    assert [(ran.number, ran.deployment) for ran in today.versions] == [
        (1, DeploymentPhase.STOPPING),
        (2, DeploymentPhase.READY),
    ]
    assert [token.name for token in today.tokens] == ["app"]


def test_a_canary_is_part_of_a_moment_from_when_it_answers() -> None:
    history = History().do(*COMMANDS[:9])
    assert live(history.state).routes == {"latest": Led(version_id=version_id(2))}
    history.do(ready(3))
    led = Led(version_id=version_id(2), candidate=version_id(3), share=10)
    assert live(history.state).routes == {"latest": led}
    history.do(ArchiveModel())
    assert live(history.state).routes == {}


@given(st.lists(st.sampled_from(COMMANDS), max_size=25), st.data())
def test_now_is_the_live_state_and_every_moment_was_live_once(commands: list[Command], data: st.DataObject) -> None:
    history = History()
    states = [(history.entries[-1].at, history.state)]
    for command in commands:
        try:
            history.do(command)
        except ModelwayError:
            continue
        states.append((history.entries[-1].at, history.state))
    assert state_at(history.entries, history.entries[-1].at + timedelta(days=1)) == history.state
    assert state_at(history.entries, history.entries[0].at - timedelta(milliseconds=1)) is None
    at, state = data.draw(st.sampled_from(states))
    assert state_at(history.entries, at) == state


def test_what_a_change_changed_is_told_without_what_it_left() -> None:
    history = History(create(settings=Settings(instances=1, memory_bytes=1 << 28)))
    settings = Settings(instances=2, memory_bytes=1 << 28, workers=3)
    environment_id = history.state.environment_id
    rename = DescribeModel(name="rose", description="", environment_id=environment_id, instances=2)
    history.do(ChangeSettings(settings=settings), rename)
    first, *others = (each for each in differences(history.entries).values())
    assert (first.before, first.after) == ({"instances": 1, "workers": None}, {"instances": 2, "workers": 3})
    assert [(each.before, each.after) for each in others] == [({"name": "iris"}, {"name": "rose"})]


@pytest.mark.parametrize("count", [0, 1])
def test_what_tells_of_nothing_changed_nothing(count: int) -> None:
    assert differences(History().do(publish(1), built(1)).entries[:count]) == {}
