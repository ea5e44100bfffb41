"""This file is the collector: what is left on this machine of versions that are gone is taken away, now and then."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Protocol

from services.core.collection import Collected, unused_since
from services.core.errors import Unavailable
from services.core.ids import InstanceId, VersionId
from services.core.ports import Runtime
from services.core.records import Desired
from services.core.subjects import version_key
from services.kit.collecting import keep_collecting
from services.kit.mirror import Mirror
from services.kit.process import Stop


class Leftovers(Protocol):
    """What a runtime keeps beside its instances."""

    async def collect(
        self, versions: Collection[VersionId], instances: Collection[InstanceId], *, unused_since: datetime
    ) -> Collected:
        """Take away what is of none of these and was not used since. Raises `Unavailable`."""


class Collector:
    """Takes away what belongs to no version that is desired here and to no instance, and was not used for `grace_s`."""

    def __init__(
        self,
        deployer_id: str,
        *,
        desired: Mirror[Desired],
        runtime: Runtime,
        leftovers: Leftovers,
        clock: Callable[[], datetime],
        grace_s: float,
    ) -> None:
        self._prefix = version_key(deployer_id, VersionId(""))
        self._desired = desired
        self._runtime = runtime
        self._leftovers = leftovers
        self._clock = clock
        self._grace_s = grace_s

    async def run(self, stop: Stop, *, every_s: float) -> None:
        """Until `stop`."""
        await keep_collecting(self.collect, stop, what="leftovers", every_s=every_s)

    async def collect(self) -> Collected:
        """One look at everything. Raises `Unavailable` while it is not known what is desired, or what runs."""
        since = unused_since(self._clock(), grace_s=self._grace_s)
        if not self._desired.is_whole:
            raise Unavailable("what is desired is not known yet")
        observed = await self._runtime.observe()
        mine = (key for key in self._desired.entries if key.startswith(self._prefix))
        versions = {VersionId(key.removeprefix(self._prefix)) for key in mine} | {each.version_id for each in observed}
        return await self._leftovers.collect(versions, {each.instance_id for each in observed}, unused_since=since)
