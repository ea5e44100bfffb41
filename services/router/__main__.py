"""Wiring of the router. `--initial` writes HAProxy's first configuration instead, if there is none, and ends."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from services.core.records import Health, Placement, Route, RouterReport
from services.core.routing import RoutingTable
from services.core.subjects import Bucket
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.config import ConfigError, read_config
from services.kit.healthz import serve_health
from services.kit.heartbeat import join
from services.kit.logs import set_up_logs
from services.kit.mirror import Mirror
from services.kit.process import Stop, run
from services.kit.producer import Producer
from services.kit.wake import Wake
from services.router.access import Intake
from services.router.config import HAProxyConfig, RouterConfig, settings
from services.router.haproxy import access
from services.router.haproxy.candidates import Candidates
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.files import Folder
from services.router.haproxy.master import Master
from services.router.haproxy.memory import FolderMemory
from services.router.haproxy.render import CONFIG, render
from services.router.measures import Measures
from services.router.records import Records
from services.router.rollouts import Rollouts
from services.router.router import Mirrors, Router

DRAIN_S = 5.0


async def serve(config: RouterConfig, place: HAProxyConfig, stop: Stop) -> None:
    """All works of the router. HAProxy is looked after from the first moment, the bus joins when it is there."""
    bus, wake, folder = Bus(config), Wake(), Folder(place.haproxy_dir)
    mirrors = Mirrors(
        routes=Mirror(bus.bucket(Bucket.ROUTES, Route), wake=wake),
        placements=Mirror(bus.bucket(Bucket.PLACEMENTS, Placement), wake=wake),
        health=Mirror(bus.bucket(Bucket.HEALTH, Health), wake=wake),
    )
    router_id = config.router_id or config.service_id
    chosen = settings(place)
    rollouts = Rollouts(bus)
    master = Master(place.haproxy_master_socket)
    records = Records(Intake(access.paths(chosen)), bus, master)
    data_plane = HAProxy(master, Candidates(folder, chosen, place.haproxy_binary), Path(chosen.held_socket))
    router = Router(
        router_id,
        mirrors=mirrors,
        data_plane=data_plane,
        memory=FolderMemory(folder),
        reports=Producer(bus.bucket(Bucket.ROUTERS, RouterReport)),
        wake=wake,
        measures=Measures(router_id, now),
        rollouts=rollouts,
    )
    checks = {"bus": bus.check, "haproxy": router.check}
    try:
        async with asyncio.TaskGroup() as works:
            works.create_task(serve_health(stop, host=config.health_host, port=config.health_port, checks=checks))
            works.create_task(join(bus, "router", router_id, stop))
            works.create_task(mirrors.routes.run(stop))
            works.create_task(mirrors.placements.run(stop))
            works.create_task(mirrors.health.run(stop))
            works.create_task(router.route(stop))
            works.create_task(router.report(stop))
            works.create_task(rollouts.run(stop))
            works.create_task(records.run(stop))
    finally:
        data_plane.close()
        await bus.close()


def write_initial(place: HAProxyConfig) -> None:
    """A configuration that knows no model and leads everything else to api; nothing, if there is one already."""
    folder = Folder(place.haproxy_dir)
    if folder.read(CONFIG) is not None:
        return
    place.haproxy_dir.mkdir(parents=True, exist_ok=True)
    files = render(RoutingTable(), settings(place))
    for name, text in {**files.maps, CONFIG: files.config}.items():
        folder.write(name, text)


def main(arguments: list[str]) -> int:
    is_initial = "--initial" in arguments
    try:
        place = read_config(HAProxyConfig, os.environ)
        config = None if is_initial else read_config(RouterConfig, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if config is None:
        write_initial(place)
        return 0
    set_up_logs("router", config.service_id, config.log_level)
    return run(lambda stop: serve(config, place, stop), drain_s=DRAIN_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
