"""Effects follow from state alone: what is ordered, desired and routed."""

from __future__ import annotations

from services.core.commands import ArchiveModel, CancelBuild, CreateAccessToken, RecordStopped, StopVersion
from services.core.records import Build, BuildOrder, Desired, Removed, Route, Target
from services.core.subjects import Bucket
from services.core.wanted import Effect, changed, wanted
from tests.makers import ARTIFACT, MODEL_ID, History, built, publish, ready, version_id


def step(before: History | None, after: History) -> list[Effect]:
    was = wanted(before.state, deployer_id="local") if before else {}
    now = wanted(after.state, deployer_id="local")
    return list(changed(was, now, revision=after.state.revision))


def histories(*commands: object) -> tuple[History, History]:
    return History().do(*commands[:-1]), History().do(*commands)  # type: ignore[arg-type]


def test_a_new_model_is_routed_to_nothing() -> None:
    (effect,) = step(None, History())
    assert effect.key == MODEL_ID
    assert isinstance(effect.body, Route)
    assert effect.body.labels == {"latest": None}


def test_publishing_orders_one_build_and_says_that_it_is_wanted() -> None:
    order, build = step(*histories(publish(1)))
    assert isinstance(order.body, BuildOrder)
    assert order.key == f"command.build.{version_id(1)}"
    assert isinstance(build.body, Build)
    assert build.key == version_id(1)
    assert build.body.artifact is None


def test_a_built_version_is_desired_and_its_build_kept_and_its_order_is_not_taken_back() -> None:
    build, desired = step(*histories(publish(1), built(1)))
    assert isinstance(build.body, Build)
    assert build.body.artifact == ARTIFACT
    assert isinstance(desired.body, Desired)
    assert desired.body.target is Target.RUNNING


def test_a_cancelled_build_leaves_a_tombstone_for_builders_and_nothing_else() -> None:
    before, after = histories(publish(1), CancelBuild(version_id=version_id(1), by="ada"))
    (effect,) = step(before, after)
    assert effect == Effect(bucket=Bucket.BUILDS, key=version_id(1), body=Removed(revision=after.state.revision))


def test_a_stopped_version_keeps_its_build_to_be_started_again_even_when_its_model_is_archived() -> None:
    stop = (StopVersion(version_id=version_id(1)), RecordStopped(version_id=version_id(1), generation=1))
    stopped = History().do(publish(1), built(1), ready(1), *stop)
    key = f"{Bucket.BUILDS}/{version_id(1)}"
    assert key in wanted(stopped.state, deployer_id="local")
    assert key in wanted(stopped.do(ArchiveModel()).state, deployer_id="local")


def test_the_switch_publishes_the_route_before_it_stops_the_old_version() -> None:
    before, after = histories(publish(1), built(1), ready(1), publish(2), built(2), ready(2))
    route, stop = step(before, after)
    assert isinstance(route.body, Route)
    assert route.body.labels == {"latest": version_id(2)}
    assert isinstance(stop.body, Desired)
    assert stop.body.target is Target.STOPPED
    assert 0 < stop.body.routed_out_at <= route.body.revision


def test_a_stopped_version_is_removed_with_a_tombstone() -> None:
    stopped = RecordStopped(version_id=version_id(1), generation=1)
    before, after = histories(publish(1), built(1), ready(1), publish(2), built(2), ready(2), stopped)
    (effect,) = step(before, after)
    assert effect.body == Removed(revision=after.state.revision)
    assert effect.key == f"local.{version_id(1)}"


def test_a_token_changes_the_route_and_nothing_else() -> None:
    token = CreateAccessToken(token_id="t", name="app", token_hash="1" * 64)
    (effect,) = step(*histories(publish(1), built(1), ready(1), token))
    assert isinstance(effect.body, Route)
    assert effect.body.token_hashes == ("1" * 64,)


def test_an_archived_model_is_routed_no_more_and_its_versions_are_drained() -> None:
    before, after = histories(publish(1), built(1), ready(1), ArchiveModel())
    stop, gone = step(before, after)
    assert isinstance(stop.body, Desired)
    assert stop.body.target is Target.STOPPED
    assert gone.body == Removed(revision=after.state.revision)
    assert gone.key == MODEL_ID
