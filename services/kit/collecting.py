"""This file is the loop of the collectors: each service takes away, now and then, what nothing needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from services.core.collection import Collected
from services.core.errors import ModelwayError
from services.kit.process import Stop

log = structlog.get_logger()

SETTLE_S = 60.0  # after a start, before the first look


async def keep_collecting(
    collect: Callable[[], Awaitable[Collected]], stop: Stop, *, what: str, every_s: float
) -> None:
    """Calls `collect` every `every_s` until `stop`; what cannot be read now is tried again at the next time."""
    wait_s = min(SETTLE_S, every_s)
    while not await stop.wait_for(wait_s):
        wait_s = every_s
        try:
            collected = await collect()
        except (ModelwayError, OSError) as error:
            reason = error.reason if isinstance(error, ModelwayError) else error.strerror
            log.warning("collection_put_off", what=what, reason=reason)
            continue
        if collected.count:
            log.info("collected", what=what, count=collected.count, size_bytes=collected.size_bytes)
