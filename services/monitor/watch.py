"""This file watches one instance: it probes all its workers in rounds, and says when the verdict changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.core.health import Verdict, judge, next_probe_s
from services.core.records import Health, HealthCheck, Instance, InstancePhase
from services.kit.clock import now
from services.monitor.probe import probe

log = structlog.get_logger()

REPEAT_S = 15.0  # what did not change is said again this often
LAG_S = 1.0  # a round that took this much longer than its time-out says more about us than about the instance

Say = Callable[[Verdict], Awaitable[None]]


class Watch:
    """`check` gives the settings of the moment, `turns` bounds how many rounds run at once, `say` publishes."""

    def __init__(
        self, instance: Instance, held: Verdict, *, check: Callable[[], HealthCheck], turns: asyncio.Semaphore, say: Say
    ) -> None:
        self._instance = instance
        self._verdict = held
        self._check = check
        self._turns = turns
        self._say = say
        self._said_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            check = self._check()
            before, self._verdict = self._verdict, await self._round(check)
            time = asyncio.get_running_loop().time()
            if _is_news(before, self._verdict) or time - self._said_at >= REPEAT_S:
                self._said_at = time
                await self._say(self._verdict)
            await asyncio.sleep(next_probe_s(self._verdict, check))

    async def _round(self, check: HealthCheck) -> Verdict:
        """The verdict after one round of probes, one of each worker at the same time."""
        instance = self._instance
        loop = asyncio.get_running_loop()
        async with self._turns:
            began = loop.time()
            probes = await asyncio.gather(
                *(
                    probe(address, instance.instance_id, worker, timeout_s=check.timeout_s)
                    for worker, address in enumerate(instance.addresses)
                )
            )
            took_s = loop.time() - began
        if took_s > check.timeout_s + LAG_S:
            log.warning("probes_too_slow_to_count", instance=instance.instance_id, took_s=round(took_s, 1))
            return self._verdict
        return judge(self._verdict, probes, check, started_at=instance.started_at, now=now())


def held_from(health: Health | None, phase: InstancePhase) -> Verdict:
    """What to go on from: an earlier monitor's verdict where there is one, else nothing but that it once was ready."""
    if health is None:
        return Verdict(was_ready=phase is InstancePhase.RUNNING)
    return Verdict(
        was_ready=health.is_ready or health.is_unrecoverable or phase is InstancePhase.RUNNING,
        is_ready=health.is_ready,
        failures=health.failures,
        is_unrecoverable=health.is_unrecoverable,
        reason=health.reason,
    )


def _is_news(before: Verdict, after: Verdict) -> bool:
    """While it starts, a growing count of failures is none."""
    seen = (before.is_ready, before.is_unrecoverable, before.reason, before.failures if before.was_ready else 0)
    return seen != (after.is_ready, after.is_unrecoverable, after.reason, after.failures if after.was_ready else 0)
