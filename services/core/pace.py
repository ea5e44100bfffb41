"""This file is how often something may be done: so many at once, then one more every so many seconds.

What was done so far is one number, the instant from which all of the burst is there again: nothing has to be counted
back later, and who waits learns for how long.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

_NOTHING_S = 1e-4  # what rounding makes of nothing


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    burst: int  # at least 1
    every_s: float  # 0: as often as anyone likes


class Spent(NamedTuple):
    whole_at: float  # when all of the burst is there again
    wait_s: float  # 0: it may be done now, and is counted; else it may not for so long, and is not


def spend(pace: Pace, whole_at: float, *, now: float) -> Spent:
    """Whether one more may be done at `now`. A `whole_at` in the past stands for nothing done yet.

    >>> twice = Pace(burst=2, every_s=10.0)
    >>> first = spend(twice, 0.0, now=100.0)
    >>> second = spend(twice, first.whole_at, now=100.0)
    >>> first.wait_s, second.wait_s, spend(twice, second.whole_at, now=104.0).wait_s
    (0.0, 0.0, 6.0)
    """
    after = max(whole_at, now) + pace.every_s
    wait_s = after - now - pace.burst * pace.every_s
    return Spent(whole_at, wait_s) if wait_s > _NOTHING_S else Spent(after, 0.0)
