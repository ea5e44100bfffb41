"""This file brings receipts of rollouts to the bus, also when it is away for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

import msgspec
import structlog

from services.core.delivery import backoff_s
from services.core.errors import PermanentError, Unavailable
from services.core.records import Rollout
from services.core.subjects import rollout_fact
from services.kit.process import Stop
from services.kit.wake import Wake

log = structlog.get_logger()

MAX_WAITING = 256  # for the bus; the oldest go first
_BASE_S, _CAP_S = 0.5, 30.0
_IDLE_S = 60.0


class Publisher(Protocol):
    async def publish(self, subject: str, body: msgspec.Struct, *, message_id: str | None = None) -> None:
        """As `kit.bus.Bus` does it. Raises `Unavailable`."""


class Rollouts:
    """Receipts that wait to be published, in order. They do not outlast the process."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: deque[Rollout] = deque()
        self._news = Wake()

    def add(self, rollouts: Iterable[Rollout]) -> None:
        for each in rollouts:
            log.info("rollout_measured", rollout=each.id, requests=each.requests, failures=each.failures)
            self._waiting.append(each)
            self._news.ring()
        while len(self._waiting) > MAX_WAITING:
            log.warning("rollout_dropped", rollout=self._waiting.popleft().id, reason="too many wait for the bus")

    async def run(self, stop: Stop) -> None:
        """Publish what is added until `stop`; what fails is tried again, ever more rarely."""
        attempt = 0
        while not stop.is_set:
            attempt = await self._publish_all(attempt)
            await self._news.wait_or(stop, backoff_s(attempt, base_s=_BASE_S, cap_s=_CAP_S) if attempt else _IDLE_S)
        await self._publish_all(attempt)

    async def _publish_all(self, attempt: int) -> int:
        """The number of failures in a row, `attempt` of them before."""
        while self._waiting:
            rollout = self._waiting[0]
            try:
                await self._publisher.publish(rollout_fact(rollout.id), rollout, message_id=rollout.id)
            except Unavailable as error:
                log.warning("rollout_delayed", rollout=rollout.id, reason=error.reason)
                return attempt + 1
            except PermanentError as error:
                log.warning("rollout_dropped", rollout=rollout.id, reason=error.reason)
            attempt = 0
            if self._waiting and self._waiting[0] is rollout:
                self._waiting.popleft()
        return attempt
