"""The central configuration: which keys there are, what they may be, and which models have yet to follow."""

from __future__ import annotations

import pytest

from services.core.aggregates import CONFIGURATION, entries, fold
from services.core.commands import SetConfiguration
from services.core.configuration import (
    CONFIGURATION_ID,
    DEFAULT_INSTANCES,
    KEYS,
    LOG_DAYS,
    MAXIMUM_INSTANCES,
    REQUEST_TIMEOUT,
    WORKERS,
    Configuration,
    decide,
    default_instances,
    defaults,
    log_days,
    pending,
)
from services.core.errors import Invalid, NotFound
from services.core.ids import CommandId
from services.core.settings import Defaults, Settings
from tests.makers import PERSON, START, History, built, create, publish, ready, version_id


def configured(*changes: tuple[str, float | None]) -> Configuration:
    """After these changes, as api's ledger would fold them."""
    state: Configuration | None = None
    for number, (key, value) in enumerate(changes, start=1):
        fresh = entries(
            "configuration",
            CONFIGURATION_ID,
            decide(state, SetConfiguration(key=key, value=value)),
            after_revision=state.revision if state else 0,
            command_id=CommandId(f"command-{number}"),
            at=START,
            actor=PERSON,
        )
        state = fold(CONFIGURATION, fresh, state)
    return state or Configuration()


def test_a_new_platform_goes_by_the_defaults_of_the_guide() -> None:
    new = Configuration()
    assert defaults(new) == Defaults()
    assert (default_instances(new), log_days(new)) == (2, 14)
    assert not any(new.is_set(key) for key in KEYS)


def test_what_is_set_holds_and_what_is_taken_back_has_its_default_again() -> None:
    changed = configured((WORKERS, 3), (REQUEST_TIMEOUT, 30), (MAXIMUM_INSTANCES, 8), (DEFAULT_INSTANCES, 4))
    assert defaults(changed) == Defaults(workers=3, request_timeout_s=30.0, max_instances=8)
    assert default_instances(changed) == 4
    back = configured((WORKERS, 3), (LOG_DAYS, 2), (WORKERS, None))
    assert defaults(back) == Defaults()
    assert (back.is_set(WORKERS), back.is_set(LOG_DAYS), back.revision) == (False, True, 3)


def test_a_value_that_equals_the_default_is_set_all_the_same() -> None:
    assert configured((WORKERS, 1)).is_set(WORKERS)


def test_setting_what_is_so_already_changes_nothing() -> None:
    assert decide(configured((WORKERS, 3)), SetConfiguration(key=WORKERS, value=3)) == ()
    assert decide(None, SetConfiguration(key=WORKERS, value=None)) == ()


@pytest.mark.parametrize("key", KEYS)
def test_each_key_takes_its_bounds_and_nothing_beyond(key: str) -> None:
    known = KEYS[key]
    beyond = known.high + 1, known.low - 0.05 if isinstance(known.default, float) else known.low - 1
    for value in beyond:
        with pytest.raises(Invalid, match=f"value must be a .*number from {known.low:g} to {known.high:g}"):
            decide(None, SetConfiguration(key=key, value=value))
    one_each = configured((DEFAULT_INSTANCES, 1), (LOG_DAYS, 2), (WORKERS, 2))
    assert decide(one_each, SetConfiguration(key=key, value=known.low)) or one_each.value(key) == known.low


def test_a_key_that_counts_takes_whole_numbers_only() -> None:
    with pytest.raises(Invalid, match=r"value must be a whole number from 1 to 32 \(processes\), got 1.5"):
        decide(None, SetConfiguration(key=WORKERS, value=1.5))
    assert configured((WORKERS, 2.0)).value(WORKERS) == 2


def test_a_key_that_nothing_obeys_is_not_there() -> None:
    with pytest.raises(NotFound, match=r"there is no such key; there are .*uWsgi\.workerCount, "):
        decide(None, SetConfiguration(key="com.cerebro.domino.modelmanager.colour", value=1))


def test_more_instances_by_default_than_at_most_are_refused_whichever_is_set() -> None:
    with pytest.raises(Invalid, match="the default number of instances must not exceed the maximum: 8 is more than 4"):
        decide(configured((MAXIMUM_INSTANCES, 4)), SetConfiguration(key=DEFAULT_INSTANCES, value=8))
    with pytest.raises(Invalid, match="2 is more than 1"):
        decide(None, SetConfiguration(key=MAXIMUM_INSTANCES, value=1))


def test_a_timeout_that_no_model_by_default_could_have_is_refused_with_the_sum() -> None:
    with pytest.raises(Invalid, match=r"10 s x 10 = 100 s, the request timeout is 100 s"):
        decide(None, SetConfiguration(key=REQUEST_TIMEOUT, value=100))


def running(**settings: object) -> History:
    history = History(create(settings=Settings(instances=1, **settings)))  # type: ignore[arg-type]
    return history.do(publish(1), built(1), ready(1))


def test_a_running_version_is_pending_on_the_keys_it_was_not_started_with() -> None:
    now = defaults(configured((WORKERS, 3), (REQUEST_TIMEOUT, 30)))
    behind = pending(running().state, now)
    assert behind is not None
    assert behind.versions == (version_id(1),)
    assert set(behind.keys) == {WORKERS, REQUEST_TIMEOUT}
    assert pending(running().state, Defaults()) is None


def test_what_a_model_says_itself_is_not_pending() -> None:
    now = Defaults(workers=3, request_timeout_s=30.0)
    behind = pending(running(workers=2).state, now)
    assert behind is not None
    assert behind.keys == (REQUEST_TIMEOUT,)
    assert pending(running(workers=2, request_timeout_s=5.0).state, now) is None


def test_the_most_instances_there_may_be_bind_what_is_asked_for_later_only() -> None:
    assert pending(running().state, Defaults(max_instances=1)) is None


def test_what_does_not_run_is_not_pending() -> None:
    assert pending(History().do(publish(1, should_deploy=False), built(1)).state, Defaults(workers=3)) is None
