"""This file decides how many instances a busy model should have, from the calls that routers count.

A call counts while it is answered or waits, so what is needed does not depend on what is there. More instances come at
once, on the mean of a few seconds; fewer only once fewer have sufficed all through a stated time, and then as many as
the busiest moment of that time needed. What no router reports is unknown, and on unknown nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from services.core.ids import InstanceId, VersionId
from services.core.records import Placement, RouterReport
from services.core.settings import Scaling

UP_S = 3.0  # more instances, when so long a mean asks for them
DOWN_S = 60.0  # fewer, when so long a time did without them
GAP_S = 3.0  # between two samples; after more than that nothing is known of the time between

_ROUNDING = 1e-9  # eight calls for two instances of four each are not a third one


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The calls at one moment, by version; versions without any may be left out.

    With `is_whole` False some router did not say its part: there are at least so many.
    """

    at_s: float
    calls: Mapping[VersionId, int]
    is_whole: bool = True


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a need has to last before it is followed."""

    up_s: float = UP_S
    down_s: float = DOWN_S
    gap_s: float = GAP_S


class Change(msgspec.Struct, frozen=True):
    """So many instances from now on, for this reason."""

    instances: int
    reason: str


def calls_of(
    versions: Iterable[VersionId], reports: Iterable[RouterReport], placements: Mapping[VersionId, Placement]
) -> dict[VersionId, int]:
    """Version -> calls that are answered or wait, over all reports; idle ones are left out."""
    told = list(reports)
    calls: dict[VersionId, int] = {}
    for version in versions:
        placement = placements.get(version)
        instances = [each.instance_id for each in placement.instances] if placement is not None else []
        total = sum(_of_one(report, version, instances) for report in told)
        if total:
            calls[version] = total
    return calls


def _of_one(report: RouterReport, version: VersionId, instances: Sequence[InstanceId]) -> int:
    return report.waiting.get(version, 0) + sum(report.in_flight.get(instance, 0) for instance in instances)


def remembered(samples: Sequence[Sample], sample: Sample, patience: Patience) -> tuple[Sample, ...]:
    """`samples` and the newest one, without those that no decision looks at any more."""
    oldest_s = sample.at_s - patience.down_s - patience.up_s - patience.gap_s
    return (*(each for each in samples if each.at_s >= oldest_s), sample)


def scaled(samples: Sequence[Sample], scaling: Scaling, *, current: int, patience: Patience) -> Change | None:
    """What should change now about `current` instances; None: nothing. `samples` are in the order of their time."""
    steady = _unbroken(samples, patience.gap_s)
    if not _lasts(steady, patience.up_s):
        return None
    calls = _mean(steady, len(steady) - 1, patience.up_s)
    needed = min(_instances(calls, scaling), scaling.max_instances)
    if needed > current:
        return Change(needed, f"{calls:.1f} calls at once, for about {scaling.target_calls:g} an instance")
    whole = _while_whole(steady)
    if not _lasts(whole, patience.down_s):
        return None
    most = max(_means(whole, patience))
    sufficient = max(_instances(most, scaling), scaling.min_instances)
    if sufficient < current:
        return Change(sufficient, f"at most {most:.1f} calls at once for {patience.down_s:g} s")
    return None


def _instances(calls: float, scaling: Scaling) -> int:
    return math.ceil(calls / scaling.target_calls - _ROUNDING)


def _lasts(samples: Sequence[Sample], seconds: float) -> bool:
    return bool(samples) and samples[-1].at_s - samples[0].at_s >= seconds


def _unbroken(samples: Sequence[Sample], gap_s: float) -> Sequence[Sample]:
    """The newest samples, back to the last time that nothing is known of."""
    first = len(samples) - 1
    while first > 0 and samples[first].at_s - samples[first - 1].at_s <= gap_s:
        first -= 1
    return samples[max(first, 0) :]


def _while_whole(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The newest samples, back to the last one to which some router did not say its part."""
    first = len(samples)
    while first > 0 and samples[first - 1].is_whole:
        first -= 1
    return samples[first:]


def _means(samples: Sequence[Sample], patience: Patience) -> Iterator[float]:
    """The mean that ended at each moment of the time that has to pass before there may be fewer."""
    since_s = samples[-1].at_s - patience.down_s
    return (_mean(samples, last, patience.up_s) for last, each in enumerate(samples) if each.at_s >= since_s)


def _mean(samples: Sequence[Sample], last: int, seconds: float) -> float:
    """Of the calls on the busiest version, over the `seconds` until the sample numbered `last`."""
    first = last
    while first > 0 and samples[last].at_s - samples[first - 1].at_s <= seconds:
        first -= 1
    looked_at = samples[first : last + 1]
    versions = {version for each in looked_at for version in each.calls}
    totals = (sum(each.calls.get(version, 0) for each in looked_at) for version in versions)
    return max(totals, default=0) / len(looked_at)
