"""What several routers measured of one version, put together."""

from __future__ import annotations

from datetime import timedelta

from services.core.measured import combined
from services.core.records import Traffic
from tests.makers import START


def traffic(requests: int, mean_s: float, *, failures: int = 0, longest_s: float = 1.0, late_s: float = 0.0) -> Traffic:
    since = START + timedelta(seconds=late_s)
    return Traffic(since=since, requests=requests, failures=failures, mean_s=mean_s, longest_s=longest_s)


def test_the_mean_weighs_each_router_by_its_requests() -> None:
    both = combined([traffic(30, 0.1, failures=1, late_s=5), traffic(10, 0.5, failures=2, longest_s=3.0)])
    assert both is not None
    assert (both.requests, both.failures, both.longest_s, both.since) == (40, 3, 3.0, START)
    assert round(both.mean_s, 9) == 0.2


def test_nobody_measured_is_not_the_same_as_nothing_was_called() -> None:
    assert combined([]) is None
    assert combined([traffic(0, 0.0)]) == traffic(0, 0.0)
