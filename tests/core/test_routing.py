"""Who answers which call, what changes without a reload, and when a change may be called effective."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.core import effective
from services.core.canary import version_of
from services.core.effective import Worker, in_flight, waiting
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.known import Known, Seen, absorb
from services.core.records import Candidate, Health, Instance, InstancePhase, Placement, Removed, Route
from services.core.rerouting import (
    CANARIES,
    OPEN,
    ROUTES,
    TOKENS,
    Change,
    DeleteEntry,
    SetEntry,
    SetServer,
    changes,
    entries,
    within,
    without,
)
from services.core.routing import STOPPED, Backend, RoutingTable, Server, route_table
from tests.makers import MODEL_ID, START, placement, version_id

HASH = "5" * 64
LATEST, PROD = f"{MODEL_ID}/latest", f"{MODEL_ID}/prod"
ONE, TWO = version_id(1), version_id(2)


def instance(name: str, phase: InstancePhase = InstancePhase.RUNNING, *, workers: int = 1) -> Instance:
    addresses = tuple(f"/s/{name}.{worker}" for worker in range(workers))
    return Instance(instance_id=InstanceId(name), phase=phase, addresses=addresses, started_at=START)


def health(name: str, *, is_ready: bool, failures: int = 0) -> Health:
    return Health(revision=1, instance_id=InstanceId(name), version_id=ONE, is_ready=is_ready, failures=failures)


def route(revision: int = 1, **changes: object) -> Route:
    made = Route(
        revision=revision,
        model_id=MODEL_ID,
        labels={"latest": ONE},
        is_restricted=True,
        token_hashes=(HASH,),
        request_timeout_s=30.0,
    )
    return replace(made, **changes)


def known(*instances: Instance, model: Route | None = None, healths: tuple[Health, ...] = ()) -> Known:
    return Known(
        routes={MODEL_ID: model or route()},
        placements={f"local.{ONE}": placement(1, instances=instances)},
        health={each.instance_id: each for each in healths},
    )


def servers(table: RoutingTable, version: VersionId = ONE) -> dict[str, bool]:
    return {each.name: each.is_open for each in table.backends[version].servers}


@pytest.mark.parametrize(
    ("phase", "is_ready", "is_open"),
    [
        (InstancePhase.STARTING, None, False),
        (InstancePhase.STARTING, False, False),
        (InstancePhase.STARTING, True, True),
        (InstancePhase.RUNNING, None, True),
        (InstancePhase.RUNNING, False, False),
        (InstancePhase.RUNNING, True, True),
        (InstancePhase.DRAINING, None, False),
        (InstancePhase.DRAINING, True, False),
    ],
)
def test_an_instance_is_called_when_it_is_ready_and_not_drained(
    phase: InstancePhase, is_ready: bool | None, is_open: bool
) -> None:
    verdicts = () if is_ready is None else (health("i", is_ready=is_ready),)
    assert servers(route_table(known(instance("i", phase), healths=verdicts))) == {"i.0": is_open}


@pytest.mark.parametrize(
    ("failures", "is_open"),
    [((0, 1), (True, True)), ((0, 2), (True, False)), ((3, 2), (True, True))],
)
def test_a_silent_instance_is_called_only_when_no_other_answers_its_probes(
    failures: tuple[int, int], is_open: tuple[bool, bool]
) -> None:
    healths = tuple(health(name, is_ready=True, failures=each) for name, each in zip("ab", failures, strict=True))
    table = route_table(known(instance("a"), instance("b"), healths=healths))
    assert servers(table) == dict(zip(("a.0", "b.0"), is_open, strict=True))


def test_an_instance_that_exited_is_no_server() -> None:
    table = route_table(known(instance("gone", InstancePhase.EXITED), instance("here")))
    assert servers(table) == {"here.0": True}


def test_every_worker_of_an_instance_is_a_server() -> None:
    table = route_table(known(instance("i", workers=3)))
    assert [(each.name, each.address) for each in table.backends[ONE].servers] == [
        ("i.0", "/s/i.0"),
        ("i.1", "/s/i.1"),
        ("i.2", "/s/i.2"),
    ]
    assert table.backends[ONE].request_timeout_s == 30.0


def test_a_label_leads_to_its_version_also_while_none_of_its_instances_is_ready() -> None:
    table = route_table(known(instance("i", InstancePhase.STARTING)))
    assert table.routes == {LATEST: ONE}


@pytest.mark.parametrize(
    "instances", [(), (instance("i", InstancePhase.EXITED),), (instance("i", InstancePhase.DRAINING),)]
)
def test_a_label_whose_version_is_gone_or_leaves_is_stopped(instances: tuple[Instance, ...]) -> None:
    assert route_table(known(*instances)).routes == {LATEST: STOPPED}


def test_a_known_model_without_labels_is_stopped_and_not_unknown() -> None:
    table = route_table(known(model=route(labels={})))
    assert table.routes == {LATEST: STOPPED}
    assert table.tokens == {f"{MODEL_ID}/{HASH}"}


def test_a_label_that_leads_nowhere_is_stopped_and_one_that_the_route_does_not_have_is_unknown() -> None:
    table = route_table(known(instance("i"), model=route(labels={"latest": ONE, "prod": None})))
    assert table.routes == {LATEST: ONE, PROD: STOPPED}
    assert route_table(known(instance("i"))).routes.keys() == {LATEST}


def test_a_version_leaves_when_all_its_instances_drain_not_before() -> None:
    drained, other = instance("a", InstancePhase.DRAINING), instance("b")
    assert route_table(known(drained, other)).backends[ONE].is_leaving is False
    assert route_table(known(drained)).backends[ONE].is_leaving is True


def test_only_an_unrestricted_model_is_open() -> None:
    assert route_table(known()).open_models == frozenset()
    assert route_table(known(model=route(is_restricted=False))).open_models == {MODEL_ID}


@pytest.mark.parametrize("address", ["/s/a'b", "/s/a\nserver x", "relative", "host", "/" + "x" * 200, "host:port", ""])
def test_a_strange_address_is_left_out_and_spoils_nothing(address: str) -> None:
    strange = replace(instance("strange"), addresses=(address,))
    assert servers(route_table(known(strange, instance("i")))) == {"i.0": True}


@pytest.mark.parametrize("address", ["/tmp/a b/i.sock", "10.0.0.1:80", "model-1.ns.svc:8000", "[::1]:80"])
def test_sockets_and_hosts_are_addresses(address: str) -> None:
    table = route_table(known(replace(instance("i"), addresses=(address,))))
    assert [each.address for each in table.backends[ONE].servers] == [address]


def test_entries_under_strange_keys_labels_and_hashes_are_left_out() -> None:
    spoilt = route(labels={"latest": ONE, "a b\n": ONE}, token_hashes=(HASH, "short", "x\n"))
    table = route_table(Known(routes={MODEL_ID: spoilt, "other": spoilt}))
    assert table.routes == {LATEST: STOPPED}
    assert table.tokens == {f"{MODEL_ID}/{HASH}"}


@pytest.mark.parametrize("has_repeatable_calls", [False, True])
def test_a_backend_knows_whether_its_models_calls_may_run_twice(has_repeatable_calls: bool) -> None:
    table = route_table(known(instance("i"), model=route(has_repeatable_calls=has_repeatable_calls)))
    assert table.backends[ONE].has_repeatable_calls is has_repeatable_calls


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, False)])
def test_connections_are_kept_only_to_a_version_all_of_whose_instances_do(first: bool, second: bool) -> None:
    some = [replace(instance(name), keeps_connections=keeps) for name, keeps in (("i", first), ("j", second))]
    assert route_table(known(*some)).backends[ONE].keeps_connections is (first and second)


def test_an_instance_that_exited_is_not_asked_whether_it_kept_connections() -> None:
    gone, here = instance("i", InstancePhase.EXITED), replace(instance("j"), keeps_connections=True)
    assert route_table(known(gone, here)).backends[ONE].keeps_connections


# Canaries


def with_canary(*instances: Instance, share: float = 10.0, label: str = "latest") -> Known:
    """Version one has the label, version two is the candidate of `latest` and has these instances."""
    model = route(labels={label: ONE}, candidates={"latest": Candidate(version_id=TWO, share=share)})
    before = known(instance("i"), model=model)
    return replace(before, placements={**before.placements, f"local.{TWO}": placement(2, instances=instances)})


@pytest.mark.parametrize(
    ("share", "draws"), [(0.0, 0), (0.01, 1), (12.5, 1250), (100.0, 10_000), (-1.0, 0), (250.0, 10_000)]
)
def test_a_candidate_takes_its_share_in_hundredths_of_a_percent(share: float, draws: int) -> None:
    assert route_table(with_canary(instance("c"), share=share)).canaries == {LATEST: f"{draws}:{TWO}"}


@pytest.mark.parametrize(
    "instances", [(), (instance("c", InstancePhase.EXITED),), (instance("c", InstancePhase.DRAINING),)]
)
def test_a_candidate_that_is_gone_or_leaves_takes_no_share(instances: tuple[Instance, ...]) -> None:
    assert route_table(with_canary(*instances)).canaries == {}


def test_a_candidate_of_a_label_the_route_does_not_have_takes_no_share() -> None:
    assert route_table(with_canary(instance("c"), label="prod")).canaries == {}


def test_the_placement_of_a_candidate_is_kept_when_the_bus_has_lost_it() -> None:
    before = with_canary(instance("c"))
    assert absorb(before, seen(routes=before.routes, is_whole=True)).placements == before.placements


def test_a_candidate_comes_at_once_to_a_worker_that_has_it_and_an_earlier_one_stays_where_it_has_not() -> None:
    wanted = route_table(with_canary(instance("c")))
    without_it = replace(wanted, canaries={}, backends={ONE: wanted.backends[ONE]})
    assert within(wanted, without_it).canaries == {}
    earlier = replace(without_it, canaries={LATEST: f"500:{ONE}"})
    assert within(wanted, earlier).canaries == earlier.canaries
    assert changes(replace(wanted, canaries={}), wanted) == (SetEntry(CANARIES, LATEST, f"1000:{TWO}", True),)


def test_a_canary_is_effective_only_where_every_deciding_worker_draws_for_it() -> None:
    what = with_canary(instance("c"))
    wanted = route_table(what)
    other = replace(wanted, canaries={LATEST: f"500:{TWO}"})
    assert effective.routes(what, {}, wanted, [worker(wanted)]) == {MODEL_ID: 1}
    assert effective.routes(what, {}, wanted, [worker(wanted), worker(other)]) == {}
    assert effective.routes(what, {}, wanted, [worker(replace(wanted, canaries={}))]) == {}


def test_the_placement_of_a_candidate_that_drains_is_not_effective_while_a_worker_draws_for_it() -> None:
    before = route_table(with_canary(instance("c")))
    what = with_canary(instance("c", InstancePhase.DRAINING))
    wanted = route_table(what)
    assert TWO not in effective.placements(what, wanted, [worker(before)])
    assert effective.placements(what, wanted, [worker(within(wanted, before))])[TWO] == 1


# What is remembered


def seen(
    *, routes: Mapping[str, Route] = {}, removed: Mapping[str, Removed] = {}, is_whole: bool = False, **more: object
) -> Seen:
    empty = Seen(
        routes=routes, removed_routes=removed, is_whole=is_whole, placements={}, removed_placements={}, health={}
    )
    return replace(empty, **more)


def test_an_empty_bus_takes_nothing_away() -> None:
    before = known(instance("i"), healths=(health("i", is_ready=True),))
    assert absorb(before, seen()) == before


def test_an_older_entry_is_refused_and_a_newer_one_taken() -> None:
    before = known(model=route(5))
    assert absorb(before, seen(routes={MODEL_ID: route(4, is_restricted=False)})) == before
    newer = route(6, is_restricted=False)
    assert absorb(before, seen(routes={MODEL_ID: newer})).routes == {MODEL_ID: newer}


MOVED = route(2, labels={"latest": TWO}, token_hashes=(), is_restricted=False)


def test_a_label_does_not_move_before_the_placement_of_its_version_is_known_but_all_else_of_the_route_holds() -> None:
    before = known(instance("a"))
    after = absorb(before, seen(routes={MODEL_ID: MOVED}))
    assert after.routes == {MODEL_ID: replace(MOVED, labels={"latest": ONE}, revision=1)}
    assert route_table(after).routes == {LATEST: ONE}
    assert absorb(after, seen(routes={MODEL_ID: MOVED})) == after


def test_it_moves_once_the_placement_is_there() -> None:
    early = absorb(known(instance("a")), seen(routes={MODEL_ID: MOVED}))
    late = {"local.2": placement(2, instances=[instance("b")])}
    assert absorb(early, replace(seen(routes={MODEL_ID: MOVED}), placements=late)).routes == {MODEL_ID: MOVED}


@pytest.mark.parametrize("labels", [{"latest": None}, {}, {"latest": TWO, "prod": TWO}])
def test_a_label_that_leads_to_nothing_waits_for_nothing(labels: dict[str, VersionId | None]) -> None:
    """Neither one that is taken away, nor one whose version so far is not placed."""
    unplaced = Known(routes={MODEL_ID: route()})
    before = unplaced if labels.get("latest") else known(instance("a"))
    moved = route(2, labels=labels)
    assert absorb(before, seen(routes={MODEL_ID: moved})).routes == {MODEL_ID: moved}


def test_a_tombstone_removes_unless_it_is_older() -> None:
    before = known(model=route(5))
    assert absorb(before, seen(removed={MODEL_ID: Removed(revision=4)})).routes == before.routes
    assert absorb(before, seen(removed={MODEL_ID: Removed(revision=5)})).routes == {}


def test_only_a_whole_bucket_takes_a_route_away_by_not_having_it_and_the_placement_with_it() -> None:
    before = known(instance("i"), healths=(health("i", is_ready=True),))
    assert absorb(before, seen(is_whole=True)) == Known()


def test_a_placement_the_bus_has_lost_is_kept_while_a_label_leads_to_it() -> None:
    before = known(instance("i"))
    after = absorb(before, seen(routes=before.routes, is_whole=True))
    assert after.placements == before.placements


def test_the_health_of_an_instance_that_is_nowhere_is_forgotten() -> None:
    after = absorb(known(), seen(health={"nowhere": health("nowhere", is_ready=True)}))
    assert after.health == {}


# Without a reload


def server(name: str, *, is_open: bool = True) -> Server:
    return Server(name=name, address="/s", is_open=is_open)


def backend(*servers: Server, is_leaving: bool = False) -> Backend:
    return Backend(request_timeout_s=1.0, servers=servers, is_leaving=is_leaving)


def table(routes: dict[str, str], backends: dict[VersionId, Backend]) -> RoutingTable:
    return RoutingTable(routes=routes, backends=backends)


def test_a_label_moves_at_once_only_to_a_version_the_worker_has() -> None:
    running = table({LATEST: ONE}, {ONE: backend(server("a.0"))})
    wanted = table({LATEST: TWO}, {TWO: backend(server("b.0"))})
    assert within(wanted, running).routes == {LATEST: ONE}
    both = replace(running, backends={**running.backends, **wanted.backends})
    assert within(wanted, both).routes == {LATEST: TWO}
    assert within(wanted, RoutingTable()).routes == {}


def test_the_servers_of_a_version_that_leaves_stay_open_for_the_calls_that_wait() -> None:
    running = table({LATEST: ONE}, {ONE: backend(server("a.0"))})
    leaving = table({LATEST: STOPPED}, {ONE: backend(server("a.0", is_open=False), is_leaving=True)})
    assert changes(running, within(leaving, running)) == (SetEntry(ROUTES, LATEST, STOPPED, False),)
    gone = table({LATEST: STOPPED}, {})
    assert changes(running, within(gone, running)) == (SetEntry(ROUTES, LATEST, STOPPED, False),)


def test_a_server_that_drains_beside_others_is_closed() -> None:
    running = table({LATEST: ONE}, {ONE: backend(server("a.0"), server("b.0"))})
    wanted = table({LATEST: ONE}, {ONE: backend(server("a.0", is_open=False), server("b.0"))})
    assert changes(running, within(wanted, running)) == (SetServer(ONE, "a.0", False),)


def test_a_server_is_opened_before_a_label_leads_to_it_and_a_model_restricted_after_its_tokens_open_it() -> None:
    running = replace(
        table({LATEST: STOPPED}, {ONE: backend(server("a.0", is_open=False))}), open_models=frozenset({MODEL_ID})
    )
    wanted = replace(table({LATEST: ONE}, {ONE: backend(server("a.0"))}), tokens=frozenset({f"{MODEL_ID}/{HASH}"}))
    assert changes(running, wanted) == (
        SetServer(ONE, "a.0", True),
        SetEntry(TOKENS, f"{MODEL_ID}/{HASH}", "1", True),
        SetEntry(ROUTES, LATEST, ONE, False),
        DeleteEntry(OPEN, MODEL_ID),
    )


NAMES = st.sampled_from(["a", "b", "c"])
BACKENDS = st.dictionaries(
    st.sampled_from([ONE, TWO]),
    st.builds(
        lambda open_by_name, is_leaving: backend(
            *(server(name, is_open=is_open) for name, is_open in open_by_name.items()), is_leaving=is_leaving
        ),
        st.dictionaries(NAMES, st.booleans()),
        st.booleans(),
    ),
)
TABLES = st.builds(
    RoutingTable,
    routes=st.dictionaries(NAMES, st.sampled_from([ONE, TWO, STOPPED])),
    canaries=st.dictionaries(NAMES, st.sampled_from([f"100:{ONE}", f"100:{TWO}", f"200:{TWO}"])),
    open_models=st.frozensets(NAMES),
    tokens=st.frozensets(NAMES),
    backends=BACKENDS,
)


def told(running: RoutingTable, commands: tuple[Change, ...]) -> RoutingTable:
    """What a worker does after `commands`, written down as simply as HAProxy does it."""
    maps = {name: dict(content) for name, content in entries(running).items()}
    is_open = {(v, s.name): s.is_open for v, each in running.backends.items() for s in each.servers}
    for command in commands:
        match command:
            case SetEntry(name, key, value, is_new):
                assert (key not in maps[name]) is is_new
                maps[name][key] = value
            case DeleteEntry(name, key):
                del maps[name][key]
            case SetServer(version, name, now_open):
                assert (version, name) in is_open
                is_open[version, name] = now_open
    return RoutingTable(
        routes=maps[ROUTES],
        canaries=maps[CANARIES],
        open_models=frozenset(maps[OPEN]),
        tokens=frozenset(maps[TOKENS]),
        backends={
            v: replace(each, servers=tuple(replace(s, is_open=is_open[v, s.name]) for s in each.servers))
            for v, each in running.backends.items()
        },
    )


@given(TABLES, TABLES)
def test_the_commands_bring_any_worker_to_as_much_of_any_table_as_it_can_do(
    running: RoutingTable, wanted: RoutingTable
) -> None:
    target = within(wanted, running)
    reached = told(running, changes(running, target))
    assert entries(reached) == entries(target)
    assert {v: each.servers for v, each in reached.backends.items()} == {
        v: each.servers for v, each in target.backends.items()
    }
    assert changes(reached, within(wanted, reached)) == ()
    assert (target.open_models, target.tokens) == (wanted.open_models, wanted.tokens)
    assert all(
        to == STOPPED or to in running.backends or to == running.routes[key] for key, to in target.routes.items()
    )
    assert all(
        version_of(text) in running.backends or text == running.canaries[key] for key, text in target.canaries.items()
    )


@given(TABLES)
def test_versions_set_aside_are_led_to_by_no_label(wanted: RoutingTable) -> None:
    rest = without(wanted, [ONE])
    assert ONE not in rest.backends
    assert ONE not in rest.routes.values()
    assert all(version_of(text) == TWO for text in rest.canaries.values())
    assert rest.routes.keys() == wanted.routes.keys()


# What is in effect


def worker(running: RoutingTable, *, is_stopping: bool = False, **more: object) -> Worker:
    return replace(Worker(running=running, is_stopping=is_stopping), **more)


def test_a_route_is_effective_when_the_worker_that_decides_follows_it() -> None:
    what = known(instance("i"), model=route(7))
    wanted = route_table(what)
    other = replace(wanted, routes={LATEST: STOPPED})
    assert effective.routes(what, {}, wanted, [worker(wanted)]) == {MODEL_ID: 7}
    assert effective.routes(what, {}, wanted, [worker(other)]) == {}
    assert effective.routes(what, {}, wanted, [worker(wanted), worker(other)]) == {}
    assert effective.routes(what, {}, wanted, []) == {}


def test_an_old_worker_decides_nothing_for_it_passes_new_calls_on() -> None:
    what = known(instance("i"), model=route(7))
    wanted = route_table(what)
    assert effective.routes(what, {}, wanted, [worker(wanted), worker(RoutingTable(), is_stopping=True)]) == {
        MODEL_ID: 7
    }


def test_a_route_whose_tokens_are_not_all_told_is_not_effective() -> None:
    what = known(model=route(7))
    wanted = route_table(what)
    assert effective.routes(what, {}, wanted, [worker(replace(wanted, tokens=frozenset()))]) == {}


def test_the_tombstone_of_a_route_is_effective_when_nothing_of_the_model_is_left() -> None:
    removed: dict[str, Removed] = {MODEL_ID: Removed(revision=9)}
    left = RoutingTable(routes={LATEST: STOPPED})
    assert effective.routes(Known(), removed, RoutingTable(), [worker(RoutingTable())]) == {AggregateId(MODEL_ID): 9}
    assert effective.routes(Known(), removed, RoutingTable(), [worker(left)]) == {}


def placed(*instances: Instance) -> Known:
    """Placement of revision 3."""
    entry: Placement = placement(1, instances=instances, revision=3)
    return Known(routes={MODEL_ID: route()}, placements={f"local.{ONE}": entry})


def test_a_placement_is_effective_when_no_live_worker_has_a_closed_server_open() -> None:
    before = route_table(placed(instance("a"), instance("b")))
    what = placed(instance("a", InstancePhase.DRAINING), instance("b"))
    wanted = route_table(what)
    assert effective.placements(what, wanted, [worker(wanted)]) == {ONE: 3}
    assert effective.placements(what, wanted, [worker(before)]) == {}
    # Its queue still gives calls to both.
    assert (
        effective.placements(what, wanted, [worker(wanted), worker(before, is_stopping=True, waiting={ONE: 1})]) == {}
    )


def test_a_leaving_placement_is_effective_when_no_call_waits_for_it_in_any_worker() -> None:
    before = route_table(placed(instance("a")))
    what = placed(instance("a", InstancePhase.DRAINING))
    wanted = route_table(what)
    told_so = within(wanted, before)
    assert effective.placements(what, wanted, [worker(before)]) == {}
    assert effective.placements(what, wanted, [worker(told_so, waiting={ONE: 1})]) == {}
    assert effective.placements(what, wanted, [worker(told_so)]) == {ONE: 3}
    waiting_in_old = worker(before, is_stopping=True, waiting={ONE: 2})
    assert effective.placements(what, wanted, [worker(told_so), waiting_in_old]) == {}
    assert effective.placements(what, wanted, [worker(told_so), worker(before, is_stopping=True)]) == {ONE: 3}


def test_a_placement_without_instances_is_effective_where_nothing_leads_to_it() -> None:
    what = placed()
    assert effective.placements(what, route_table(what), [worker(RoutingTable())]) == {ONE: 3}
    assert effective.placements(what, route_table(what), []) == {}


def test_calls_are_summed_over_all_workers_and_over_the_workers_of_an_instance() -> None:
    both = [
        worker(RoutingTable(), in_flight={"i.0": 1, "i.1": 1, "j.0": 0}, waiting={ONE: 2, TWO: 0}),
        worker(RoutingTable(), is_stopping=True, in_flight={"i.0": 1}, waiting={ONE: 1}),
    ]
    assert in_flight(both) == {"i": 3}
    assert waiting(both) == {ONE: 3}
