"""This file decides which configuration lies where HAProxy starts from: always one that HAProxy accepts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog

from services.core.errors import Unavailable
from services.core.rerouting import without
from services.core.routing import RoutingTable
from services.router.haproxy import trial
from services.router.haproxy.files import Folder
from services.router.haproxy.render import CONFIG, Files, Renderer, digest_of
from services.router.haproxy.settings import Settings

log = structlog.get_logger()

RETRY_S = 10.0  # before a configuration that HAProxy did not start on is offered again
_CANDIDATE = f"{CONFIG}.candidate"


class Candidates:
    """Tries each new configuration, and puts it in place when it is good."""

    def __init__(self, folder: Folder, settings: Settings, binary: Path) -> None:
        self._folder = folder
        self._renderer = Renderer(settings)
        self._binary = binary
        self._judged: tuple[RoutingTable, RoutingTable] | None = None  # wanted last, and what of it is in place
        self._config = ""  # in place
        self._good = ""  # the last one that a worker was started on
        self._retry_at = 0.0
        self.rejected = ""  # HAProxy's complaint about what is wanted

    @property
    def digest(self) -> str:
        """Of the configuration in place."""
        return digest_of(self._config)

    async def put(self, wanted: RoutingTable) -> RoutingTable:
        """Put in place what makes HAProxy do `wanted`, or as much of it as HAProxy accepts: that is returned.

        Raises `Unavailable` when HAProxy cannot be asked or the folder cannot be written.
        """
        if self._judged is None:
            found = await asyncio.to_thread(self._folder.read, CONFIG)
            self._config = self._good = found or ""
        is_retried = self._retry_at and time.monotonic() >= self._retry_at
        if self._judged is None or self._judged[0] != wanted or is_retried:
            self.rejected, self._retry_at = "", 0.0
            aimed, files = await self._acceptable(wanted)
            await self._write(files)
            self._judged = wanted, aimed
        return self._judged[1]

    def confirm(self) -> None:
        """A worker was started on the configuration in place."""
        self._good = self._config

    async def take_back(self, complaint: str) -> None:
        """No worker could be started on it: the one before is put back, and this one tried again after a while."""
        self.rejected = complaint or "HAProxy gave no reason"
        self._retry_at = time.monotonic() + RETRY_S
        await asyncio.to_thread(self._folder.write, CONFIG, self._good)
        self._config = self._good

    async def _acceptable(self, wanted: RoutingTable) -> tuple[RoutingTable, Files]:
        """`wanted` without the versions that HAProxy complains about; with the configuration in place, if it is not
        about versions.
        """
        aimed = wanted
        while True:
            files = self._renderer.render(aimed)
            complaint = "" if files.digest == self.digest else await self._complaint(files)
            if not complaint:
                return aimed, files
            self.rejected = self.rejected or complaint
            aside = trial.offenders(complaint, files.config) & aimed.backends.keys()
            log.error("configuration_rejected", complaint=complaint, versions_set_aside=sorted(aside))
            if not aside:
                return wanted, Files(config=self._config, digest=self.digest, maps=files.maps)
            aimed = without(aimed, aside)

    async def _complaint(self, files: Files) -> str:
        missing = {name: "" for name in files.maps if self._folder.read(name) is None}
        await self._put({**missing, _CANDIDATE: files.config})
        return await trial.complaint(self._binary, self._folder.path / _CANDIDATE)

    async def _write(self, files: Files) -> None:
        config = {CONFIG: files.config} if files.config else {}  # there may be none yet that is good
        await self._put({**config, **files.maps})
        self._config = files.config

    async def _put(self, texts: dict[str, str]) -> None:
        try:
            await asyncio.to_thread(self._folder.write_all, texts)
        except OSError as error:
            raise Unavailable(f"HAProxy's folder cannot be written: {error.strerror}") from error
