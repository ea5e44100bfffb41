"""This file makes the small values these tests put on the bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import Health, Route
from services.kit.process import Stop


def route(revision: int, version: str = "v1") -> Route:
    return Route(
        revision=revision,
        model_id=AggregateId("m"),
        labels={"latest": VersionId(version)},
        is_restricted=True,
        token_hashes=(),
        request_timeout_s=60.0,
    )


def health(revision: int, *, is_ready: bool = True) -> Health:
    return Health(
        revision=revision,
        instance_id=InstanceId("i"),
        version_id=VersionId("v"),
        is_ready=is_ready,
        failures=0,
    )


@contextlib.asynccontextmanager
async def at_work(*works: Callable[[Stop], Coroutine[Any, Any, None]]) -> AsyncIterator[Stop]:
    """The works run inside, and must end in time when they are told to stop."""
    stop = Stop()
    tasks = [asyncio.create_task(work(stop)) for work in works]
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(15):
            await asyncio.gather(*tasks)
