"""This file says every two seconds that this process lives."""

from __future__ import annotations

import structlog

from services.core.errors import Unavailable
from services.core.records import Heartbeat
from services.core.subjects import Bucket, heartbeat_key
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.process import Stop
from services.kit.producer import Producer

log = structlog.get_logger()

BEAT_S = 2.0


async def join(bus: Bus, service: str, service_id: str, stop: Stop) -> None:
    """Open the bus, however long that takes, and say that this process lives until `stop`."""
    await bus.open()
    await beat(bus, service, service_id, stop)


async def beat(bus: Bus, service: str, service_id: str, stop: Stop) -> None:
    """Put `heartbeats.<service>.<service_id>` every 2 s until `stop`. An absent bus is waited for."""
    hearts = Producer(bus.bucket(Bucket.HEARTBEATS, Heartbeat))
    key = heartbeat_key(service, service_id)
    started_at = now()

    def heartbeat(revision: int) -> Heartbeat:
        return Heartbeat(revision=revision, service=service, service_id=service_id, at=now(), started_at=started_at)

    is_heard = True
    while not stop.is_set:
        try:
            await hearts.publish(key, heartbeat)
            is_heard = True
        except Unavailable as error:
            if is_heard:
                log.warning("heartbeat_missed", reason=error.reason)
            is_heard = False
        await stop.wait_for(BEAT_S)
