"""This file is the recorder: it turns facts and observations into events, through the same ledger as any command.

Facts arrive at least once, observations in any order; both become commands whose ids follow from what they say, and the
model's own `decide` drops what is old or known. Observations are joined with a copy of the models that move: it follows
our own changes at once, and every `SWEEP_S` the database, for what others changed. Reading it at each change instead
would cost all that moves for each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec
import structlog
from msgspec.structs import replace

from services.api.copied import Copied
from services.api.ledger import to_milliseconds
from services.api.observed import BusObserved
from services.api.ports import Ledger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL, State
from services.core.commands import ModelCommand, RecordBuild, RecordRollout
from services.core.errors import ModelwayError, TemporaryError
from services.core.events import Actor, ActorKind
from services.core.ids import CommandId
from services.core.model import Model
from services.core.observation import conclude
from services.core.records import BuildReport, Rollout
from services.core.subjects import Consumer
from services.kit.bus import Bus
from services.kit.consume import Attempt, consume
from services.kit.process import Stop
from services.kit.wake import Wake

log = structlog.get_logger()

SWEEP_S = 2.0
MAX_ATTEMPTS = 1_000  # with back-off: hours. A fact is worth waiting for the database.


def service_actor(service: str) -> Actor:
    return Actor(kind=ActorKind.SERVICE, id=service, name=service)


class Recorder:
    """Records what builders and routers report, and what deployers and the monitor show."""

    def __init__(self, ledger: Ledger, store: MongoStore, observed: BusObserved, wake: Wake) -> None:
        self._ledger = ledger
        self._observed = observed
        self._wake = wake
        self._moving = Copied(store.moving_models)
        self._sweep_at = 0.0

    def changed(self, state: State) -> None:
        """Hear of the state after a change that this process stored. Rings `wake`."""
        self._moving.changed(state)
        self._wake.ring()

    async def record_facts(self, bus: Bus, stop: Stop) -> None:
        """Consumes build reports until `stop`."""
        await consume(
            bus,
            Consumer.RECORDER,
            BuildReport,
            self._record_build,
            stop,
            max_attempts=MAX_ATTEMPTS,
            concurrency=4,
        )

    async def record_receipts(self, bus: Bus, stop: Stop) -> None:
        """Consumes what routers measured of rollouts until `stop`."""
        await consume(bus, Consumer.RECEIPTS, Rollout, self._record_rollout, stop, max_attempts=MAX_ATTEMPTS)

    async def _record_rollout(self, rollout: Rollout, attempt: Attempt) -> None:
        kept = replace(rollout, began_at=to_milliseconds(rollout.began_at))
        await self._ledger.execute(
            MODEL,
            rollout.model_id,
            RecordRollout(rollout=kept),
            actor=service_actor("router"),
            command_id=CommandId(f"rollout.{rollout.id}"),
        )

    async def _record_build(self, report: BuildReport, attempt: Attempt) -> None:
        command_id = CommandId(f"build.{report.version_id}.{report.phase}.{report.attempt}")
        await self._ledger.execute(
            MODEL,
            report.model_id,
            RecordBuild(report=report),
            actor=service_actor("builder"),
            command_id=command_id,
        )

    async def record_observations(self, stop: Stop) -> None:
        """Joins observed state with the models that move, on every change and every `SWEEP_S`, until `stop`."""
        is_away = False
        loop = asyncio.get_running_loop()
        while not stop.is_set:
            await self._wake.wait_or(stop, max(0.0, self._sweep_at - loop.time()))
            try:
                if loop.time() >= self._sweep_at:
                    await self._moving.sweep()
                    self._sweep_at = loop.time() + SWEEP_S
                await self._record_moving()
                is_away = False
            except TemporaryError as error:
                if not is_away:
                    log.warning("recorder_waits", reason=error.reason)
                is_away = True
                await stop.wait_for(error.retry_after_s)

    async def _record_moving(self) -> None:
        for model_id in list(self._moving.models):
            model = self._moving.models[model_id]  # recording takes its time, and goes on from the newest state
            await self._record(model, conclude(model, self._observed.placements(), self._observed.health()))

    async def _record(self, model: Model, commands: Iterable[ModelCommand]) -> None:
        for command in commands:
            try:
                await self._ledger.execute(
                    MODEL,
                    model.id,
                    command,
                    actor=service_actor("monitor"),
                    command_id=_command_id(command),
                )
            except TemporaryError:
                raise
            except ModelwayError as error:
                log.exception("observation_not_recorded", model=model.id, reason=error.reason)


def _command_id(command: ModelCommand) -> CommandId:
    """The same observation always has the same id."""
    named = msgspec.structs.asdict(command)
    return CommandId(f"{type(command).__name__}.{named['version_id']}.{named['generation']}")
