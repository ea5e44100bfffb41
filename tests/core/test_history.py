"""State-machine properties: people and observations in any order, late and doubled, end where they should."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.core.aggregates import AGGREGATES, MODEL, fold
from services.core.audit import GENESIS, chained, first_broken
from services.core.commands import (
    ArchiveModel,
    CancelBuild,
    Command,
    RecordFailed,
    RecordReady,
    RecordStalled,
    RecordStopped,
    StartVersion,
    StopVersion,
)
from services.core.errors import Refused
from services.core.events import AnyEvent, Entry, Event, LabelMoved, VersionBecameReady
from services.core.ids import VersionId
from services.core.lifecycle import DeploymentPhase
from services.core.records import Build, BuildPhase, Desired, Route, Target
from services.core.wanted import changed, wanted
from tests.makers import History, built, publish, version_id

VERSIONS = st.integers(1, 4)
GENERATIONS = st.integers(1, 3)


class ModelLife(RuleBasedStateMachine):
    """Commands and observations at random; the invariants are what callers rely on."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.published = 0

    def attempt(self, command: Command) -> None:
        try:
            self.history.do(command)
        except Refused:
            return

    def known(self, number: int) -> int:
        return min(number, self.published)

    @rule(should_deploy=st.booleans())
    def someone_publishes(self, should_deploy: bool) -> None:
        if not self.history.state.is_archived:
            self.published += 1
            self.attempt(publish(self.published, should_deploy=should_deploy))

    @rule(number=VERSIONS, phase=st.sampled_from([BuildPhase.BUILDING, BuildPhase.COMPLETE, BuildPhase.FAILED]))
    def a_builder_reports(self, number: int, phase: BuildPhase) -> None:
        if self.published:
            self.attempt(built(self.known(number), phase))

    @rule(
        number=VERSIONS,
        generation=GENERATIONS,
        kind=st.sampled_from(["ready", "stalled", "failed", "stopped"]),
    )
    def an_observation_arrives(self, number: int, generation: int, kind: str) -> None:
        if not self.published:
            return
        version = self.history.state.version(version_id(self.known(number)))
        if not version.is_built:
            return  # nothing runs that was not built, so nothing is observed of it
        command = _observation(kind, version.id, generation)
        self.attempt(command)
        before = self.history.state
        self.attempt(command)
        assert self.history.state is before, "the same observation a second time changes nothing"

    @rule(number=VERSIONS, start=st.booleans())
    def someone_starts_or_stops(self, number: int, start: bool) -> None:
        if self.published:
            kind = StartVersion if start else StopVersion
            self.attempt(kind(version_id=version_id(self.known(number))))

    @rule(number=VERSIONS)
    def someone_cancels_a_build(self, number: int) -> None:
        if self.published:
            key = version_id(self.known(number))
            self.attempt(CancelBuild(version_id=key, by="ada"))
            before = self.history.state
            if not before.version(key).is_built:
                for phase in (BuildPhase.BUILDING, BuildPhase.COMPLETE, BuildPhase.FAILED):
                    self.attempt(built(self.known(number), phase))
                assert self.history.state is before, "a report that comes after its build was cancelled changes nothing"

    @rule(confirm=st.sampled_from([True, *[False] * 19]))
    def someone_archives(self, confirm: bool) -> None:
        if confirm:
            self.attempt(ArchiveModel())

    @invariant()
    def latest_points_to_a_version_that_was_wholly_ready_and_is_wanted(self) -> None:
        for labelled in self.history.state.labels.values():
            version = self.history.state.version(labelled)
            assert version.is_built
            assert version.deployment is DeploymentPhase.READY

    @invariant()
    def a_label_only_moves_to_a_version_that_became_ready_just_before(self) -> None:
        for before, entry in zip(self.history.entries, self.history.entries[1:], strict=False):
            if isinstance(entry.event, LabelMoved) and entry.event.version_id is not None:
                assert isinstance(before.event, VersionBecameReady)
                assert before.event.version_id == entry.event.version_id

    @invariant()
    def the_state_is_the_fold_of_the_history_also_through_json(self) -> None:
        encoded = [msgspec.json.encode(entry) for entry in self.history.entries]
        decoded = [msgspec.json.decode(entry, type=Entry) for entry in encoded]
        assert fold(MODEL, decoded) == self.history.state

    @invariant()
    def the_history_has_no_gaps_and_its_chain_holds(self) -> None:
        assert first_broken(chained(self.history.entries, head=GENESIS)) is None

    @invariant()
    def effects_of_every_step_add_up_to_what_is_wanted_now(self) -> None:
        whole = wanted(self.history.state, deployer_id="local")
        assert changed(whole, whole, revision=self.history.state.revision) == ()
        for effect in whole.values():
            match effect.body:
                case Desired(target=Target.STOPPED, routed_out_at=mark):
                    assert mark <= self.history.state.revision
                case Route(labels=labels):
                    assert labels == self.history.state.labels

    @invariant()
    def builders_keep_what_runs_or_may_be_started_and_what_is_being_built(self) -> None:
        state = self.history.state
        kept = {
            effect.body.version_id
            for effect in wanted(state, deployer_id="x").values()
            if isinstance(effect.body, Build)
        }
        for version in state.versions:
            if version.is_deployed or version.is_unbuilt or (version.is_built and not state.is_archived):
                assert version.id in kept
            else:
                assert version.id not in kept

    @invariant()
    def no_more_than_one_version_serves_and_nothing_older_runs_beside_it(self) -> None:
        state = self.history.state
        serving = state.labels.get("latest")
        if serving is not None:
            newest = state.version(serving).ordered_at
            assert all(version.ordered_at >= newest for version in state.versions if version.is_wanted)


def _observation(kind: str, key: VersionId, generation: int) -> Command:
    match kind:
        case "ready":
            return RecordReady(version_id=key, generation=generation)
        case "stalled":
            return RecordStalled(version_id=key, generation=generation, reason="slow")
        case "failed":
            return RecordFailed(version_id=key, generation=generation, reason="broken")
        case _:
            return RecordStopped(version_id=key, generation=generation)


ModelLife.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_a_model_keeps_its_promises_whatever_happens = ModelLife.TestCase


def test_whatever_the_order_of_reports_once_all_arrived_the_newest_version_serves() -> None:
    reports = [built(1, BuildPhase.BUILDING), built(1), built(2, BuildPhase.BUILDING), built(2)]
    for order in permutations(reports):
        history = History().do(publish(1), publish(2), *order, *order)
        for number in (1, 2, 1, 2):
            history.do(RecordReady(version_id=version_id(number), generation=1))
        assert history.state.labels == {"latest": version_id(2)}


def test_every_event_can_be_stored_and_belongs_to_an_aggregate() -> None:
    assert set(get_args(AnyEvent)) == set(Event.__subclasses__())
    assert set(AGGREGATES) == {"model", "project", "environment", "person"}
