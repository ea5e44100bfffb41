"""When a rollout begins, when it is over, and what its receipt says."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.core.ids import InstanceId, VersionId
from services.core.known import Known
from services.core.receipts import MAX_OPEN, SWITCH_S, Look, Moment, Open, advance, begin, versions
from services.core.records import Candidate, Instance, InstancePhase, PlacementPhase, Rollout, RolloutKind, Route
from services.core.routing import route_table
from services.core.traffic import Tally
from tests.core.test_routing import worker
from tests.makers import MODEL_ID, START, instance, instance_id, placement, version_id

ONE, TWO, THREE = version_id(1), version_id(2), version_id(3)
ROUTER = "router-1"
LABEL = f"{MODEL_ID}/latest"


def known(revision: int = 1, **labels: VersionId | None) -> Known:
    """A model with three versions, each with one instance."""
    route = Route(
        revision=revision,
        model_id=MODEL_ID,
        labels=labels,
        is_restricted=False,
        token_hashes=(),
        request_timeout_s=5.0,
    )
    placements = {
        f"local.{version_id(number)}": placement(
            number, instances=[replace(instance(number), instance_id=InstanceId(f"0000000{number}-1-x"))]
        )
        for number in (1, 2, 3)
    }
    return Known(routes={MODEL_ID: route}, placements=placements)


def with_candidate(what: Known, version: VersionId) -> Known:
    candidates = {"latest": Candidate(version_id=version, share=5.0)}
    return replace(what, routes={MODEL_ID: replace(what.routes[MODEL_ID], candidates=candidates)})


def begun(before: Known, after: Known) -> dict[str, Open]:
    return begin({}, ROUTER, before, after, Moment(START, 100.0))


def look(what: Known, *, now_s: float = 101.0, tallies: dict[VersionId, Tally] | None = None, **more: object) -> Look:
    """HAProxy has one worker, does what is known and has no call."""
    aimed = route_table(what)
    seen = Look(known=what, aimed=aimed, workers=(worker(aimed),), tallies=tallies or {}, now_s=now_s)
    return replace(seen, **more)


def only(rollouts: Iterable[Rollout]) -> Rollout:
    (rollout,) = rollouts
    return rollout


# Switches


def test_a_switch_begins_when_a_label_leads_to_another_version() -> None:
    one = only_open(begun(known(1, latest=ONE), known(2, latest=TWO)))
    assert (one.id, one.kind, one.version_id, one.replaced, one.label) == (
        f"{ROUTER}.{MODEL_ID}.latest.2",
        RolloutKind.SWITCH,
        TWO,
        ONE,
        "latest",
    )
    assert one.replaced_instances == (InstanceId("00000001-1-x"),)


def only_open(opens: dict[str, Open]) -> Open:
    (one,) = opens.values()
    return one


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (known(1, latest=ONE), known(2, latest=ONE)),
        (known(1, latest=ONE), known(2, latest=None)),
        (known(1, latest=ONE), known(2)),
        (Known(), known(2, latest=ONE)),
        (known(1, latest=ONE), Known()),
    ],
    ids=["the same", "stopped", "label gone", "unknown before", "removed"],
)
def test_anything_else_is_no_switch(before: Known, after: Known) -> None:
    assert begun(before, after) == {}


def test_a_version_that_answers_where_nobody_did_replaces_nothing_and_waits_for_nobody() -> None:
    what = known(2, latest=TWO)
    opens = begun(known(1, latest=None), what)
    assert only_open(opens).replaced is None
    busy = replace(worker(route_table(what)), calls={ONE: 3})
    assert advance(opens, ROUTER, look(what, workers=(busy,)))[0] == {}


def test_a_switch_is_over_when_every_worker_leads_there_and_none_has_a_call_on_what_was_replaced() -> None:
    before, what = known(1, latest=ONE), known(2, latest=TWO)
    new, old = worker(route_table(what)), worker(route_table(before))
    opens = begun(before, what)
    opens, done = advance(opens, ROUTER, look(what, now_s=100.5, workers=(new, old)))
    assert (done, only_open(opens).in_effect_s) == ((), None)
    draining = worker(route_table(before), is_stopping=True, calls={ONE: 1})
    opens, done = advance(opens, ROUTER, look(what, now_s=102.0, workers=(new, draining)))
    assert (done, only_open(opens).in_effect_s) == ((), 2.0)
    opens, done = advance(opens, ROUTER, look(what, now_s=105.0, workers=(new, replace(draining, calls={}))))
    receipt = only(done)
    assert opens == {}
    assert (receipt.in_effect_s, receipt.drain_s, receipt.is_complete) == (2.0, 5.0, True)
    assert (receipt.router_id, receipt.began_at) == (ROUTER, START)
    assert (receipt.instances, receipt.replaced_instances) == (("00000002-1-x",), ("00000001-1-x",))


def test_a_switch_is_not_in_effect_where_no_worker_is() -> None:
    what = known(2, latest=TWO)
    opens, done = advance(begun(known(1, latest=ONE), what), ROUTER, look(what, workers=()))
    assert (len(opens), done) == (1, ())


@pytest.mark.parametrize(
    "after",
    [known(2, latest=TWO, prod=ONE), with_candidate(known(2, latest=TWO), ONE)],
    ids=["another label", "a canary"],
)
def test_what_still_answers_elsewhere_is_not_waited_for(after: Known) -> None:
    busy = worker(route_table(after), calls={ONE: 3})
    _, done = advance(begun(known(1, latest=ONE, prod=ONE), after), ROUTER, look(after, workers=(busy,)))
    assert only(done).is_complete


def test_the_calls_of_all_the_models_versions_count_and_no_others() -> None:
    what = known(2, latest=TWO)
    opens = begun(known(1, latest=ONE), what)
    assert versions(opens, what) == {ONE, TWO, THREE}
    first = look(what, workers=(), tallies={ONE: Tally(requests=3, failures=1, longest_wait_ms=20)})
    opens, _ = advance(opens, ROUTER, first)
    other = version_id(9)
    tallies = {TWO: Tally(requests=4, longest_call_ms=1500), other: Tally(requests=99, failures=99)}
    receipt = only(advance(opens, ROUTER, look(what, tallies=tallies))[1])
    assert (receipt.requests, receipt.failures) == (7, 1)
    assert (receipt.longest_wait_s, receipt.longest_call_s) == (0.02, 1.5)


def test_a_switch_that_is_overtaken_says_that_it_is_not_complete() -> None:
    opens = begun(known(1, latest=ONE), known(2, latest=TWO))
    after = known(3, latest=THREE)
    assert only(advance(opens, ROUTER, look(after))[1]).is_complete is False
    assert only(advance(opens, ROUTER, look(Known()))[1]).is_complete is False


def test_a_switch_that_never_drains_is_given_up_and_says_so() -> None:
    what = known(2, latest=TWO)
    opens = begun(known(1, latest=ONE), what)
    busy = (worker(route_table(what), calls={ONE: 1}),)
    opens, done = advance(opens, ROUTER, look(what, workers=busy, now_s=100.0 + SWITCH_S))
    assert done == ()
    late = look(what, workers=busy, now_s=100.0 + SWITCH_S + 20)
    assert only(advance(opens, ROUTER, late)[1]).is_complete is False


def test_a_receipt_of_calls_with_an_unknown_end_is_not_complete() -> None:
    what = known(2, latest=TWO)
    opens = begun(known(1, latest=ONE), what)
    unknown = look(what, tallies={ONE: Tally(requests=1, is_whole=False)})
    assert only(advance(opens, ROUTER, unknown)[1]).is_complete is False


def test_no_more_is_measured_at_once_than_there_is_room_for() -> None:
    routes = {f"{number:024x}": number for number in range(MAX_OPEN + 5)}

    def all_of(version: VersionId) -> Known:
        one = known(1, latest=version).routes[MODEL_ID]
        return Known(routes={key: replace(one, model_id=key) for key in routes})

    opens = begun(all_of(ONE), all_of(TWO))
    assert len(opens) == MAX_OPEN
    assert begin(opens, ROUTER, all_of(TWO), all_of(THREE), Moment(START, 1.0)) == opens


# Restarts


def placed(*instances: Instance, generation: int = 2, revision: int = 1, **changes: object) -> Known:
    """Version one runs these instances."""
    before = known(1, latest=ONE)
    mine = placement(1, instances=instances, generation=generation, revision=revision, **changes)
    return replace(before, placements={f"local.{ONE}": mine})


def of(generation: int, number: int = 1, phase: InstancePhase = InstancePhase.RUNNING) -> Instance:
    return instance(number, phase, generation=generation)


DRAINING, EXITED, STARTING = InstancePhase.DRAINING, InstancePhase.EXITED, InstancePhase.STARTING
OLD = placed(of(1, 1), of(1, 2), generation=1)


def test_a_restart_begins_when_the_first_of_a_new_generation_stands_beside_older_ones() -> None:
    ordered = placed(of(1, 1), of(1, 2), revision=2)
    assert begun(OLD, ordered) == {}
    one = only_open(begun(ordered, placed(of(1, 1), of(1, 2), of(2, 3, STARTING), revision=3)))
    assert (one.id, one.kind) == (f"{ROUTER}.{ONE}.2", RolloutKind.RESTART)
    assert (one.version_id, one.replaced, one.label) == (ONE, ONE, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Known(), placed(of(1), of(2))),
        (placed(of(1), of(2, 2)), placed(of(1), of(2, 2), of(2, 3), revision=2)),
        (OLD, placed(of(1), of(1, 2), of(1, 3), generation=1, revision=2)),
        (placed(of(1, 1, EXITED)), placed(of(1, 1, EXITED), of(2, 2), revision=2)),
    ],
    ids=["unknown before", "in the middle", "scaled", "nothing is replaced"],
)
def test_anything_else_is_no_restart(before: Known, after: Known) -> None:
    assert begun(before, after) == {}


def restart(*steps: tuple[Known, dict[str, int]]) -> tuple[dict[str, Open], list[Rollout]]:
    """What came of a restart after looks at these placements, with these calls in flight, one second apart."""
    began = placed(of(1, 1), of(1, 2), of(2, 3, STARTING), revision=2)
    opens, done = begun(OLD, began), list[Rollout]()
    for number, (what, in_flight) in enumerate(steps, 1):
        seen = look(what, now_s=100.0 + number)
        busy = replace(seen.workers[0], in_flight={f"{each}.0": calls for each, calls in in_flight.items()})
        opens, more = advance(opens, ROUTER, replace(seen, workers=(busy,)))
        done += more
    return opens, done


HALF: tuple[Known, dict[str, int]] = placed(of(1, 1, DRAINING), of(1, 2), of(2, 3), revision=4), {}
LAST = placed(of(1, 2, DRAINING), of(2, 3), of(2, 4), revision=6)


def test_a_restart_is_over_when_every_older_instance_is_closed_and_idle() -> None:
    last = instance_id(2, 1)
    opens, done = restart(HALF)
    assert (only_open(opens).in_effect_s, done) == (None, [])
    opens, done = restart(HALF, (LAST, {last: 1}))
    assert (only_open(opens).in_effect_s, done) == (2.0, [])
    opens, done = restart(HALF, (LAST, {last: 1, instance_id(3, 2): 1}), (LAST, {instance_id(3, 2): 1}))
    receipt = only(done)
    assert opens == {}
    assert (receipt.in_effect_s, receipt.drain_s, receipt.is_complete) == (2.0, 3.0, True)
    assert receipt.instances == (instance_id(3, 2), instance_id(4, 2))
    assert receipt.replaced_instances == (instance_id(1, 1), instance_id(2, 1))


def test_a_restart_is_not_in_effect_while_a_worker_has_an_older_instance_open() -> None:
    seen = look(LAST)
    lagging = replace(seen, workers=(worker(route_table(OLD)),))
    opens, done = advance(restart()[0], ROUTER, lagging)
    assert (only_open(opens).in_effect_s, done) == (None, ())


@pytest.mark.parametrize(
    "after",
    [
        placed(of(1, 1), of(1, 2), phase=PlacementPhase.FAILED),
        placed(of(1, 1), of(2, 3), generation=3),
        placed(of(1, 1, DRAINING), of(2, 3, DRAINING), phase=PlacementPhase.STOPPING),
        Known(),
    ],
    ids=["failed", "overtaken", "stopped", "removed"],
)
def test_a_restart_that_comes_to_nothing_has_no_receipt(after: Known) -> None:
    assert restart((after, {})) == ({}, [])


def test_a_restart_whose_first_instance_crashes_goes_on() -> None:
    opens, done = restart((placed(of(1, 1), of(1, 2), revision=3), {}))
    assert (len(opens), done) == (1, [])


# Any history


LABELS = st.dictionaries(st.sampled_from(["latest", "prod"]), st.sampled_from([ONE, TWO, THREE, None]))
CALLS = st.dictionaries(st.sampled_from([ONE, TWO, THREE]), st.integers(1, 3))


@given(st.lists(st.tuples(LABELS, CALLS, st.integers(0, 9)), max_size=8))
def test_every_switch_has_one_receipt_at_most_and_in_the_end_none_is_open(
    history: list[tuple[dict[str, VersionId | None], dict[VersionId, int], int]],
) -> None:
    opens, done, before, sent = dict[str, Open](), list[Rollout](), known(1), 0
    for number, (labels, calls, requests) in enumerate(history, 2):
        after = known(number, **labels)
        opens = begin(opens, ROUTER, before, after, Moment(START, float(number)))
        busy = (worker(route_table(after), calls=calls),)
        seen = look(after, workers=busy, now_s=number + 0.5, tallies={ONE: Tally(requests=requests)})
        opens, more = advance(opens, ROUTER, seen)
        done += more
        before, sent = after, sent + requests
    opens, more = advance(opens, ROUTER, look(before, now_s=1e6))
    done += more
    assert opens == {}
    assert len({each.id for each in done}) == len(done)
    assert all(0 <= each.requests <= sent and 0 <= each.in_effect_s <= each.drain_s for each in done)
    assert all(each.version_id != each.replaced for each in done)
