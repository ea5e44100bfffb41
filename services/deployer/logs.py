"""This file carries logs to the bus: what instances write, and what the deployer has to say about a deployment.

Nothing is lost while the bus is away, within bounds: what an instance wrote stays in its files until a stream has it,
and the deployer's own words wait in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import structlog

from services.core.errors import PermanentError, Unavailable
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.ports import InstanceOutput, Observed
from services.core.records import LogLine
from services.core.subjects import LogKind
from services.core.subjects import log as log_subject
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.ids import new_object_id
from services.kit.process import Stop
from services.kit.wake import Wake

log = structlog.get_logger()

BUSY_S = 0.05  # between two rounds while something is written
IDLE_S = 0.2
RETRY_S = 1.0
MAX_WAITING = 10_000  # of the deployer's own lines; beyond that the oldest go


class InstanceLogs:
    """Passes on what instances write, a piece of each in turn, so that none keeps the others waiting."""

    def __init__(self, bus: Bus, output: InstanceOutput) -> None:
        self._bus = bus
        self._output = output
        self._followed: dict[InstanceId, Observed] = {}
        self._drained: set[InstanceId] = set()

    def follow(self, observed: Sequence[Observed]) -> None:
        """From now on read these, and no others."""
        gone = self._followed.keys() - {each.instance_id for each in observed}
        for instance_id in gone:
            self._output.forget(instance_id)
        self._followed = {each.instance_id: each for each in observed}
        self._drained &= self._followed.keys()

    def is_drained(self, instance_id: InstanceId) -> bool:
        """True once an ended instance has been read to its end and a stream has it all."""
        return instance_id in self._drained

    async def run(self, stop: Stop) -> None:
        while not stop.is_set:
            is_reached, has_moved = True, False
            for observed in list(self._followed.values()):
                if observed.instance_id not in self._drained:
                    moved = await self._pass_on(observed, is_reached=is_reached)
                    is_reached = moved is not None
                    has_moved = has_moved or bool(moved)
            await stop.wait_for(RETRY_S if not is_reached else BUSY_S if has_moved else IDLE_S)

    async def _pass_on(self, observed: Observed, *, is_reached: bool) -> bool | None:
        """Whether there was anything; None while the bus is away: then it is read all the same, to keep its bound."""
        output = await self._output.read(observed.instance_id, is_final=not observed.is_alive)
        if not is_reached:
            return None
        if output.lines:
            subject = log_subject(LogKind.INSTANCE, observed.model_id, observed.version_id, observed.instance_id)
            try:
                await self._bus.publish(subject, output.lines, message_id=f"{observed.instance_id}/{output.cursor}")
            except Unavailable:
                return None
            except PermanentError as error:  # it never will be taken: go on behind it
                log.warning("instance_output_refused", instance=observed.instance_id, reason=error.reason)
            await self._output.accept(observed.instance_id, output.cursor)
        elif not observed.is_alive:
            self._drained.add(observed.instance_id)
        return bool(output.lines)


class DeploymentLog:
    """The deployer's words about a version, in order, under `log.deployment.<model>.<version>`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[tuple[str, str, LogLine]] = deque(maxlen=MAX_WAITING)
        self._wake = Wake()

    def say(self, model_id: AggregateId, version_id: VersionId, text: str) -> None:
        """Never waits and never fails."""
        subject = log_subject(LogKind.DEPLOYMENT, model_id, version_id)
        self._waiting.append((new_object_id(), subject, LogLine(at=now(), text=text, stream="modelway")))
        self._wake.ring()

    async def run(self, stop: Stop) -> None:
        while not stop.is_set:
            await self._wake.wait_or(stop, RETRY_S)
            while self._waiting and await self._send(*self._waiting[0]):
                self._waiting.popleft()

    async def _send(self, message_id: str, subject: str, line: LogLine) -> bool:
        try:
            await self._bus.publish(subject, [line], message_id=message_id)
        except Unavailable:
            return False
        return True
