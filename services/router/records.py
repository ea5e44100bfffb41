"""This file publishes what `access` takes in: lines of a few seconds at once, those of one model together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

import msgspec
import structlog

from services.core.errors import NotFound, PermanentError, Unavailable
from services.core.ids import AggregateId
from services.core.subjects import access
from services.kit.packed import pack
from services.kit.process import Stop
from services.router.access import Intake
from services.router.haproxy import words
from services.router.haproxy.master import Master

log = structlog.get_logger()

FLUSH_S = 1.0
HELD_S = 60.0  # for a bus that is away; whoever looks for a record does not look much further
HELD_BYTES = 16 << 20
MODELS_A_SECOND = 100  # each is a message: with more models there is one in a longer time
_LONGEST_FLUSH_S = 20.0
_LINES_A_MESSAGE = 5000
_AT_ONCE = 8
_ASK_EVERY_S = 10.0

# Where the model stands in a line, behind the sixteen characters of the request's id.
_MODEL = slice(17, 41)
_BEHIND = slice(41, 42)


class Publisher(Protocol):
    async def publish(self, subject: str, body: msgspec.Raw, *, message_id: str | None = None) -> None:
        """As `kit.bus.Bus` does it. Raises `Unavailable`."""


class Batch(msgspec.Struct, frozen=True):
    model_id: AggregateId
    body: bytes
    lines: int
    since_s: float  # on the monotonic clock


class Records:
    """What waits to be published, in order. It does not outlast the process."""

    def __init__(self, intake: Intake, publisher: Publisher, master: Master) -> None:
        self._intake = intake
        self._publisher = publisher
        self._master = master
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._is_away = False
        self._lost: dict[int, int] = {}  # what a worker of HAProxy could not hand over, by its process
        self._asked_at_s = 0.0

    async def run(self, stop: Stop) -> None:
        """Until `stop`. Without a place to take lines in there are no records, and everything else goes on."""
        try:
            self._intake.open()
        except OSError as error:
            log.error("access_records_off", reason=error.strerror)  # noqa: TRY400
            await stop.wait()
            return
        wait_s = FLUSH_S
        try:
            while not await stop.wait_for(wait_s):
                wait_s = await self._flush()
        finally:
            await self._intake.close()
        await self._flush()

    async def _flush(self) -> float:
        """Seconds until the next time."""
        lines, dropped = self._intake.take()
        if dropped:
            log.warning("access_records_dropped", count=dropped, reason="they came faster than they were taken")
        models = await self._pack(lines) if lines else 0
        await self._publish()
        self._let_go()
        if time.monotonic() - self._asked_at_s > _ASK_EVERY_S:
            await self._ask_what_was_lost()
            self._asked_at_s = time.monotonic()
        return min(_LONGEST_FLUSH_S, max(FLUSH_S, models / MODELS_A_SECOND))

    async def _pack(self, lines: list[bytes]) -> int:
        """The number of models they are about."""
        batches = await asyncio.to_thread(_batches, lines, time.monotonic())
        self._waiting.extend(batches)
        self._waiting_bytes += sum(len(each.body) for each in batches)
        return len(batches)

    async def _publish(self) -> None:
        while self._waiting:
            some = [self._waiting[place] for place in range(min(_AT_ONCE, len(self._waiting)))]
            outcomes = await asyncio.gather(*map(self._publish_one, some))
            for each, is_done in zip(some, outcomes, strict=True):
                if is_done:
                    self._waiting.remove(each)
                    self._waiting_bytes -= len(each.body)
            if not all(outcomes):
                return

    async def _publish_one(self, batch: Batch) -> bool:
        """Whether it is over and done with."""
        try:
            await self._publisher.publish(access(batch.model_id), msgspec.Raw(batch.body))
        except Unavailable as error:
            if not self._is_away:
                log.warning("access_records_delayed", reason=error.reason)
            self._is_away = True
            return False
        except PermanentError as error:
            log.warning("access_records_dropped", count=batch.lines, reason=error.reason)
        self._is_away = False
        return True

    def _let_go(self) -> None:
        """The oldest, of what has waited for the bus for too long or is too much."""
        dropped = 0
        earliest_s = time.monotonic() - HELD_S
        while self._waiting and (self._waiting[0].since_s < earliest_s or self._waiting_bytes > HELD_BYTES):
            oldest = self._waiting.popleft()
            self._waiting_bytes -= len(oldest.body)
            dropped += oldest.lines
        if dropped:
            log.warning("access_records_dropped", count=dropped, reason="the bus is away for too long")

    async def _ask_what_was_lost(self) -> None:
        """HAProxy counts what it could not hand over: while the router was away, or too slow."""
        before, self._lost = self._lost, {}
        try:
            for worker in await self._master.workers():
                answer = await self._master.ask(worker.pid, words.SHOW_INFO)
                self._lost[worker.pid] = words.lost_lines(answer)
        except (Unavailable, NotFound):
            self._lost = {**before, **self._lost}
            return
        lost = sum(count - before.get(pid, 0) for pid, count in self._lost.items())
        if lost > 0:
            log.warning("access_records_dropped", count=lost, reason="HAProxy could not hand them over")


def _batches(lines: Iterable[bytes], since_s: float) -> list[Batch]:
    by_model: dict[bytes, list[bytes]] = {}
    for line in lines:
        if line[_BEHIND] == b" ":  # else it is no call: what HAProxy refuses before it reads a path has a line too
            by_model.setdefault(line[_MODEL], []).append(line)
    return [
        Batch(AggregateId(model.decode(errors="replace")), pack(some), len(some), since_s)
        for model, of_model in by_model.items()
        for some in (of_model[at : at + _LINES_A_MESSAGE] for at in range(0, len(of_model), _LINES_A_MESSAGE))
    ]
