"""This file makes guessing passwords slow: how often somebody may try to sign in.

Three counters, each by itself too weak. From one address to one name: few. From one address to any name: more, since
many people may share it. To one name from anywhere: many, so that who knows a name cannot easily keep its owner out.
"""

from __future__ import annotations

import math
import time

from services.api.meter import Clock, Meter, subscriber
from services.core.errors import TooMany
from services.core.pace import Pace

PER_NAME_AND_ADDRESS = Pace(burst=10, every_s=30.0)
PER_ADDRESS = Pace(burst=50, every_s=6.0)
PER_NAME = Pace(burst=100, every_s=10.0)


class Attempts:
    """Counts attempts of this process. Call `begin` before anything is looked up, `succeeded` when it was right."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._of_address = Meter(PER_ADDRESS, clock=clock)
        self._of_both = Meter(PER_NAME_AND_ADDRESS, clock=clock)
        self._of_name = Meter(PER_NAME, clock=clock)

    def begin(self, *, user_name: str, address: str) -> None:
        """Counts an attempt as a wrong one.

        Raises TooMany, the same for a name that exists and one that does not, for a right password and a wrong one:
        so it has to be asked before any of that is known. Who is refused for their address uses up nobody's name.
        """
        for meter, key in self._counted(user_name, address):
            wait_s = meter.spend(key)
            if wait_s:
                reason = f"too many attempts to sign in: try again in {math.ceil(wait_s)} seconds"
                raise TooMany(reason, retry_after_s=wait_s)

    def succeeded(self, *, user_name: str, address: str) -> None:
        """The attempt that began was right: it does not count."""
        for meter, key in self._counted(user_name, address):
            meter.give_back(key)

    def _counted(self, user_name: str, address: str) -> tuple[tuple[Meter, str], ...]:
        name, source = user_name.casefold(), subscriber(address)
        return (self._of_address, source), (self._of_both, f"{source} {name}"), (self._of_name, name)
