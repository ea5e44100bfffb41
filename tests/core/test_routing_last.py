"""A routing table that is made from the last one is the same as one that is made from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.kept import Kept
from services.core.known import Known, Seen, absorb
from services.core.records import Candidate, Health, Instance, InstancePhase, Placement, Record, Removed, Route
from services.core.rerouting import changes, within
from services.core.routing import Last, route_table
from tests.makers import START, placement, version_id

MODELS = [AggregateId("a" * 24), AggregateId("b" * 24)]
VERSIONS = [version_id(1), version_id(2), version_id(3)]
INSTANCES = [InstanceId(each) for each in "abcd"]

R = TypeVar("R", bound=Record)


def keyed(keys: list[str], values: st.SearchStrategy[R]) -> st.SearchStrategy[dict[str, R]]:
    return st.dictionaries(st.sampled_from(keys), values, max_size=len(keys))


REVISIONS = st.integers(1, 3)
ROUTES = st.builds(
    Route,
    revision=REVISIONS,
    model_id=st.sampled_from(MODELS),
    labels=st.dictionaries(st.sampled_from(["latest", "prod", "no label"]), st.sampled_from([*VERSIONS, None])),
    candidates=st.dictionaries(
        st.sampled_from(["latest", "prod"]),
        st.builds(Candidate, version_id=st.sampled_from(VERSIONS), share=st.just(5.0)),
    ),
    is_restricted=st.booleans(),
    token_hashes=st.lists(st.sampled_from(["5" * 64, "6" * 64, "no digest"]), max_size=3).map(tuple),
    request_timeout_s=st.sampled_from([5.0, 60.0]),
    has_repeatable_calls=st.booleans(),
)
PLACED = st.builds(
    Instance,
    instance_id=st.sampled_from(INSTANCES),
    phase=st.sampled_from(InstancePhase),
    addresses=st.sampled_from([("/s/a",), ("/s/b", "/s/c"), ("no address",)]),
    started_at=st.just(START),
)
PLACEMENTS = st.builds(
    lambda revision, model, version, generation, instances: replace(
        placement(revision, instances=tuple(instances)), model_id=model, version_id=version, generation=generation
    ),
    REVISIONS,
    st.sampled_from(MODELS),
    st.sampled_from(VERSIONS),
    st.integers(1, 2),
    st.lists(PLACED, max_size=3, unique_by=lambda each: each.instance_id),
)
HEALTH = st.builds(
    Health,
    revision=REVISIONS,
    instance_id=st.sampled_from(INSTANCES),
    version_id=st.just(VERSIONS[0]),
    is_ready=st.booleans(),
    failures=st.integers(0, 3),
)
TOMBSTONES = st.builds(Removed, revision=REVISIONS)
PLACES = [f"{deployer}.{version}" for deployer in ("local", "other") for version in VERSIONS]
SEEN = st.builds(
    Seen,
    routes=keyed([*MODELS, "strange"], ROUTES),
    removed_routes=keyed(list(MODELS), TOMBSTONES),
    is_whole=st.booleans(),
    placements=keyed(PLACES, PLACEMENTS),
    removed_placements=keyed(PLACES, TOMBSTONES),
    health=keyed(list(INSTANCES), HEALTH),
)


@given(st.lists(SEEN, max_size=6))
def test_a_table_made_from_the_last_one_is_the_table_made_from_nothing(steps: list[Seen]) -> None:
    known, last = Known(), Last()
    for seen in steps:
        known = absorb(known, seen)
        table = route_table(known, last)
        anew = route_table(known)
        assert table == anew
        assert ([*table.routes], [*table.backends]) == ([*anew.routes], [*anew.backends])


def absorbed(known: Known, seen: Seen) -> Known:
    """As `absorb`, and as plainly as it can be said."""
    routes = newest(known.routes, seen.routes, seen.removed_routes)
    placements = newest(known.placements, seen.placements, seen.removed_placements)
    placed = {each.version_id for each in placements.values()}
    routes = {key: in_time(known.routes.get(key), each, placed) for key, each in routes.items()}
    if seen.is_whole:
        routes = {key: each for key, each in routes.items() if key in seen.routes}
        led_to = {version for each in routes.values() for version in each.labels.values()}
        led_to |= {candidate.version_id for each in routes.values() for candidate in each.candidates.values()}
        placements = {
            key: each for key, each in placements.items() if key in seen.placements or each.version_id in led_to
        }
    alive = {each.instance_id for one in placements.values() for each in one.instances}
    health = {key: each for key, each in newest(known.health, seen.health, {}).items() if key in alive}
    return Known(routes=routes, placements=placements, health=health)


def in_time(before: Route | None, after: Route, placed: Set[VersionId]) -> Route:
    """A label does not move from a version that is placed to one that is not yet."""
    if before is None:
        return after
    for label, version in after.labels.items():
        is_moved = version is not None and version != before.labels.get(label)
        if is_moved and version not in placed and before.labels.get(label) in placed:
            return replace(after, labels=before.labels, candidates=before.candidates, revision=before.revision)
    return after


def newest(known: Mapping[str, R], seen: Mapping[str, R], removed: Mapping[str, Removed]) -> dict[str, R]:
    both = dict(known)
    both.update({key: each for key, each in seen.items() if key not in known or known[key].revision <= each.revision})
    return {key: each for key, each in both.items() if key not in removed or removed[key].revision < each.revision}


@given(st.lists(SEEN, max_size=6))
def test_what_is_known_does_not_depend_on_what_need_not_be_looked_at_again(steps: list[Seen]) -> None:
    known = plainly = Known()
    for seen in steps:
        known, plainly = absorb(known, seen), absorbed(plainly, seen)
        assert known == plainly


def running(version: int, *names: str) -> Placement:
    instances = (
        Instance(instance_id=InstanceId(name), phase=InstancePhase.RUNNING, addresses=(f"/s/{name}",), started_at=START)
        for name in names
    )
    return replace(placement(1, instances=tuple(instances)), version_id=version_id(version))


def test_what_did_not_change_is_the_same_object_and_nothing_is_to_be_told_of_it() -> None:
    one, two = version_id(1), version_id(2)
    known = Known(placements={f"local.{one}": running(1, "a"), f"local.{two}": running(2, "b")})
    last = Last()
    before = route_table(known, last)
    unready = Health(revision=1, instance_id=InstanceId("b"), version_id=two, is_ready=False, failures=0)
    after = route_table(replace(known, health={"b": unready}), last)
    assert after.backends[one] is before.backends[one]
    assert after.backends[two] != before.backends[two]
    told = within(after, before)
    assert told.backends[one] is before.backends[one]
    assert [each.server for each in changes(before, told)] == ["b.0"]  # type: ignore[union-attr]


def test_a_result_is_kept_for_the_same_arguments_only_and_forgotten_with_its_key() -> None:
    asked: list[tuple[str, int]] = []

    def note(name: str, number: int) -> str:
        asked.append((name, number))
        return f"{name}{number}"

    kept = Kept()
    assert [kept.of("k", note, "a", number) for number in (1, 1, 2, 1)] == ["a1", "a1", "a2", "a1"]
    assert asked == [("a", 1), ("a", 2), ("a", 1)]
    kept.of("other", note, "b", 1)
    kept.forget_except({"k"})
    assert (kept.of("other", note, "b", 1), asked.count(("b", 1))) == ("b1", 2)
