"""This file carries out what was decided, in the background: a look at one version never waits for another's start."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from typing import TypeVar

import structlog

from services.core.deadlines import STOP_GRACE_S
from services.core.errors import Unavailable, WorkloadRejected
from services.core.ids import InstanceId, VersionId
from services.core.placement import Action, Forget, Stop
from services.core.ports import Runtime, Workload
from services.core.progress import new_instance_id
from services.core.records import Desired
from services.kit.wake import Wake

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

Outcome = WorkloadRejected | Unavailable | None  # of starting instances; None: all were started


class Actions:
    """What is being done now. Rings `wake` when something is done."""

    def __init__(self, runtime: Runtime, wake: Wake) -> None:
        self._runtime = runtime
        self._wake = wake
        self._starting: dict[VersionId, asyncio.Task[Outcome]] = {}
        self._ending: dict[Action, asyncio.Task[None]] = {}

    def is_starting(self, version_id: VersionId) -> bool:
        """True until `finished` gave the outcome: what is observed meanwhile may lack what is being started."""
        return version_id in self._starting

    def finished(self) -> dict[VersionId, Outcome]:
        """The outcomes of the starts that ended since the last call."""
        _take_done(self._ending)
        return _take_done(self._starting)

    def start(self, desired: Desired, count: int) -> None:
        self._starting[desired.version_id] = asyncio.create_task(self._start(desired, count))

    def stop(self, action: Stop) -> None:
        self._end(action, self._runtime.stop(action.instance_id, grace_s=action.grace_s))

    def forget(self, action: Forget) -> None:
        self._end(action, self._runtime.forget(action.instance_id))

    def cancel(self) -> None:
        """Leave everything as it is; the next deployer goes on."""
        for task in (*self._starting.values(), *self._ending.values()):
            task.cancel()

    async def _start(self, desired: Desired, count: int) -> Outcome:
        try:
            for _ in range(count):
                instance_id = _fresh_id(desired)
                await self._runtime.ensure(Workload(instance_id=instance_id, desired=desired, grace_s=STOP_GRACE_S))
                log.info("instance_started", version=desired.version_id, instance=instance_id)
        except (WorkloadRejected, Unavailable) as error:
            log.warning("start_refused", version=desired.version_id, reason=error.reason)
            return error
        except Exception as error:
            # Whatever it is, it is the trouble of this version: the others are looked after as before.
            log.exception("start_failed", version=desired.version_id)
            return Unavailable(f"the deployer failed to start it: {type(error).__name__}: {error}")
        finally:
            self._wake.ring()
        return None

    def _end(self, action: Action, work: Coroutine[None, None, None]) -> None:
        """Once at a time; a look that still asks for it afterwards does it again."""
        if action in self._ending:
            work.close()
        else:
            self._ending[action] = asyncio.create_task(self._carry_out(action, work))

    async def _carry_out(self, action: Action, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Unavailable as error:
            log.warning("action_put_off", action=str(action), reason=error.reason)
        finally:
            self._wake.ring()


def _take_done(tasks: dict[K, asyncio.Task[V]]) -> dict[K, V]:
    return {key: tasks.pop(key).result() for key in [key for key, task in tasks.items() if task.done()]}


def _fresh_id(desired: Desired) -> InstanceId:
    return new_instance_id(desired.version_id, desired.generation, secrets.token_hex(4))
