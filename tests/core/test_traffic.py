"""What versions answered, added up over workers of HAProxy that count for themselves, and end."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.core.effective import Counters, Worker
from services.core.ids import VersionId
from services.core.routing import STOPPED, RoutingTable
from services.core.traffic import Meter, Side, Tally, advance, shared
from tests.makers import START, version_id

ONE, TWO, THREE = version_id(1), version_id(2), version_id(3)


def worker(pid: int, requests: int, *, calls: int = 0, is_held: bool = True, **more: int) -> Worker:
    """A worker that has answered so many calls of version one."""
    return Worker(
        pid=pid,
        running=RoutingTable(),
        is_stopping=False,
        calls={ONE: calls} if calls else {},
        counters={ONE: Counters(requests=requests, **more)},
        is_held=is_held,
    )


def unwatched(pid: int) -> Worker:
    return Worker(pid=pid, running=RoutingTable(), is_stopping=False)


def test_what_was_counted_before_the_first_look_is_not_ours() -> None:
    meter = Meter()
    assert meter.read([worker(7, 100)]) == {}
    assert meter.read([worker(7, 103, failures=1)]) == {ONE: Tally(requests=3, failures=1)}
    assert meter.read([worker(7, 103, failures=1)]) == {ONE: Tally()}


def test_what_a_version_counted_before_it_was_watched_is_not_ours() -> None:
    meter = Meter()
    meter.read([unwatched(7)])
    assert meter.read([worker(7, 100, longest_call_ms=9)]) == {}
    assert meter.read([worker(7, 101)])[ONE].requests == 1


def test_all_that_a_new_worker_counted_is_new() -> None:
    meter = Meter()
    meter.read([worker(7, 100)])
    assert meter.read([worker(7, 101), worker(8, 5)])[ONE].requests == 6


def test_a_process_number_used_again_is_a_new_worker() -> None:
    meter = Meter()
    meter.read([worker(7, 100)])
    assert meter.read([worker(7, 4)])[ONE].requests == 4


def test_peaks_are_those_of_the_look_and_the_highest_of_all_workers() -> None:
    meter = Meter()
    meter.read([worker(7, 0, longest_call_ms=90), worker(8, 0)])
    tally = meter.read([worker(7, 1, longest_call_ms=5, longest_wait_ms=4), worker(8, 1, longest_call_ms=6)])[ONE]
    assert (tally.longest_call_ms, tally.longest_wait_ms) == (6, 4)


def test_the_calls_of_a_held_worker_that_is_gone_were_cut_off() -> None:
    meter = Meter()
    meter.read([worker(7, 100, calls=2)])
    assert meter.read([]) == {ONE: Tally(requests=2, failures=2)}


def test_nobody_knows_how_the_calls_of_a_worker_that_was_not_held_ended() -> None:
    meter = Meter()
    meter.read([worker(7, 100, calls=2, is_held=False), worker(8, 1, is_held=False)])
    assert meter.read([]) == {ONE: Tally(requests=2, is_whole=False)}


HISTORIES = st.lists(
    st.dictionaries(st.integers(1, 4), st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=3), max_size=8
)


@given(HISTORIES)
def test_every_call_is_counted_once_whatever_workers_come_and_go(history: list[dict[int, tuple[int, int]]]) -> None:
    """Each look: which workers live, how many calls each has answered since the look before, and has now."""
    meter, answered, expected, total, before = Meter(), dict[int, int](), 0, 0, dict[int, int]()
    meter.read([])
    for look in history:
        workers = []
        for pid, (more, calls) in look.items():
            known = answered.get(pid, 0) if pid in before else 0
            answered[pid] = known + more
            expected += more
            workers.append(worker(pid, answered[pid], calls=calls))
        expected += sum(calls for pid, calls in before.items() if pid not in look)
        before = {pid: calls for pid, (_, calls) in look.items()}
        total += sum(tally.requests for tally in meter.read(workers).values())
    assert total == expected


# Versions that share a label


def table(share: int = 1000, candidate: VersionId = TWO, main: str = ONE) -> RoutingTable:
    return RoutingTable(routes={"m/latest": main, "m/prod": THREE}, canaries={"m/latest": f"{share}:{candidate}"})


def test_a_candidate_and_what_it_is_held_to_are_the_sides_of_a_label() -> None:
    assert shared(table()).keys() == {ONE, TWO}
    assert shared(table(main=STOPPED)).keys() == {TWO}
    assert shared(RoutingTable(routes={"m/latest": ONE})) == {}


def test_sides_grow_until_somebody_else_is_there_and_a_wider_share_is_nobody_else() -> None:
    later = START + timedelta(seconds=9)
    first = advance({}, table(), {ONE: Tally(requests=50)}, now=START)
    assert {version: side.tally for version, side in first.items()} == {ONE: Tally(), TWO: Tally()}
    second = advance(first, table(5000), {ONE: Tally(requests=9, took_ms=90), THREE: Tally(requests=1)}, now=later)
    assert second[ONE].tally.requests == 9
    assert second[ONE].since == START
    third = advance(second, table(candidate=THREE), {}, now=later)
    assert third.keys() == {ONE, THREE}
    assert third[ONE] == Side(shared=shared(table(candidate=THREE))[ONE], since=later)
    assert advance(third, RoutingTable(), {}, now=later) == {}


def test_a_side_tells_counts_and_seconds() -> None:
    tally = Tally(requests=4, failures=1, took_ms=1000, longest_call_ms=700)
    traffic = Side(shared=frozenset(), since=START, tally=tally).traffic
    assert (traffic.requests, traffic.failures, traffic.mean_s, traffic.longest_s) == (4, 1, 0.25, 0.7)
    assert Side(shared=frozenset(), since=START).traffic.mean_s == 0.0
