"""This file judges an instance by its probes: when it is ready, when it is not any more, when to replace it.

Until it is first ready it is probed quickly and cannot fail, the start deadline is the deployer's. After that its own
word takes readiness away at once, an answer other than 200; mere silence only counts, so that a busy instance keeps its
calls and HAProxy, which sees a dead socket sooner, goes round it. Both are beyond recovery at the failure threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from services.core.records import HealthCheck

STARTING_PERIOD_S = 0.2
AILING_PERIOD_S = 1.0  # looks quickly for the recovery; failures still count once a period


class Answer(StrEnum):
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"  # it answered, and not with 200
    SILENT = "silent"  # no connection, or no answer in time


class Probe(msgspec.Struct, frozen=True):
    """What one worker answered."""

    answer: Answer
    reason: str = ""  # one sentence, unless healthy


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of one instance. The default is held of one that was never probed."""

    was_ready: bool = False
    is_ready: bool = False
    failures: int = 0  # in a row, at most one a period
    counted_at: datetime | None = None
    is_unrecoverable: bool = False
    reason: str = ""


def judge(
    verdict: Verdict, probes: Sequence[Probe], check: HealthCheck, *, started_at: datetime, now: datetime
) -> Verdict:
    """The verdict after one round of probes, one of each worker: an instance is as healthy as its worst."""
    worst = max(probes, key=lambda probe: _SEVERITY[probe.answer])
    if worst.answer is Answer.HEALTHY:
        return Verdict(was_ready=True, is_ready=True)
    verdict = replace(verdict, reason=worst.reason)
    if _counts(verdict, check, started_at=started_at, now=now):
        verdict = replace(verdict, failures=verdict.failures + 1, counted_at=now)
    is_over = verdict.was_ready and verdict.failures >= check.failure_threshold
    return replace(
        verdict,
        is_ready=verdict.is_ready and worst.answer is Answer.SILENT and not is_over,
        is_unrecoverable=is_over,
    )


_SEVERITY = {Answer.HEALTHY: 0, Answer.SILENT: 1, Answer.UNHEALTHY: 2}


def _counts(verdict: Verdict, check: HealthCheck, *, started_at: datetime, now: datetime) -> bool:
    if now - started_at < timedelta(seconds=check.initial_delay_s):
        return False
    if not verdict.was_ready or verdict.counted_at is None:
        return True
    return now - verdict.counted_at >= timedelta(seconds=check.period_s)


def next_probe_s(verdict: Verdict, check: HealthCheck) -> float:
    """Seconds until the next round of probes."""
    if not verdict.was_ready:
        return STARTING_PERIOD_S
    return check.period_s if verdict.failures == 0 else min(check.period_s, AILING_PERIOD_S)
