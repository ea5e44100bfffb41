"""This file is what the bucket `builds` tells: which builds nobody wants any more, and which are still needed."""

from __future__ import annotations

import asyncio

from services.core.errors import Unavailable
from services.core.ids import VersionId
from services.core.records import Build
from services.kit.mirror import Mirror
from services.kit.process import Stop

LOOK_EVERY_S = 0.1  # at what the mirror has: a look costs nothing
LISTED_WITHIN_S = 10.0


class BusWishes:
    """See `builder.Wishes`. A build is given up by its tombstone; what merely vanished is unknown, and goes on."""

    def __init__(self, builds: Mirror[Build]) -> None:
        self._builds = builds

    async def known(self, stop: Stop) -> None:
        """Returns once the bucket was read, so that nothing cancelled before is begun; or after a bounded while."""
        waited_s = 0.0
        while not self._builds.has_listed and waited_s < LISTED_WITHIN_S and not await stop.wait_for(LOOK_EVERY_S):
            waited_s += LOOK_EVERY_S

    def is_given_up(self, version_id: VersionId) -> bool:
        return version_id in self._builds.removed

    async def given_up(self, version_id: VersionId) -> None:
        while not self.is_given_up(version_id):  # noqa: ASYNC110  (a mirror wakes one waiter, builds may be several)
            await asyncio.sleep(LOOK_EVERY_S)

    def needed(self) -> tuple[Build, ...]:
        """Every version that is being built, or whose build is needed. Raises `Unavailable` while that is not sure."""
        if not self._builds.is_whole:
            raise Unavailable("which builds are needed is not known yet")
        return tuple(self._builds.entries.values())
