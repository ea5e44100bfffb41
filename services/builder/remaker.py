"""This file is the remaker: environments that versions need and that are not on this machine are made again.

That is so after a backup was restored, and after somebody cleared a disk: a backup holds what environments are made
from, not what they are.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from services.builder.backends.bundle import BundleBackend
from services.builder.build_log import BuildLog
from services.core.errors import ModelwayError, PermanentError, TemporaryError
from services.core.ids import Digest
from services.core.records import Build, Bundle, LogLine
from services.kit.clock import now
from services.kit.process import Stop

log = structlog.get_logger()

LOOK_EVERY_S = 5.0
AGAIN_AFTER_S = 30.0  # what a making lacked, an index perhaps


class Needs(Protocol):
    def needed(self) -> Iterable[Build]:
        """Every version whose build is needed. Raises `Unavailable` while that is not sure."""


class Remaker:
    """Makes one environment at a time, that of the newest version first."""

    def __init__(self, backend: BundleBackend, needs: Needs, *, build_dir: Path) -> None:
        self._backend = backend
        self._needs = needs
        self._build_dir = build_dir
        self._bundles: dict[Digest, Bundle] = {}
        self._given_up: set[Digest] = set()  # artifacts that nothing can be made of here

    async def run(self, stop: Stop) -> None:
        """Until `stop`."""
        wait_s = LOOK_EVERY_S
        while not await stop.wait_for(wait_s):
            try:
                is_done = await self.look()
            except ModelwayError as error:
                log.debug("remaking_put_off", reason=error.reason)
                is_done = True
            wait_s = LOOK_EVERY_S if is_done else AGAIN_AFTER_S

    async def look(self) -> bool:
        """Make what is missing; False when something could not be made now. Raises `Unavailable` while it is not known
        what is needed.
        """
        builds = sorted(self._needs.needed(), key=lambda build: build.published_at, reverse=True)
        artifacts = dict.fromkeys(build.artifact for build in builds if build.artifact is not None)
        self._bundles = {each: bundle for each, bundle in self._bundles.items() if each in artifacts}
        is_done = True
        for artifact in artifacts:
            if artifact not in self._bundles and artifact not in self._given_up:
                is_done &= await self._try(artifact, self._read(artifact))
        environments = {bundle.environment: (artifact, bundle) for artifact, bundle in self._bundles.items()}
        for environment, (artifact, bundle) in environments.items():
            if artifact not in self._given_up and not self._backend.environments.is_whole(environment):
                is_done &= await self._try(artifact, self._make(bundle))
        return is_done

    async def _try(self, artifact: Digest, work: Awaitable[None]) -> bool:
        try:
            await work
        except PermanentError as error:
            self._given_up.add(artifact)
            log.error("environment_not_remade", artifact=artifact, reason=error.reason)  # noqa: TRY400  (it says all)
        except TemporaryError as error:
            log.warning("remaking_put_off", artifact=artifact, reason=error.reason)
            return False
        except OSError as error:
            log.warning("remaking_put_off", artifact=artifact, reason=error.strerror)
            return False
        return True

    async def _read(self, artifact: Digest) -> None:
        self._bundles[artifact] = await self._backend.blobs.get_document(artifact, Bundle)

    async def _make(self, bundle: Bundle) -> None:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="remade-", dir=self._build_dir))
        try:
            async with BuildLog(_told, now).opened() as said:
                await self._backend.remake(bundle, folder, said)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        log.info("environment_remade", environment=bundle.environment)


async def _told(lines: Sequence[LogLine]) -> None:
    """No build log is kept any more to which this belongs."""
    for line in lines:
        log.debug("remaking", said=line.text)
