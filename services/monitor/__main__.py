"""Wiring of the monitor."""

from __future__ import annotations

import asyncio
import os
import sys

from services.core.records import Desired, Health, Placement
from services.core.subjects import Bucket
from services.kit.bus import Bus
from services.kit.config import ConfigError, read_config
from services.kit.healthz import serve_health
from services.kit.heartbeat import join
from services.kit.logs import set_up_logs
from services.kit.mirror import Mirror
from services.kit.process import Stop, run
from services.kit.wake import Wake
from services.monitor.config import MonitorConfig
from services.monitor.monitor import Mirrors, Monitor

DRAIN_S = 5.0


async def serve(config: MonitorConfig, stop: Stop) -> None:
    """All works of the monitor."""
    bus, wake = Bus(config), Wake()
    mirrors = Mirrors(
        desired=Mirror(bus.bucket(Bucket.DESIRED, Desired), wake=wake),
        placements=Mirror(bus.bucket(Bucket.PLACEMENTS, Placement), wake=wake),
    )
    monitor = Monitor(
        mirrors=mirrors, health=bus.bucket(Bucket.HEALTH, Health), wake=wake, probes_at_once=config.probes_at_once
    )
    checks = {"bus": bus.check}
    try:
        async with asyncio.TaskGroup() as works:
            works.create_task(serve_health(stop, host=config.health_host, port=config.health_port, checks=checks))
            works.create_task(join(bus, "monitor", config.service_id, stop))
            works.create_task(mirrors.desired.run(stop))
            works.create_task(mirrors.placements.run(stop))
            works.create_task(monitor.run(stop))
            works.create_task(monitor.sweep(stop))
    finally:
        await bus.close()


def main() -> int:
    try:
        config = read_config(MonitorConfig, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    set_up_logs("monitor", config.service_id, config.log_level)
    return run(lambda stop: serve(config, stop), drain_s=DRAIN_S)


if __name__ == "__main__":
    sys.exit(main())
