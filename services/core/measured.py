"""This file puts together what several routers measured of one version."""

from __future__ import annotations

from collections.abc import Iterable

from services.core.records import Traffic


def combined(parts: Iterable[Traffic]) -> Traffic | None:
    """All of it as one: the mean weighs each router by its requests. None when nobody measured anything."""
    measured = list(parts)
    if not measured:
        return None
    requests = sum(each.requests for each in measured)
    seconds = sum(each.mean_s * each.requests for each in measured)
    return Traffic(
        since=min(each.since for each in measured),
        requests=requests,
        failures=sum(each.failures for each in measured),
        mean_s=seconds / requests if requests else 0.0,
        longest_s=max(each.longest_s for each in measured),
    )
