from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.delivery import Ack, Bury, Retry, backoff_s, judge, judge_unheard
from services.core.errors import BuildFailed, Invalid, Overloaded, RevisionConflict, Unavailable


def test_a_handled_message_is_acknowledged() -> None:
    assert judge(None, 1, 5) == Ack()


def test_a_message_handled_at_the_last_attempt_is_acknowledged_all_the_same() -> None:
    assert judge(None, 9, 5) == Ack()


@pytest.mark.parametrize("error", [Invalid("no such file"), BuildFailed("no such file")])
def test_what_cannot_succeed_is_not_tried_again(error: Exception) -> None:
    assert judge(error, 1, 5) == Bury("no such file")


@pytest.mark.parametrize("error", [Unavailable("away"), RevisionConflict("late"), KeyError("a bug"), OSError(5)])
def test_what_may_succeed_is_tried_until_the_last_attempt_and_then_buried(error: Exception) -> None:
    verdicts = [judge(error, attempt, 3) for attempt in (1, 2, 3)]
    assert [type(verdict) for verdict in verdicts] == [Retry, Retry, Bury]


def test_a_retry_waits_at_least_as_long_as_the_error_asks() -> None:
    assert judge(Overloaded("full", retry_after_s=7.5), 1, 5) == Retry(7.5)


def test_a_burial_says_what_went_wrong_in_one_line_and_how_often() -> None:
    verdict = judge(ValueError("first\nsecond"), 3, 3)
    assert verdict == Bury("ValueError: first second, at attempt 3 of 3")


def test_an_error_without_words_is_named() -> None:
    assert judge(TimeoutError(), 1, 1) == Bury("TimeoutError, at attempt 1 of 1")


def test_a_message_no_handler_lived_through_is_buried_after_the_allowed_deliveries() -> None:
    assert [judge_unheard(attempt, 3) is None for attempt in (1, 2, 3, 4, 5)] == [True, True, True, False, False]


@given(st.integers(1, 10_000), st.floats(0.001, 60), st.floats(60, 3600))
def test_the_wait_never_shrinks_and_never_passes_its_cap(attempt: int, base_s: float, cap_s: float) -> None:
    wait_s = backoff_s(attempt, base_s=base_s, cap_s=cap_s)
    assert base_s <= wait_s <= cap_s
    assert backoff_s(attempt + 1, base_s=base_s, cap_s=cap_s) >= wait_s
