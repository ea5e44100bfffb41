"""A bus that is slow or hangs, and readers that are slow: memory stays bounded, and what was dropped is made up for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import tracemalloc

import msgspec
import psutil
import pytest
import structlog

from services.core.errors import Unavailable
from services.core.ids import AggregateId, VersionId
from services.core.records import LogLine, Route
from services.core.subjects import Bucket, LogKind
from services.core.subjects import log as log_subject
from services.kit import mirror as mirror_module
from services.kit.bus import REQUEST_S, Bus
from services.kit.clock import now
from services.kit.mirror import Mirror
from services.kit.read_log import read_log
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.kit.samples import at_work, route

Logged = list[structlog.typing.EventDict]

LOG = log_subject(LogKind.BUILD, AggregateId("a" * 24), VersionId("5" * 24))


async def test_a_mirror_that_is_too_slow_for_a_burst_recovers_by_listing(
    bus: Bus, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "PENDING_BYTES", 2000)
    routes = bus.bucket(Bucket.ROUTES, Route)
    mirror = Mirror(routes, list_every_s=0.5)
    async with at_work(mirror.run):
        await wait_until(lambda: mirror.has_listed)
        jetstream = bus.client.jetstream(publish_async_max_pending=2000)
        for number in range(1000):
            await jetstream.publish_async(f"$KV.routes.r-{number}", msgspec.json.encode(route(1)))
        await jetstream.publish_async_completed()
        await wait_until(lambda: len(mirror.entries) == 1000, what="all entries are there")
        dropped = [line for line in logged if line["event"] == "bus_messages_dropped"]
        assert len(dropped) == 1, "dropped, and told once"


async def test_a_listing_of_which_something_was_dropped_is_no_listing(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = bus.bucket(Bucket.ROUTES, Route)
    for number in range(300):
        await routes.put(f"r-{number}", route(1))
    subscribe = bus.client.subscribe

    async def cramped(subject: str, **options: object) -> object:
        return await subscribe(subject, **{**options, "pending_bytes_limit": 2000})  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(bus.client, "subscribe", cramped)
        with pytest.raises(Unavailable):
            await routes.list()
    assert len(await routes.list()) == 300


async def test_a_flood_of_log_lines_for_a_bus_that_hangs_is_dropped_and_counted(
    bus: Bus, nats_server: NatsServer
) -> None:
    await hang(nats_server)
    try:
        line = LogLine(at=now(), text="x" * 1000)
        tracemalloc.start()
        began, sent = time.monotonic(), 0
        while time.monotonic() < began + 8:
            await bus.publish_logs(LOG, [line] * 1000)
            sent += 1000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)
    assert sent >= 5000
    assert peak < 30 << 20, peak
    await wait_until(lambda: bus.is_connected, what="the bus is back")

    async def is_told() -> bool:
        await bus.publish_logs(LOG, [LogLine(at=now(), text="after")])
        try:
            lines = await read_log(bus, LOG, limit=10_000)
        except Unavailable:
            return False
        missing = sum(int(each.text.split()[0]) for each in lines if "lines are missing" in each.text)
        return missing > 0

    await wait_until_async(is_told, what="the gap is told")


async def test_whoever_asks_a_bus_that_hangs_is_told_within_the_deadline(bus: Bus, nats_server: NatsServer) -> None:
    routes = bus.bucket(Bucket.ROUTES, Route)
    await hang(nats_server)
    try:
        began = time.monotonic()
        asked = [routes.put("a", route(1)), routes.get("a"), routes.list(), read_log(bus, LOG, limit=1)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers), answers
        assert time.monotonic() - began < REQUEST_S + 4  # a dead connection is noticed after six seconds at most
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)
    await wait_until_async(lambda: _puts(bus), 15, what="the bus answers again")


async def hang(server: NatsServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    await wait_until(lambda: psutil.Process(server.pid).status() == psutil.STATUS_STOPPED)


async def _puts(bus: Bus) -> bool:
    try:
        return await bus.bucket(Bucket.ROUTES, Route).put("a", route(int(time.time())))
    except Unavailable:
        return False
