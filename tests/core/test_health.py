"""How probes become a verdict."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.health import Answer, Probe, Verdict, judge, next_probe_s
from services.core.records import HealthCheck
from tests.makers import START

CHECK = HealthCheck(period_s=10.0, timeout_s=5.0, failure_threshold=3)
HEALTHY = Probe(Answer.HEALTHY)
UNHEALTHY = Probe(Answer.UNHEALTHY, "worker 1 answered its health check with status 503")
SILENT = Probe(Answer.SILENT, "worker 0 takes no connections")
READY = Verdict(was_ready=True, is_ready=True)


def after(verdict: Verdict, *rounds: Probe, check: HealthCheck = CHECK, every_s: float = 10.0) -> Verdict:
    """The verdict after `rounds` of one worker, the first of them at the start."""
    for number, probe in enumerate(rounds):
        now = START + timedelta(seconds=number * every_s)
        verdict = judge(verdict, [probe], check, started_at=START, now=now)
    return verdict


def test_the_first_healthy_answer_of_all_workers_makes_it_ready() -> None:
    one = judge(Verdict(), [HEALTHY, SILENT], CHECK, started_at=START, now=START)
    assert (one.is_ready, one.reason) == (False, SILENT.reason)
    assert judge(one, [HEALTHY, HEALTHY], CHECK, started_at=START, now=START).is_ready


def test_what_was_never_ready_is_never_beyond_recovery() -> None:
    verdict = after(Verdict(), *[SILENT] * 100)
    assert (verdict.is_unrecoverable, verdict.is_ready) == (False, False)


def test_its_own_word_takes_readiness_away_at_once() -> None:
    verdict = after(READY, UNHEALTHY)
    assert (verdict.is_ready, verdict.is_unrecoverable, verdict.reason) == (False, False, UNHEALTHY.reason)


def test_silence_only_counts_until_the_threshold() -> None:
    assert after(READY, SILENT, SILENT).is_ready
    verdict = after(READY, SILENT, SILENT, SILENT)
    assert (verdict.is_ready, verdict.is_unrecoverable, verdict.failures) == (False, True, 3)


def test_one_healthy_answer_makes_up_for_all_failures() -> None:
    assert after(READY, UNHEALTHY, SILENT, HEALTHY) == READY


def test_failures_count_at_most_once_a_period_however_often_it_is_probed() -> None:
    assert after(READY, *[SILENT] * 10, every_s=1.0).failures == 1
    assert after(READY, *[SILENT] * 11, every_s=1.0).failures == 2


def test_the_initial_delay_postpones_nothing_but_the_counting() -> None:
    patient = HealthCheck(initial_delay_s=25.0, period_s=10.0, failure_threshold=3)
    assert after(READY, SILENT, SILENT, SILENT, check=patient).failures == 0
    assert after(READY, SILENT, SILENT, SILENT, SILENT, check=patient).failures == 1
    assert after(Verdict(), HEALTHY, check=patient).is_ready


@pytest.mark.parametrize(
    ("verdict", "seconds"),
    [
        (Verdict(), 0.2),
        (Verdict(failures=9), 0.2),
        (READY, 10.0),
        (Verdict(was_ready=True, failures=1), 1.0),
    ],
)
def test_it_is_probed_quickly_while_it_starts_or_ails(verdict: Verdict, seconds: float) -> None:
    assert next_probe_s(verdict, CHECK) == seconds


@given(st.lists(st.sampled_from([HEALTHY, UNHEALTHY, SILENT]), max_size=30), st.floats(0.2, 30))
def test_ready_and_beyond_recovery_exclude_each_other(rounds: list[Probe], every_s: float) -> None:
    verdict = after(Verdict(), *rounds, every_s=every_s)
    assert not (verdict.is_ready and verdict.is_unrecoverable)
    assert verdict.is_unrecoverable <= verdict.was_ready
    assert verdict.is_ready or verdict.reason or not rounds
