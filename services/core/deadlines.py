"""This file is the arithmetic of deadlines: the request timeout is declared once, every other time follows from it.

    the router has the head of the request
    ├── waiting for the body, then for a free worker ──┤  at most the request timeout, then 503
    ├── computing ─────────────────────────────────────┤  at most what is left of it, then 504
                                                       ├─┤ the harness says so first, then HAProxy does

HAProxy counts waiting and computing apart, so its two timeouts add up; the harness is told what is left and ends the
call when it is over. HAProxy's server timeout only speaks when the harness cannot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from services.core.errors import Invalid
from services.core.records import HealthCheck

ANSWER_S = 1.0  # for the harness's own word on a call that took too long to reach HAProxy
DRAIN_MARGIN_S = 5.0  # between the last moment a call may run and the moment its instance is told to end
STOP_GRACE_S = 5.0  # between being told to end and being made to
HOLD_S = 0.1  # a busy worker holds a call so long before it refuses it, so that retries do not spin
KEEP_ALIVE_S = 30.0  # an idle connection of a caller is kept so long, by an old HAProxy worker too

_FEWEST_TRIES, _MOST_TRIES = 3, 60_000  # HAProxy counts them in 16 bits


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """All times of one model, in seconds."""

    request_timeout_s: float
    queue_timeout_s: float  # HAProxy: waiting for a free worker
    server_timeout_s: float  # HAProxy: computing; longer than the harness allows itself
    tries: int  # HAProxy: of a call that busy workers refuse, each after `HOLD_S`, until its time is over
    longest_call_s: float  # what HAProxy alone would let pass, if no harness enforced the request timeout
    drain_s: float  # an instance that is routed out is left alone so long while it is not idle
    stop_grace_s: float  # from being told to end until it is made to
    termination_s: float  # drain and grace together: Kubernetes' termination grace period


def derive(request_timeout_s: float) -> Deadlines:
    """Every time that follows from the request timeout.

    >>> derive(60.0).drain_s, derive(60.0).server_timeout_s
    (65.0, 61.0)
    """
    server_timeout_s = request_timeout_s + ANSWER_S
    drain_s = request_timeout_s + DRAIN_MARGIN_S
    return Deadlines(
        request_timeout_s=request_timeout_s,
        queue_timeout_s=request_timeout_s,
        server_timeout_s=server_timeout_s,
        tries=min(_FEWEST_TRIES + math.ceil(request_timeout_s / HOLD_S), _MOST_TRIES),
        longest_call_s=request_timeout_s + server_timeout_s,
        drain_s=drain_s,
        stop_grace_s=STOP_GRACE_S,
        termination_s=drain_s + STOP_GRACE_S,
    )


def remaining_s(request_timeout_s: float, *, elapsed_s: float) -> float:
    """Seconds a call may still take, `elapsed_s` after the router had its head; never below zero.

    >>> remaining_s(2.0, elapsed_s=1.5), remaining_s(2.0, elapsed_s=3.0)
    (0.5, 0.0)
    """
    return max(0.0, request_timeout_s - elapsed_s)


def hard_stop_after_s(request_timeouts_s: Iterable[float]) -> float:
    """How long an old HAProxy worker may live: past the longest call, begun on a connection kept open till then."""
    longest_s = max((derive(each).longest_call_s for each in request_timeouts_s), default=0.0)
    return longest_s + KEEP_ALIVE_S


def check(request_timeout_s: float, health: HealthCheck, *, start_deadline_s: float) -> None:
    """Nothing, when the settings of a model agree with each other; else `Invalid`, with the sum that does not fit.

    A worker that computes for the whole request timeout may miss its probes meanwhile: that must not be enough to
    call it lost.

    >>> try:
    ...     check(60.0, HealthCheck(failure_threshold=6), start_deadline_s=300.0)
    ... except Invalid as error:
    ...     print(error.reason.partition(": ")[2])
    10 s x 6 = 60 s, the request timeout is 60 s
    """
    patience_s = health.period_s * health.failure_threshold
    if patience_s <= request_timeout_s:
        raise Invalid(
            "period x failure threshold must be greater than the request timeout: "
            f"{health.period_s:g} s x {health.failure_threshold} = {patience_s:g} s, "
            f"the request timeout is {request_timeout_s:g} s",
            field="health_check",
        )
    if health.initial_delay_s >= start_deadline_s:
        raise Invalid(
            "the initial delay must be shorter than the start deadline: "
            f"{health.initial_delay_s:g} s is not less than {start_deadline_s:g} s",
            field="health_check",
        )
