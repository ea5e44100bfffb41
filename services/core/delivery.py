"""This file decides what becomes of a message after its handler ended: acknowledged, tried again, or
buried.
"""

from __future__ import annotations

import msgspec

from services.core.errors import PermanentError, TemporaryError


class Ack(msgspec.Struct, frozen=True):
    """Handled; forget it."""


class Retry(msgspec.Struct, frozen=True):
    """Deliver it again after `delay_s` seconds."""

    delay_s: float


class Bury(msgspec.Struct, frozen=True):
    """Give it up, visibly, because of `reason`."""

    reason: str


Verdict = Ack | Retry | Bury


def backoff_s(attempt: int, *, base_s: float = 1.0, cap_s: float = 300.0) -> float:
    """Seconds to wait after failed attempt number `attempt`: doubles each time, up to `cap_s`.

    `attempt` counts from 1. No jitter: one consumer retries one message, there is no herd.

    >>> [backoff_s(n) for n in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 300.0]
    """
    # The exponent is bounded because 2.0 ** 1024 overflows, and attempts are not bounded everywhere.
    return min(cap_s, base_s * 2.0 ** min(attempt - 1, 64))


def judge(error: Exception | None, attempt: int, max_attempts: int, *, cap_s: float = 300.0) -> Verdict:
    """What to do with a message whose handler ended with `error`, or well with None, at `attempt` from 1.

    Trying again cannot help a `PermanentError`. Everything else, a bug included, is tried `max_attempts`
    times.

    >>> judge(None, 1, 5), judge(KeyError("x"), 1, 5), judge(KeyError("x"), 5, 5)
    (Ack(), Retry(delay_s=1.0), Bury(reason="KeyError: 'x', at attempt 5 of 5"))
    """
    match error:
        case None:
            return Ack()
        case PermanentError():
            return Bury(error.reason)
        case _ if attempt >= max_attempts:
            return Bury(f"{describe(error)}, at attempt {attempt} of {max_attempts}")
        case TemporaryError():
            return Retry(max(backoff_s(attempt, cap_s=cap_s), error.retry_after_s))
        case _:
            return Retry(backoff_s(attempt, cap_s=cap_s))


def judge_unheard(attempt: int, max_attempts: int) -> Bury | None:
    """Whether to give up a message before handling it: it was delivered before, more often than allowed,
    and no handler lived to say what happened. Such a message ends its process every time.
    """
    if attempt <= max_attempts:
        return None
    return Bury(f"no handler lived through it: delivered {attempt} times, {max_attempts} are allowed")


def describe(error: Exception) -> str:
    """The error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
