"""The life of a version: every state and event there is, and the status that people are shown."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from services.core import events
from services.core.lifecycle import DeploymentPhase, Seen, Version, evolve_version, shown
from services.core.records import BuildPhase
from tests.makers import ARTIFACT, START, source, version_id

VERSION = Version(
    id=version_id(1),
    number=1,
    source=source(),
    description="",
    logs_requests=False,
    monitoring_enabled=False,
    records_invocations=False,
    created_at=START,
    created_by="ada",
    build=BuildPhase.COMPLETE,
    artifact=ARTIFACT,
    generation=1,
)
ID = version_id(1)
ONE_OF_EACH: list[events.Event] = [
    events.BuildStarted(version_id=ID, attempt=1),
    events.BuildCompleted(version_id=ID, artifact=ARTIFACT, build_s=1.0),
    events.BuildFailed(version_id=ID, reason="no"),
    events.BuildCancelled(version_id=ID, reason="the build was cancelled by ada"),
    events.DeploymentOrdered(version_id=ID, generation=2),
    events.VersionBecameReady(version_id=ID, generation=1),
    events.VersionStalled(version_id=ID, generation=1, reason="slow"),
    events.VersionFailed(version_id=ID, generation=1, reason="broken"),
    events.StopOrdered(version_id=ID, reason="asked for"),
    events.VersionStopped(version_id=ID, generation=1),
]
STATES = [
    replace(VERSION, build=build, deployment=deployment) for build, deployment in product(BuildPhase, DeploymentPhase)
]


def name(value: object) -> str:
    return f"{value.build}-{value.deployment}" if isinstance(value, Version) else type(value).__name__


@pytest.mark.parametrize("version", STATES, ids=name)
@pytest.mark.parametrize("event", ONE_OF_EACH, ids=name)
def test_folding_an_event_twice_is_folding_it_once(version: Version, event: events.Event) -> None:
    once = evolve_version(version, event, 7)
    assert evolve_version(once, event, 7) is once or isinstance(event, events.BuildFailed)


@pytest.mark.parametrize("version", STATES, ids=name)
@pytest.mark.parametrize("event", ONE_OF_EACH, ids=name)
def test_every_state_has_a_status_after_every_event(version: Version, event: events.Event) -> None:
    moved = evolve_version(version, event, 7)
    assert shown(moved, Seen(), wanted_instances=2).status


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=name)
def test_a_build_that_ended_never_changes_again(event: events.Event) -> None:
    for build in (BuildPhase.COMPLETE, BuildPhase.FAILED):
        version = replace(VERSION, build=build)
        assert evolve_version(version, event, 7).build is build


@pytest.mark.parametrize(
    ("build", "deployment", "ready", "expected"),
    [
        (BuildPhase.PENDING, DeploymentPhase.STARTING, 0, ("Preparing to build", True)),
        (BuildPhase.BUILDING, DeploymentPhase.STARTING, 0, ("Building", True)),
        (BuildPhase.FAILED, DeploymentPhase.NONE, 0, ("Failed", False)),
        (BuildPhase.COMPLETE, DeploymentPhase.NONE, 0, ("Ready to run", False)),
        (BuildPhase.COMPLETE, DeploymentPhase.STARTING, 1, ("Starting", True)),
        (BuildPhase.COMPLETE, DeploymentPhase.STALLED, 0, ("Stalled", True)),
        (BuildPhase.COMPLETE, DeploymentPhase.READY, 2, ("Running", False)),
        (BuildPhase.COMPLETE, DeploymentPhase.READY, 1, ("Running", True)),
        (BuildPhase.COMPLETE, DeploymentPhase.READY, 0, ("Unreachable", True)),
        (BuildPhase.COMPLETE, DeploymentPhase.STOPPING, 2, ("Stopped", True)),
        (BuildPhase.COMPLETE, DeploymentPhase.STOPPED, 0, ("Stopped", False)),
        (BuildPhase.COMPLETE, DeploymentPhase.FAILED, 0, ("Failed", False)),
    ],
)
def test_the_status_follows_from_what_is_decided_and_what_is_seen(
    build: BuildPhase, deployment: DeploymentPhase, ready: int, expected: tuple[str, bool]
) -> None:
    version = replace(VERSION, build=build, deployment=deployment)
    status = shown(version, Seen(ready=ready), wanted_instances=2)
    assert (status.status, status.is_pending) == expected


def test_a_version_is_pending_until_every_live_router_sends_calls_to_it() -> None:
    version = replace(VERSION, deployment=DeploymentPhase.READY, routed_at=7)
    pending = [shown(version, Seen(ready=2, route_in_effect=at), wanted_instances=2).is_pending for at in (6, 7, None)]
    assert pending == [True, False, False]


def test_a_running_version_whose_deployer_is_silent_is_unreachable() -> None:
    version = replace(VERSION, deployment=DeploymentPhase.READY)
    assert shown(version, Seen(ready=2, is_reported=False), wanted_instances=2).status == "Unreachable"
