"""This file is how long the client waits: deadlines, and the pauses before trying again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from modelway.errors import ModelwayError, TemporaryFailure, Unavailable, Unreachable

DEFAULT_TIMEOUT_S = 1800.0

MAX_BROKEN_ATTEMPTS = 10
"""A connection that breaks this often on one request breaks because of that request."""


def backoff_s(attempt: int, *, base_s: float = 0.1, cap_s: float = 5.0) -> float:
    """Seconds to wait after failed attempt number `attempt`, from 1: doubles each time, up to `cap_s`.

    >>> [backoff_s(n) for n in (1, 2, 3, 20)]
    [0.1, 0.2, 0.4, 5.0]
    """
    return min(cap_s, base_s * 2.0 ** min(attempt - 1, 30))


def poll_s(elapsed_s: float) -> float:
    """Seconds between two looks at what has been moving for `elapsed_s`: often at first, then calmly.

    >>> poll_s(0.0), poll_s(10.0), poll_s(600.0)
    (0.1, 0.5, 1.0)
    """
    if elapsed_s < 5:
        return 0.1
    return 0.5 if elapsed_s < 60 else 1.0


@dataclass
class Patience:
    """Until when temporary failures are tried again. Safe to share between threads.

    `on_wait` is told what is being waited for. `stopped` ends every wait early, with the failure at hand.
    """

    allowed_s: float = 0.0
    on_wait: Callable[[TemporaryFailure], None] | None = None
    stopped: Event = field(default_factory=Event)
    _until: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        """The allowed time begins now: for waits without an end of their own, where each answer renews it."""
        self._until = time.monotonic() + self.allowed_s if self.allowed_s else -math.inf

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, 0 when it has passed."""
        return max(0.0, self._until - time.monotonic())

    def wait_after(self, failure: TemporaryFailure, attempt: int) -> None:
        """Pause before the next attempt; raises `failure` itself when there is to be none."""
        pause_s = max(backoff_s(attempt), failure.retry_after_s)
        is_hopeless = attempt >= MAX_BROKEN_ATTEMPTS and not isinstance(failure, Unreachable | Unavailable)
        if is_hopeless or pause_s >= self.left_s:
            raise failure
        if self.on_wait is not None:
            self.on_wait(failure)
        if self.stopped.wait(pause_s):
            raise failure

    def pause(self, seconds: float, over: ModelwayError) -> None:
        """Wait `seconds`, or raise `over` when the deadline comes first."""
        if seconds >= self.left_s or self.stopped.wait(seconds):
            raise over
