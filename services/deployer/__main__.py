"""Wiring of the deployer. `--stop-all` ends every instance on this machine instead, without the bus."""

from __future__ import annotations

import asyncio
import os
import sys

from services.core.deadlines import STOP_GRACE_S
from services.core.records import Desired, Health, Heartbeat, Placement, RouterReport
from services.core.subjects import Bucket
from services.deployer.collector import Collector
from services.deployer.config import DeployerConfig, FoldersConfig
from services.deployer.deployer import Deployer, Mirrors
from services.deployer.logs import DeploymentLog, InstanceLogs
from services.deployer.runtimes.process.folders import Folders
from services.deployer.runtimes.process.leftovers import Leftovers
from services.deployer.runtimes.process.output import ProcessOutput
from services.deployer.runtimes.process.owners import Owners, parse_uids
from services.deployer.runtimes.process.processors import Processors, this_machine
from services.deployer.runtimes.process.runtime import ProcessRuntime
from services.deployer.runtimes.process.spawn import limit_instances
from services.deployer.runtimes.process.version_files import VersionFiles
from services.kit.blobs import Blobs
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.config import ConfigError, read_config
from services.kit.healthz import serve_health
from services.kit.heartbeat import join
from services.kit.logs import set_up_logs
from services.kit.mirror import Mirror
from services.kit.process import Stop, run
from services.kit.vault import Vault
from services.kit.wake import Wake

DRAIN_S = 10.0


async def serve(config: DeployerConfig, stop: Stop) -> None:
    """All works of the deployer. What runs is looked after from the first moment, the bus joins when it is there."""
    bus, wake = Bus(config), Wake()
    folders = Folders(config.instances_dir, config.sockets_dir)
    owners = Owners(config.instances_dir / "owners.json", parse_uids(config.instance_uids))
    files = VersionFiles(config.versions_dir, config.environments_dir, Blobs(config.blobs_url))
    processors = Processors(this_machine(), config.instances_dir)
    runtime = ProcessRuntime(folders, files, owners, _vault(config), processors)
    mirrors = Mirrors(
        desired=Mirror(bus.bucket(Bucket.DESIRED, Desired), wake=wake),
        health=Mirror(bus.bucket(Bucket.HEALTH, Health), wake=wake),
        routers=Mirror(bus.bucket(Bucket.ROUTERS, RouterReport), wake=wake),
        heartbeats=Mirror(bus.bucket(Bucket.HEARTBEATS, Heartbeat), forget_absent=True),
    )
    instance_logs, deployment_log = InstanceLogs(bus, ProcessOutput(folders)), DeploymentLog(bus)
    deployer = Deployer(
        config.deployer_id,
        runtime=runtime,
        bus=bus,
        mirrors=mirrors,
        placements=bus.bucket(Bucket.PLACEMENTS, Placement),
        instance_logs=instance_logs,
        deployment_log=deployment_log,
        wake=wake,
    )
    collector = Collector(
        config.deployer_id,
        desired=mirrors.desired,
        runtime=runtime,
        leftovers=Leftovers(folders, files),
        clock=now,
        grace_s=config.collect_grace_s,
    )
    checks = {"bus": bus.check, "looks": deployer.check}
    try:
        async with asyncio.TaskGroup() as works:
            works.create_task(serve_health(stop, host=config.health_host, port=config.health_port, checks=checks))
            works.create_task(join(bus, "deployer", config.service_id, stop))
            works.create_task(deployer.run(stop))
            works.create_task(deployer.sweep(stop))
            works.create_task(collector.run(stop, every_s=config.collect_every_s))
            works.create_task(instance_logs.run(stop))
            works.create_task(deployment_log.run(stop))
            for mirror in (mirrors.desired, mirrors.health, mirrors.routers, mirrors.heartbeats):
                works.create_task(mirror.run(stop))
    finally:
        runtime.close()
        await bus.close()


def _vault(config: DeployerConfig) -> Vault | None:
    keys = config.variable_keys
    return None if keys is None else Vault.from_text(keys, "VARIABLE_KEYS")


async def stop_all(config: FoldersConfig) -> int:
    """End all instances of this machine and say how many; what is desired stays as it is."""
    folders = Folders(config.instances_dir, config.sockets_dir)
    nowhere = config.instances_dir
    files, processors = VersionFiles(nowhere, nowhere, Blobs("memory:///")), Processors(this_machine(), nowhere)
    runtime = ProcessRuntime(folders, files, Owners(nowhere, range(0)), processors=processors)
    try:
        return await runtime.stop_all(grace_s=STOP_GRACE_S)
    finally:
        runtime.close()


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--stop-all"]):
        print("usage: python -m services.deployer [--stop-all]", file=sys.stderr)
        return 2
    try:
        if arguments:
            ended = asyncio.run(stop_all(read_config(FoldersConfig, os.environ)))
            print(f"{ended} instances ended")
            return 0
        config = read_config(DeployerConfig, os.environ)
        parse_uids(config.instance_uids)
        _vault(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    set_up_logs("deployer", config.service_id, config.log_level)
    limit_instances(have_own_users=bool(parse_uids(config.instance_uids)))
    return run(lambda stop: serve(config, stop), drain_s=DRAIN_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
