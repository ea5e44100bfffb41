"""Checkpoints are made of what changed, in one chain, also by two processes, and the bus hears of each."""

from __future__ import annotations

import asyncio

import pytest

from services.api.checkpointer import Checkpointer
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.api.verify import verify
from services.api.witness import BusWitness
from services.core.aggregates import MODEL
from services.core.checkpoint import Seal
from services.core.errors import Unavailable
from services.core.ids import AggregateId
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.process import Stop
from tests.makers import MODEL_ID, create, publish
from tests.makers import PERSON as ADA
from tests.parts import wait_until_async

OTHER = AggregateId("7" * 24)


class Told:
    def __init__(self) -> None:
        self.seals: list[Seal] = []
        self.is_away = False

    async def announce(self, seal: Seal) -> None:
        if self.is_away:
            raise Unavailable("the bus is away")
        self.seals.append(seal)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def checkpointer(store: MongoStore, told: Told) -> Checkpointer:
    return Checkpointer(store.checkpoints, told, clock=now, every_s=0.01)


async def heads(store: MongoStore) -> list[dict[str, int]]:
    """The revisions that each checkpoint has seen."""
    return [
        {aggregate_id: head.revision for aggregate_id, head in (each.heads or {}).items()}
        async for each in store.evidence.checkpoints()
    ]


async def test_only_what_changed_is_in_a_checkpoint_and_when_nothing_did_there_is_none(
    store: MongoStore, ledger: MongoLedger, checkpointer: Checkpointer, told: Told
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    await ledger.execute(MODEL, OTHER, create(name="other"), actor=ADA)
    await checkpointer.make()
    await checkpointer.make()
    changed = await ledger.execute(MODEL, MODEL_ID, publish(1), actor=ADA)
    await checkpointer.make()
    assert await heads(store) == [{MODEL_ID: 1, OTHER: 1}, {MODEL_ID: changed.revision}]
    assert [seal.number for seal in told.seals] == [1, 2]


async def test_many_changes_take_several_checkpoints(
    store: MongoStore, ledger: MongoLedger, checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.checkpointer.HEADS", 1)
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    await ledger.execute(MODEL, OTHER, create(name="other"), actor=ADA)
    stop = Stop()
    running = asyncio.create_task(checkpointer.run(stop))
    await wait_until_async(lambda: _has(store, 2))
    stop.set()
    await running
    assert sorted(map(str, await heads(store))) == sorted(map(str, [{MODEL_ID: 1}, {OTHER: 1}]))


async def _has(store: MongoStore, number: int) -> bool:
    newest = await store.checkpoints.newest()
    return newest is not None and newest.number >= number


async def test_two_processes_make_one_chain_and_miss_nothing(store: MongoStore, ledger: MongoLedger) -> None:
    both = [Checkpointer(store.checkpoints, Told(), clock=now, every_s=0.001) for _ in range(2)]
    stop = Stop()
    running = [asyncio.create_task(each.run(stop)) for each in both]
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    for number in range(1, 21):
        await ledger.execute(MODEL, MODEL_ID, publish(number), actor=ADA)
    await wait_until_async(lambda: _is_all_seen(store))
    stop.set()
    await asyncio.gather(*running)
    result = await verify(store.evidence)
    assert (result.findings, result.ahead) == ([], 0)
    assert result.checkpoints > 1


async def _is_all_seen(store: MongoStore) -> bool:
    return not await store.checkpoints.unchecked(limit=1)


async def test_a_bus_that_was_away_hears_of_the_newest_later(
    ledger: MongoLedger, checkpointer: Checkpointer, told: Told
) -> None:
    told.is_away = True
    await ledger.execute(MODEL, MODEL_ID, create(), actor=ADA)
    with pytest.raises(Unavailable):
        await checkpointer.make()
    told.is_away = False
    await checkpointer.make()
    assert [seal.number for seal in told.seals] == [1]


@pytest.fixture
def witness(bus: Bus) -> BusWitness:
    return BusWitness(bus)


async def test_the_bus_keeps_every_seal_and_lets_none_be_deleted(witness: BusWitness, bus: Bus) -> None:
    seals = [Seal(number=number, at=now(), hash=f"{number:064x}") for number in range(1, 1201)]
    for seal in seals:
        await witness.announce(seal)
    await witness.announce(Seal(number=7, at=now(), hash="f" * 64))
    known = await witness.seals()
    assert len(known) == 1200
    assert known[7] == {f"{7:064x}", "f" * 64}
    async with bus.deadline("purge") as jetstream:
        with pytest.raises(Exception, match="purge not permitted"):
            await jetstream.purge_stream("CHECKPOINTS")
