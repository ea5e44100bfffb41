"""This file counts what many do, each at a pace of their own, in an amount of memory that nobody can make grow.

The counters are this process's own: with two api processes everybody has twice the pace.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from services.core.pace import Pace, spend

MAX_COUNTED = 10_000
_LOOKED_AT = 16  # of the oldest, when room has to be made
_OF_ONE_SUBSCRIBER = 64  # bits of an IPv6 address: who has one address has all that begin like it

Clock = Callable[[], float]


class Meter:
    """Says for each key whether one more may be done at this pace."""

    def __init__(self, pace: Pace, *, clock: Clock, max_counted: int = MAX_COUNTED) -> None:
        self._pace = pace
        self._clock = clock
        self._max_counted = max_counted
        self._whole_at: OrderedDict[str, float] = OrderedDict()  # by digest of the key; what was counted last is last

    def spend(self, key: str) -> float:
        """0: one more was counted. Else the seconds until one more may be done; nothing was counted then."""
        digest, now = _digest(key), self._clock()
        spent = spend(self._pace, self._whole_at.get(digest, now), now=now)
        if not spent.wait_s:
            self._whole_at[digest] = spent.whole_at
            self._whole_at.move_to_end(digest)
            self._make_room(now)
        return spent.wait_s

    def wait_s(self, key: str) -> float:
        """What `spend` would say, without counting."""
        now = self._clock()
        return spend(self._pace, self._whole_at.get(_digest(key), now), now=now).wait_s

    def give_back(self, key: str) -> None:
        """One that was counted does not count."""
        digest = _digest(key)
        if digest in self._whole_at:
            self._whole_at[digest] -= self._pace.every_s

    def __len__(self) -> int:
        return len(self._whole_at)

    def _make_room(self, now: float) -> None:
        """Forgets those who have all of their burst again; of others the one nearest to it, so that a flood of new
        keys does not take away what was counted of one that has to wait."""
        while self._whole_at and next(iter(self._whole_at.values())) <= now:
            self._whole_at.popitem(last=False)
        while len(self._whole_at) > self._max_counted:
            oldest = list(islice(self._whole_at, _LOOKED_AT))
            del self._whole_at[min(oldest, key=lambda each: self._whole_at[each])]


def subscriber(address: str) -> str:
    """Whom an address is counted for: itself, or of IPv6 the network that one subscriber has.

    >>> subscriber("192.0.2.7"), subscriber("2001:db8:1:2:3::4"), subscriber("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8:1:2::/64', '192.0.2.7')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _OF_ONE_SUBSCRIBER), strict=False))


def _digest(key: str) -> str:
    """As short for a long key as for a short one."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
