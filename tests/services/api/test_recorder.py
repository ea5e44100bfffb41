"""The recorder joins what is observed with the models that move, without reading all of them at every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.api import recorder
from services.api.ledger import MongoLedger
from services.api.recorder import Recorder
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL, State
from services.core.ids import InstanceId, VersionId
from services.core.lifecycle import DeploymentPhase
from services.core.model import Model
from services.core.records import Health, Placement
from services.kit.clock import now
from services.kit.process import Stop
from services.kit.wake import Wake
from tests.makers import MODEL_ID, PERSON, built, create, health, instance, placement, publish, version_id
from tests.parts import wait_until, wait_until_async


class Shown:
    """What is observed, put by the test."""

    def __init__(self) -> None:
        self.placed: dict[VersionId, Placement] = {}
        self.verdicts: dict[InstanceId, Health] = {}

    def placements(self) -> dict[VersionId, Placement]:
        return self.placed

    def health(self) -> dict[InstanceId, Health]:
        return self.verdicts


class Recording:
    """A recorder on a real store, which counts how often it reads all that moves."""

    def __init__(self, store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.observed, self.wake, self.reads = store, Shown(), Wake(), 0
        read = store.moving_models

        async def counted() -> list[Model]:
            self.reads += 1
            return await read()

        monkeypatch.setattr(store, "moving_models", counted)
        self.ledger = MongoLedger(store, deployer_id="local", clock=now, on_change=self._on_change)
        self.recorder = Recorder(self.ledger, store, self.observed, self.wake)  # type: ignore[arg-type]

    def _on_change(self, state: State) -> None:
        self.recorder.changed(state)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        stop = Stop()
        task = asyncio.create_task(self.recorder.record_observations(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 15)

    def show_ready(self) -> None:
        self.observed.placed[version_id(1)] = placement(instances=[instance(1)])
        self.observed.verdicts.update(health(1))
        self.wake.ring()

    async def wait_for(self, phase: DeploymentPhase) -> None:
        async def reached() -> bool:
            return (await self.store.load(MODEL, MODEL_ID)).version(version_id(1)).deployment is phase

        await wait_until_async(reached, what=f"the version is {phase}")


@pytest.fixture
def recording(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> Recording:
    return Recording(store, monkeypatch)


async def started(ledger: MongoLedger) -> None:
    for command in (create(), publish(1), built(1)):
        await ledger.execute(MODEL, MODEL_ID, command, actor=PERSON)


async def test_a_change_of_our_own_is_joined_at_once_without_reading_what_moves(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SWEEP_S", 3600.0)
    recording.show_ready()
    async with recording.at_work():
        await wait_until(lambda: recording.reads == 1)
        await started(recording.ledger)
        await recording.wait_for(DeploymentPhase.READY)
    assert recording.reads == 1


async def test_a_change_that_another_api_stored_is_found_by_the_next_sweep(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SWEEP_S", 0.1)
    recording.show_ready()
    async with recording.at_work():
        await started(MongoLedger(recording.store, deployer_id="local", clock=now))
        await recording.wait_for(DeploymentPhase.READY)


async def test_a_late_word_about_an_older_state_changes_nothing(recording: Recording) -> None:
    heard: list[State] = []
    ledger = MongoLedger(recording.store, deployer_id="local", clock=now, on_change=heard.append)
    await started(ledger)
    for state in reversed(heard):
        recording.recorder.changed(state)
    recording.show_ready()
    async with recording.at_work():
        await recording.wait_for(DeploymentPhase.READY)
