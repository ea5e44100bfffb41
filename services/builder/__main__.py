"""This file wires the builder: configuration, bus, blobs, backend, and the works that run until its end."""

from __future__ import annotations

import asyncio
import os
import sys

from services.builder.backends.bundle import BundleBackend
from services.builder.builder import MAX_ATTEMPTS, Builder
from services.builder.collector import Collector
from services.builder.command import clean_environment
from services.builder.config import BuilderConfig
from services.builder.environment import Environments
from services.builder.lock import Locksmith
from services.builder.r_environment import REnvironments
from services.builder.r_install import RInstaller
from services.builder.r_lock import RLocksmith
from services.builder.r_repository import Repository
from services.builder.remaker import Remaker
from services.builder.wishes import BusWishes
from services.core.records import Build, BuildOrder
from services.core.subjects import Bucket, Consumer
from services.kit.blobs import Blobs
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.config import ConfigError, read_config
from services.kit.consume import Attempt, consume
from services.kit.healthz import serve_health
from services.kit.heartbeat import join
from services.kit.logs import set_up_logs
from services.kit.mirror import Mirror
from services.kit.process import Stop, run

DRAIN_S = 5.0  # a build that is cut short is delivered again
HOLD_S = 60.0  # a build waits this long for the index or the store before it counts as an attempt


def make_backend(config: BuilderConfig, blobs: Blobs) -> BundleBackend:
    environ = clean_environment(os.environ)
    environments = Environments(config.environments_dir.absolute(), config.uv_path.absolute(), environ)
    repository = Repository(config.r_repository, environ)
    installer = RInstaller(environments.folder, environ, config.r_install_uid)
    return BundleBackend(
        blobs=blobs,
        locksmith=Locksmith(blobs, config.uv_path.absolute(), environ),
        environments=environments,
        harness_wheel=config.harness_wheel.absolute(),
        model_python=config.model_python.absolute(),
        environ=environ,
        r_locksmith=RLocksmith(blobs, repository),
        r_environments=REnvironments(environments, repository, installer, environ),
        r_harness=None if config.r_harness is None else config.r_harness.absolute(),
    )


async def serve(config: BuilderConfig, stop: Stop) -> None:
    """All works of the builder."""
    blobs = Blobs(config.blobs_url)
    backend = make_backend(config, blobs)
    await asyncio.to_thread(backend.environments.sweep)
    await asyncio.to_thread(backend.r_environments.installer.sweep)
    bus = Bus(config)
    build_dir = config.build_dir.absolute() / config.service_id
    builds = Mirror(bus.bucket(Bucket.BUILDS, Build))
    wishes = BusWishes(builds)
    builder = Builder(backend=backend, bus=bus, wishes=wishes, build_dir=build_dir, now=now)
    collector = Collector(backend.environments, blobs, wishes, clock=now, grace_s=config.collect_grace_s)
    await asyncio.to_thread(builder.sweep)
    checks = {"bus": bus.check}
    try:
        async with asyncio.TaskGroup() as works:
            works.create_task(serve_health(stop, host=config.health_host, port=config.health_port, checks=checks))
            works.create_task(join(bus, "builder", config.service_id, stop))
            works.create_task(builds.run(stop))
            works.create_task(_take_orders(bus, config, builder, wishes, stop))
            works.create_task(collector.run(stop, every_s=config.collect_every_s))
            works.create_task(Remaker(backend, wishes, build_dir=build_dir).run(stop))
    finally:
        await bus.close()


async def _take_orders(bus: Bus, config: BuilderConfig, builder: Builder, wishes: BusWishes, stop: Stop) -> None:
    await wishes.known(stop)

    async def handle(order: BuildOrder, attempt: Attempt) -> None:
        await builder.handle(order, attempt.number)

    await consume(
        bus,
        Consumer.BUILDERS,
        BuildOrder,
        handle,
        stop,
        max_attempts=MAX_ATTEMPTS,
        concurrency=config.build_concurrency,
        hold_s=HOLD_S,
        on_give_up=builder.give_up,
    )


def main() -> int:
    try:
        config = read_config(BuilderConfig, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    set_up_logs("builder", config.service_id, config.log_level)
    return run(lambda stop: serve(config, stop), drain_s=DRAIN_S)


if __name__ == "__main__":
    sys.exit(main())
