"""How many instances a busy model has: more at once, fewer after a while, and nothing on what nobody reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.ids import VersionId
from services.core.records import RouterReport
from services.core.scaling import Patience, Sample, calls_of, remembered, scaled
from services.core.settings import Scaling
from tests.makers import instance, instance_id, placement, version_id

ONE, TWO = version_id(1), version_id(2)
SCALING = Scaling(min_instances=1, max_instances=8, target_calls=4.0)
PATIENCE = Patience(up_s=3.0, down_s=60.0, gap_s=3.0)


def samples(*parts: tuple[int, float], is_whole: bool = True) -> list[Sample]:
    """A sample a second: so many seconds of so many calls each."""
    calls = [load for seconds, load in parts for _ in range(seconds)]
    return [Sample(at_s=float(at), calls={ONE: int(load)}, is_whole=is_whole) for at, load in enumerate(calls)]


def instances(seen: Sequence[Sample], current: int, scaling: Scaling = SCALING) -> int:
    change = scaled(seen, scaling, current=current, patience=PATIENCE)
    return current if change is None else change.instances


def test_more_calls_than_instances_are_for_bring_more_within_seconds() -> None:
    assert instances(samples((4, 20)), 2) == 5
    assert instances(samples((60, 0), (4, 20)), 2) == 5


def test_calls_that_are_just_enough_for_the_instances_there_are_change_nothing() -> None:
    assert instances(samples((70, 8)), 2) == 2


def test_a_short_peak_is_averaged_away() -> None:
    assert instances(samples((60, 4), (1, 9)), 2) == 2


def test_there_are_never_more_than_the_most_nor_fewer_than_the_fewest() -> None:
    assert instances(samples((10, 1000)), 2) == 8
    fewest = Scaling(min_instances=3, max_instances=8, target_calls=4.0)
    assert instances(samples((70, 0)), 5, fewest) == 3


def test_fewer_come_only_once_fewer_have_sufficed_all_through_the_stated_time() -> None:
    busy_then_idle = samples((10, 20), (60, 0))
    assert instances(busy_then_idle, 5) == 5
    assert instances(samples((10, 20), (70, 0)), 5) == 1


def test_it_scales_down_to_what_the_busiest_moment_of_that_time_needed() -> None:
    assert instances(samples((30, 0), (10, 12), (30, 0)), 5) == 3
    assert instances(samples((30, 0), (10, 20), (30, 0)), 5) == 5


def test_the_version_that_needs_more_decides() -> None:
    both = [Sample(at_s=float(at), calls={ONE: 4, TWO: 12}) for at in range(4)]
    assert instances(both, 1) == 3


def test_versions_that_take_turns_are_not_added_up() -> None:
    turns = [Sample(at_s=float(at), calls={ONE if at % 2 else TWO: 8}) for at in range(8)]
    assert instances(turns, 1) == 1


def test_nothing_is_known_after_a_gap_until_there_is_enough_again() -> None:
    before, after = samples((70, 0)), samples((3, 40))
    resumed = [*before, *(Sample(at_s=each.at_s + 100, calls=each.calls) for each in after)]
    assert instances(resumed, 4) == 4
    assert instances([*before, Sample(at_s=200.0, calls={})], 4) == 4


def test_a_gap_in_the_time_that_has_to_pass_before_there_are_fewer_begins_it_anew() -> None:
    seen = [each for each in samples((70, 0)) if not 40 < each.at_s < 45]
    assert instances(seen, 4) == 4


def test_while_a_router_does_not_say_its_part_there_may_be_more_instances_and_never_fewer() -> None:
    assert instances(samples((70, 0), is_whole=False), 4) == 4
    assert instances(samples((4, 20), is_whole=False), 2) == 5
    silent_once = samples((70, 0))
    silent_once[40] = Sample(at_s=40.0, calls={}, is_whole=False)
    assert instances(silent_once, 4) == 4


def test_no_samples_are_no_reason_to_do_anything() -> None:
    assert scaled([], SCALING, current=4, patience=PATIENCE) is None
    assert scaled(samples((1, 100)), SCALING, current=4, patience=PATIENCE) is None


@pytest.mark.parametrize(("calls", "sentence"), [(20, "20.0 calls at once, for about 4 an instance"), (0, "at most 0")])
def test_the_reason_says_what_was_counted(calls: int, sentence: str) -> None:
    change = scaled(samples((70, calls)), SCALING, current=3, patience=PATIENCE)
    assert change is not None
    assert sentence in change.reason


def test_what_is_remembered_is_all_that_a_decision_looks_at() -> None:
    kept: tuple[Sample, ...] = ()
    for sample in samples((500, 2)):
        kept = remembered(kept, sample, PATIENCE)
    assert 60 < len(kept) < 75


loads = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 50)), min_size=1, max_size=6)
bounds = st.tuples(st.integers(1, 32), st.integers(1, 32)).map(sorted)


@given(loads=loads, bounds=bounds, target=st.floats(0.1, 50), seed=st.integers(0, 31))
def test_whatever_happens_it_stays_within_its_bounds_and_does_not_flap(
    loads: list[tuple[int, float]], bounds: list[int], target: float, seed: int
) -> None:
    low, high = bounds
    scaling = Scaling(min_instances=low, max_instances=high, target_calls=target)
    current = low + seed % (high - low + 1)
    kept: tuple[Sample, ...] = ()
    last_up = None
    for sample in samples(*loads):
        kept = remembered(kept, sample, PATIENCE)
        change = scaled(kept, scaling, current=current, patience=PATIENCE)
        if change is None:
            continue
        assert low <= change.instances <= high
        assert change.instances != current
        if change.instances > current:
            last_up = sample.at_s
        else:
            assert last_up is None or sample.at_s - last_up >= PATIENCE.down_s - PATIENCE.up_s
        current = change.instances
        assert scaled(kept, scaling, current=current, patience=PATIENCE) is None, "once is enough"


def report(router: str, *, in_flight: Iterable[int] = (), waiting: dict[VersionId, int] | None = None) -> RouterReport:
    """`in_flight` on the first, second … instance of version one."""
    return RouterReport(
        revision=1,
        router_id=router,
        routes={},
        placements={},
        in_flight={instance_id(number): calls for number, calls in enumerate(in_flight, start=1)},
        waiting=waiting or {},
    )


def test_calls_in_flight_and_waiting_are_added_up_over_instances_and_routers() -> None:
    placed = {ONE: placement(1, instances=[instance(1), instance(2)])}
    reports = [report("a", in_flight=[1, 2], waiting={ONE: 3}), report("b", in_flight=[4], waiting={TWO: 7})]
    assert calls_of([ONE, TWO], reports, placed) == {ONE: 10, TWO: 7}


def test_calls_of_versions_that_were_not_asked_for_and_of_lost_instances_do_not_count() -> None:
    placed = {ONE: placement(1, instances=[instance(2)])}
    assert calls_of([ONE], [report("a", in_flight=[5], waiting={TWO: 7})], placed) == {}
