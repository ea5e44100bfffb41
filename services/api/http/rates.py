"""This file is how many requests one caller may make, so that no one takes the platform away from the others.

Counted by this process alone. A key or a session has a pace of its own; who has neither, or a wrong one, is counted by
address. Open routes (health, the page, sign-in, which has limits of its own) are not counted here.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.api.meter import Clock, Meter, subscriber
from services.core.errors import TemporaryError, TooMany
from services.core.pace import Pace

REQUESTS = Pace(burst=500, every_s=1 / 50)
ADMINISTRATORS_TIMES = 10  # they set platforms up with programs, and could lift the limit anyway
STRANGERS = Pace(burst=500, every_s=1 / 10)
TRUSTED_S = 3600.0
MAX_TRUSTED = 10_000


@dataclass
class Found:
    is_right: bool = False  # said by who looked it up


class Rates:
    """What the gate asks. `credential` is the hash of a key or of a session's cookie, never the thing itself."""

    def __init__(
        self, requests: Pace = REQUESTS, *, strangers: Pace = STRANGERS, clock: Clock = time.monotonic
    ) -> None:
        ampler = Pace(burst=requests.burst * ADMINISTRATORS_TIMES, every_s=requests.every_s / ADMINISTRATORS_TIMES)
        self._people = Meter(requests, clock=clock)
        self._administrators = Meter(ampler, clock=clock)
        self._strangers = Meter(strangers, clock=clock)
        self._clock = clock
        self._trusted: OrderedDict[str, float] = OrderedDict()  # credential -> until when

    def meet(self, credential: str, address: str) -> None:
        """Counts what may be a guess ("": no credential at all). Raises TooMany.

        One that opened something within the hour is no guess: a program with an old key locks out nobody who shares
        its address.
        """
        if not self._is_trusted(credential):
            _refuse_if(self._strangers.spend(subscriber(address)), "without a valid key, from this address")

    @contextmanager
    def looking_up(self, credential: str, address: str) -> Iterator[Found]:
        """Around the look-up of a credential: counted as a guess unless it turns out right, or cannot be looked up.

        Raises TooMany before it begins.
        """
        self.meet(credential, address)
        found = Found()
        try:
            yield found
        except TemporaryError:
            self._is_no_guess(credential, address)
            raise
        if found.is_right:
            self._is_no_guess(credential, address)
            self._trust(credential)

    def _is_trusted(self, credential: str) -> bool:
        return self._trusted.get(credential, 0.0) > self._clock()

    def _is_no_guess(self, credential: str, address: str) -> None:
        if not self._is_trusted(credential):
            self._strangers.give_back(subscriber(address))

    def _trust(self, credential: str) -> None:
        self._trusted[credential] = self._clock() + TRUSTED_S
        self._trusted.move_to_end(credential)
        if len(self._trusted) > MAX_TRUSTED:
            self._trusted.popitem(last=False)

    def admit(self, credential: str, *, is_administrator: bool) -> None:
        """Counts a request of whom the gate knows. Raises TooMany."""
        meter = self._administrators if is_administrator else self._people
        _refuse_if(meter.spend(credential), "with this key")


def _refuse_if(wait_s: float, whose: str) -> None:
    if wait_s:
        raise TooMany(f"too many requests {whose}: try again in {math.ceil(wait_s)} s", retry_after_s=wait_s)
