"""State-machine properties: people and observations in any order, late and doubled, end where they should."""

from __future__ import annotations

from itertools import permutations
from typing import get_args

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from services.core.aggregates import AGGREGATES, MODEL, fold
from services.core.audit import GENESIS, chained, first_broken
from services.core.commands import (
    ArchiveModel,
    CancelBuild,
    ChangeSettings,
    Command,
    CompleteCanary,
    DemoteVersion,
    PromoteVersion,
    RecordFailed,
    RecordReady,
    RecordStalled,
    RecordStopped,
    RestartVersion,
    RestoreModel,
    RollBack,
    SetCanary,
    StartVersion,
    StopVersion,
    WithdrawCanary,
)
from services.core.errors import Invalid, Refused
from services.core.events import AnyEvent, Entry, Event, LabelMoved
from services.core.ids import VersionId
from services.core.model import PROD, evolve
from services.core.records import Build, BuildPhase, Desired, Route, Target
from services.core.settings import Defaults, RoutingMode
from services.core.wanted import changed, wanted
from tests.makers import History, built, publish, version_id

VERSIONS = st.integers(1, 4)
GENERATIONS = st.integers(1, 3)
SELDOM = st.sampled_from([False] * 9 + [True])
LABELS = st.sampled_from(["latest", "prod"])
ABOUT_ONE_VERSION = (StartVersion, StopVersion, RestartVersion, PromoteVersion, DemoteVersion)


class ModelLife(RuleBasedStateMachine):
    """Commands and observations at random; the invariants are what callers rely on."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.published = 0

    def attempt(self, command: Command) -> None:
        try:
            self.history.do(command)
        except (Refused, Invalid):
            return

    def known(self, number: int) -> int:
        return min(number, self.published)

    @rule(should_deploy=st.booleans())
    def someone_publishes(self, should_deploy: bool) -> None:
        if not self.history.state.is_archived:
            self.published += 1
            self.attempt(publish(self.published, should_deploy=should_deploy))

    @rule(number=VERSIONS)
    def a_version_comes_up(self, number: int) -> None:
        """What happens on a good day; at random it would hardly ever happen whole."""
        if self.published:
            key = version_id(self.known(number))
            self.attempt(built(self.known(number)))
            self.attempt(RecordReady(version_id=key, generation=self.history.state.version(key).generation))

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

    @rule(number=VERSIONS, kind=st.sampled_from(ABOUT_ONE_VERSION))
    def someone_orders_a_version(self, number: int, kind: type[StartVersion]) -> None:
        if self.published:
            self.attempt(kind(version_id=version_id(self.known(number))))

    @rule(label=st.sampled_from([None, "latest", "prod"]))
    def someone_rolls_back(self, label: str | None) -> None:
        self.attempt(RollBack(label=label))

    @rule(label=LABELS, number=VERSIONS, share=st.sampled_from([0.0, 10.0, 100.0]))
    def someone_tries_a_canary(self, label: str, number: int, share: float) -> None:
        if self.published:
            self.attempt(SetCanary(label=label, version_id=version_id(self.known(number)), share=share))

    @rule(label=LABELS, kind=st.sampled_from([CompleteCanary, WithdrawCanary]))
    def someone_ends_a_canary(self, label: str, kind: type[CompleteCanary]) -> None:
        self.attempt(kind(label=label))

    @rule(
        mode=st.sampled_from([RoutingMode.BASIC] + [RoutingMode.ADVANCED] * 3),
        workers=st.integers(1, 2),
        platform_workers=st.integers(1, 2),
    )
    def someone_changes_settings(self, mode: RoutingMode, workers: int, platform_workers: int) -> None:
        settings = replace(self.history.state.settings, routing_mode=mode, workers=workers)
        self.attempt(ChangeSettings(settings=settings, defaults=Defaults(workers=platform_workers)))

    @rule(number=VERSIONS, confirm=SELDOM)
    def someone_cancels_a_build(self, number: int, confirm: bool) -> None:
        if self.published and confirm:
            key = version_id(self.known(number))
            self.attempt(CancelBuild(version_id=key, by="ada"))
            before = self.history.state
            if not before.version(key).is_built:
                for phase in (BuildPhase.BUILDING, BuildPhase.COMPLETE, BuildPhase.FAILED):
                    self.attempt(built(self.known(number), phase))
                assert self.history.state is before, "a report that comes after its build was cancelled changes nothing"

    @rule(confirm=SELDOM)
    def someone_archives(self, confirm: bool) -> None:
        if confirm:
            self.attempt(ArchiveModel())

    @rule()
    def someone_restores(self) -> None:
        self.attempt(RestoreModel())

    @invariant()
    def labels_that_callers_may_name_point_to_versions_that_were_wholly_ready_and_are_wanted(self) -> None:
        state = self.history.state
        assert state.labels.keys() <= set(state.known_labels)
        for labelled in state.labels.values():
            version = state.version(labelled)
            assert version.is_built
            assert version.is_serving

    @invariant()
    def a_label_only_moves_to_a_version_that_is_ready(self) -> None:
        state = None
        for entry in self.history.entries:
            if isinstance(entry.event, LabelMoved) and entry.event.version_id is not None:
                assert state is not None
                assert state.version(entry.event.version_id).is_serving
            state = evolve(state, entry)

    @invariant()
    def what_is_tried_on_a_label_runs_beside_another_version_that_answers_it(self) -> None:
        state = self.history.state
        for label, canary in state.canaries.items():
            assert state.version(canary.version_id).is_wanted
            assert state.labels[label] != canary.version_id

    @invariant()
    def production_is_promised_to_one_version_at_most(self) -> None:
        state = self.history.state
        assert sum(PROD in version.promised for version in state.versions) <= 1
        assert all(version.is_wanted for version in state.versions if version.promised)

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
                case Route(labels=labels, candidates=candidates):
                    state = self.history.state
                    assert labels == {label: state.labels.get(label) for label in state.known_labels}
                    assert all(state.version(each.version_id).is_serving for each in candidates.values())

    @invariant()
    def builders_keep_what_runs_or_may_be_started_and_what_is_being_built(self) -> None:
        state = self.history.state
        kept = {
            effect.body.version_id
            for effect in wanted(state, deployer_id="x").values()
            if isinstance(effect.body, Build)
        }
        for version in state.versions:
            if version.is_unbuilt or version.is_built:
                assert version.id in kept
            else:
                assert version.id not in kept

    @invariant()
    def nothing_older_than_what_latest_leads_to_runs_unless_it_is_needed(self) -> None:
        state = self.history.state
        serving = state.labels.get("latest")
        if serving is None:
            return
        newest = state.version(serving).ordered_at
        tried = {canary.version_id for canary in state.canaries.values()}
        for version in state.versions:
            is_needed = version.id in {*state.labels.values(), *tried} or PROD in version.promised
            assert not version.is_wanted or version.ordered_at >= newest or is_needed


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


ModelLife.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
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
    assert set(AGGREGATES) == {
        "model",
        "project",
        "environment",
        "person",
        "organisation",
        "configuration",
        "quotas",
    }
