"""This file is a process's life: it starts the works, tells them to stop, and waits no longer than
promised.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CANCEL_S = 5.0  # for a work to clean up once it was cancelled


class Stop:
    """The wish that the process should end. Set once, never taken back."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        """Return once the process should end."""
        await self._event.wait()

    async def wait_for(self, seconds: float) -> bool:
        """Sleep that ends early when the process should end; true if it should."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        return self.is_set


Work = Callable[[Stop], Coroutine[Any, Any, None]]


def run(*works: Work, drain_s: float) -> int:
    """Run all `works` until SIGTERM or SIGINT and return the exit code: 0 after such a signal, 1 otherwise.

    Each work gets the `Stop`, and returns in its own time once that is set; after `drain_s` seconds what
    still runs is cancelled. A work that ends or fails before ends them all with 1, so that the
    supervisor starts the process again: a service that lost a part of itself does not pretend to live.
    """
    return asyncio.run(_live(works, drain_s))


async def _live(works: tuple[Work, ...], drain_s: float) -> int:
    loop = asyncio.get_running_loop()
    stop = Stop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        return await _run_until(stop, works, drain_s)
    finally:
        # They would outlive the coroutine, and then call into a closed loop.
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _run_until(stop: Stop, works: tuple[Work, ...], drain_s: float) -> int:
    tasks = {asyncio.create_task(work(stop), name=_name(work)) for work in works}
    stopping = asyncio.create_task(stop.wait())
    ended, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    was_asked = stop.is_set
    for task in ended & tasks if not was_asked else ():
        log.error("work_ended", work=task.get_name(), exc_info=_failure(task))
    stop.set()
    await _drain(tasks, drain_s)
    failed = [task for task in tasks if _failure(task) is not None]
    for task in failed if was_asked else ():
        log.error("work_failed_at_stop", work=task.get_name(), exc_info=_failure(task))
    return 0 if was_asked and not failed else 1


async def _drain(tasks: set[asyncio.Task[None]], drain_s: float) -> None:
    _, late = await asyncio.wait(tasks, timeout=drain_s)
    if not late:
        return
    log.warning("drain_over", works=sorted(task.get_name() for task in late), drain_s=drain_s)
    for task in late:
        task.cancel()
    await asyncio.wait(late, timeout=_CANCEL_S)


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if not task.done() or task.cancelled() else task.exception()


def _name(work: Work) -> str:
    return str(getattr(work, "__qualname__", type(work).__name__))
