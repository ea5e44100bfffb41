"""This file is the second thread of a worker: it sleeps while nobody calls, and looks at long calls while they run.

It costs a call nothing but the look at a flag: the first call after a pause wakes it, and from then on it looks by
itself every few milliseconds until the calls pause again.
"""

from __future__ import annotations

import os
import selectors
import sys
from contextlib import suppress

from .serving import PATIENCE_S, Serving

LINGER = 25  # looks without a call, before it sleeps
SLEEP_S = 1.0
DUTY_S = 0.05  # between two looks during a long call: what it prints is written then
SWITCH_S = 0.0002  # between the function's thread and this one, while there is something to do


class Relief:
    """`turn` by `turn`, for as long as the worker lives. `wake` may come from any thread."""

    def __init__(self, serving: Serving, woken: int) -> None:
        self._serving = serving
        self._woken = woken  # readable when it is to wake up
        self._asleep = selectors.DefaultSelector()
        self._asleep.register(woken, selectors.EVENT_READ)
        self._on_duty = selectors.DefaultSelector()
        self._on_duty.register(woken, selectors.EVENT_READ)
        self._on_duty.register(serving, selectors.EVENT_READ)
        self._seen = 0
        self._quiet = 0

    def turn(self) -> None:
        """Do what is to be done now, and wait until there may be more; a second at most."""
        serving = self._serving
        self._quiet = 0 if serving.begun != self._seen or serving.is_relieved else self._quiet + 1
        self._seen = serving.begun
        if self._quiet >= LINGER:
            self._sleep()
        else:
            self._look()

    def _sleep(self) -> None:
        self._serving.relief_sleeps = True
        if self._serving.begun == self._seen:  # a call that has begun before it could know
            self._wait(self._asleep, SLEEP_S)
        self._serving.relief_sleeps = False

    def _look(self) -> None:
        if not self._serving.is_relieved:
            self._wait(self._asleep, PATIENCE_S)
            return
        usual_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)  # a function that computes gives way more often, for this moment
        try:
            wait_s = self._serving.relieve()
        finally:
            sys.setswitchinterval(usual_s)
        self._wait(self._on_duty if self._serving.is_relieved else self._asleep, min(wait_s, DUTY_S))

    def _wait(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        for key, _ in selector.select(wait_s):
            if key.fileobj == self._woken:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
