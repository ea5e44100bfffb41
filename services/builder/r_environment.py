"""This file makes the environments of R versions: the harness, and beside it a library that the function alone sees."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.builder.build_log import BuildLog
from services.builder.environment import Environments
from services.builder.r_install import RInstaller
from services.builder.r_library import LIBRARY, RHarness, describe_machine, r_environment_digest
from services.builder.r_lock import Locked, RLock, parse_r_lock
from services.builder.r_repository import Repository, digest_of, source_in
from services.core.errors import BuildFailed
from services.core.ids import Digest


@dataclass(frozen=True)
class REnvironments:
    """Those under `environments`, of packages from `repository`."""

    environments: Environments
    repository: Repository
    installer: RInstaller
    environ: Mapping[str, str]

    async def ensure(self, lock: str, harness: RHarness, folder: Path, log: BuildLog) -> Digest:
        """The digest of the environment that `lock` describes, which exists once this returns.

        Sources that lie in `folder` are not fetched again. Raises `BuildFailed`, `Unavailable`.
        """
        digest = r_environment_digest(lock, harness)
        await self._ensure_as(digest, parse_r_lock(lock), harness, folder, log)
        return digest

    async def remake(self, digest: Digest, lock: str, harness: RHarness, folder: Path, log: BuildLog) -> None:
        """The environment of an earlier build, by its own name, with the harness and the machine's packages of now.

        Raises `BuildFailed` when this machine's R has less than it had then, `Unavailable`.
        """
        parsed = parse_r_lock(lock)
        machine = await describe_machine(folder, self.environ, log)
        if parsed.r.split(".")[:2] != machine.r.split(".")[:2]:
            raise BuildFailed(f"it takes R {parsed.r}, and here is {machine.r}: publish it again")
        if lack := parsed.lacks(machine.packages):
            raise BuildFailed(f"it takes the R package {lack}: publish it again")
        await self._ensure_as(digest, parsed, harness, folder, log)

    async def _ensure_as(self, digest: Digest, lock: RLock, harness: RHarness, folder: Path, log: BuildLog) -> None:
        async def make(aside: Path) -> None:
            await asyncio.to_thread(harness.write, aside)
            if lock.packages:
                await self._fetch(lock.packages, folder, log)
                await self.installer.install(lock.packages, folder, aside / LIBRARY, log)

        await self.environments.ensure_made(digest, make, log)

    async def _fetch(self, packages: tuple[Locked, ...], folder: Path, log: BuildLog) -> None:
        lacking = [(each.name, each.version) for each in packages if not _source(folder, each).exists()]
        missing = await self.repository.fetch(lacking, folder, log) if lacking else set()
        for each in packages:
            if (each.name, each.version) in missing:
                raise BuildFailed(f"the package repository no longer has {each.name} {each.version}, which is locked")
            if await digest_of(_source(folder, each)) != each.digest:
                raise BuildFailed(f"{each.name} {each.version} in the package repository is not what was locked")


def _source(folder: Path, package: Locked) -> Path:
    return source_in(folder, package.name, package.version)
