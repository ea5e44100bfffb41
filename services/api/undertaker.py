"""This file sees to what dead api processes left under way in the database: nobody is to wait for it for a minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import structlog

from services.api.ports import ServiceSeen
from services.core.errors import TemporaryError
from services.kit.process import Stop

log = structlog.get_logger()

LOOK_EVERY_S = 3.0


class Sessions(Protocol):
    """Those of every process in the database. Every method raises `Unavailable`."""

    async def processes(self) -> set[str]:
        """Others than us that have any."""

    async def end(self, processes: Collection[str]) -> None: ...


class Beating(Protocol):
    """Which services are heard of on the bus."""

    def services(self) -> Sequence[ServiceSeen]: ...

    @property
    def is_bus_connected(self) -> bool: ...


class Undertaker:
    """Ends the sessions of processes that are not heard of any more. One that lives and was ended tries again."""

    def __init__(self, sessions: Sessions, beating: Beating, *, process: str) -> None:
        self._sessions = sessions
        self._beating = beating
        self._process = process

    async def run(self, stop: Stop) -> None:
        """Until `stop`."""
        while not await stop.wait_for(LOOK_EVERY_S):
            try:
                await self.look()
            except TemporaryError as error:
                log.debug("sessions_not_looked_at", reason=error.reason)

    async def look(self) -> None:
        """Silence counts only while we hear ourselves: else it is the bus that is silent. Raises `Unavailable`."""
        alive = {each.service_id for each in self._beating.services() if each.service == "api" and each.is_alive}
        if self._beating.is_bus_connected and self._process in alive:
            dead = await self._sessions.processes() - alive
            if dead:
                await self._sessions.end(dead)
