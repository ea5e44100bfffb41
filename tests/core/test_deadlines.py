"""Every time follows from the request timeout, and what contradicts it is refused with the sum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.deadlines import check, derive, hard_stop_after_s, remaining_s
from services.core.errors import Invalid
from services.core.records import HealthCheck

TIMEOUTS = st.floats(min_value=0.1, max_value=3600.0)


@given(TIMEOUTS)
def test_the_harness_speaks_before_haproxy_and_the_drain_outlasts_both(timeout_s: float) -> None:
    deadlines = derive(timeout_s)
    assert timeout_s <= deadlines.queue_timeout_s
    assert timeout_s < deadlines.server_timeout_s < deadlines.drain_s
    assert deadlines.drain_s + deadlines.stop_grace_s == deadlines.termination_s


@given(st.lists(TIMEOUTS))
def test_an_old_worker_outlives_the_longest_call_of_any_model(timeouts_s: list[float]) -> None:
    assert all(hard_stop_after_s(timeouts_s) > derive(each).longest_call_s for each in timeouts_s)


@given(TIMEOUTS)
def test_a_call_that_busy_workers_refuse_is_retried_until_its_time_is_over(timeout_s: float) -> None:
    assert derive(timeout_s).tries * 0.1 >= timeout_s
    assert derive(timeout_s).tries < 1 << 16


@given(TIMEOUTS, st.floats(min_value=0, max_value=10_000))
def test_what_is_left_and_what_is_over_make_the_request_timeout(timeout_s: float, elapsed_s: float) -> None:
    left_s = remaining_s(timeout_s, elapsed_s=elapsed_s)
    assert 0 <= left_s <= timeout_s
    assert left_s == 0 or left_s + elapsed_s == pytest.approx(timeout_s)


def test_the_defaults_agree_with_each_other() -> None:
    check(60.0, HealthCheck(), start_deadline_s=300.0)


@pytest.mark.parametrize("failures", [1, 6])
def test_a_health_check_that_gives_up_before_a_call_may_end_is_refused_with_the_sum(failures: int) -> None:
    with pytest.raises(
        Invalid, match=rf"10 s x {failures} = {failures * 10} s, the request timeout is 60 s"
    ) as refused:
        check(60.0, HealthCheck(period_s=10.0, failure_threshold=failures), start_deadline_s=300.0)
    assert refused.value.field == "health_check"


def test_an_initial_delay_that_outlasts_the_start_deadline_is_refused() -> None:
    with pytest.raises(Invalid, match="300 s is not less than 300 s"):
        check(60.0, HealthCheck(initial_delay_s=300.0), start_deadline_s=300.0)
