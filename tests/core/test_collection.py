"""What may be taken away: never what is needed, never what was used lately, whatever the rest of the world is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.core.collection import Held, collectable, needed_artifacts, unfinished_builds, unused_since
from services.core.commands import ArchiveModel, CancelBuild, RecordStopped, StopVersion
from tests.makers import ARTIFACT, START, History, built, publish, ready, version_id

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GRACE_S = 3600.0

NAMES = st.sampled_from([f"{number:02}" for number in range(20)])
AGES_S = st.floats(0, 10 * GRACE_S)
HELD = st.dictionaries(NAMES, AGES_S).map(
    lambda ages: [Held(name=name, used_at=NOW - timedelta(seconds=age)) for name, age in ages.items()]
)


@given(HELD, st.sets(NAMES), st.lists(AGES_S, max_size=3))
def test_nothing_needed_or_used_within_the_grace_or_since_an_unfinished_build_began_is_ever_taken(
    held: list[Held], needed: set[str], builds: list[float]
) -> None:
    began = [NOW - timedelta(seconds=age) for age in builds]
    since = unused_since(NOW, grace_s=GRACE_S, unfinished=began)
    taken = list(collectable(held, needed, unused_since=since))
    for each in taken:
        assert each.name not in needed
        assert NOW - each.used_at > timedelta(seconds=GRACE_S)
        assert all(each.used_at < at for at in began)
    for each in held:
        is_old = NOW - each.used_at > timedelta(seconds=GRACE_S) and all(each.used_at < at for at in began)
        assert each in taken or each.name in needed or not is_old


def test_the_artifact_of_a_version_is_needed_as_long_as_it_may_be_started_also_of_a_model_that_may_be_restored() -> (
    None
):
    history = History().do(publish(1), built(1), ready(1))
    assert needed_artifacts(history.state) == {ARTIFACT}
    history.do(StopVersion(version_id=version_id(1)), RecordStopped(version_id=version_id(1), generation=1))
    assert needed_artifacts(history.state) == {ARTIFACT}
    assert needed_artifacts(history.do(ArchiveModel()).state) == {ARTIFACT}


def test_a_build_is_unfinished_until_it_is_recorded_or_cancelled() -> None:
    history = History().do(publish(1), publish(2))
    first, second = (version.created_at for version in history.state.versions)
    assert START < first < second
    assert unfinished_builds(history.state) == (first, second)
    history.do(built(1), CancelBuild(version_id=version_id(2), by="ada"))
    assert unfinished_builds(history.state) == ()
