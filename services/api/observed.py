"""This file is api's view of what is observed: live copies of the observed buckets, and logs read back from the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from services.api.ports import ServiceSeen
from services.core import observation
from services.core.draining import Routers
from services.core.ids import InstanceId, VersionId
from services.core.lifecycle import Seen, Version
from services.core.measured import combined
from services.core.records import Health, Heartbeat, Placement, RouterReport, Traffic
from services.core.subjects import Bucket
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.mirror import Mirror
from services.kit.process import Stop
from services.kit.read_log import PlacedLine, read_end, read_log
from services.kit.wake import Wake

SILENT_AFTER = timedelta(seconds=10)


class BusObserved:
    """See `ports.Observed`. `wake` rings whenever a placement or a health verdict changes."""

    def __init__(self, bus: Bus, wake: Wake) -> None:
        self._bus = bus
        self._by_version: Mapping[VersionId, Placement] = {}
        self._by_version_at = 0  # the mirror's `changes` by then
        self._placements = Mirror(bus.bucket(Bucket.PLACEMENTS, Placement), wake=wake)
        self._health = Mirror(bus.bucket(Bucket.HEALTH, Health), wake=wake)
        self._routers = Mirror(bus.bucket(Bucket.ROUTERS, RouterReport))
        self._heartbeats = Mirror(bus.bucket(Bucket.HEARTBEATS, Heartbeat), forget_absent=True)

    async def run(self, stop: Stop) -> None:
        """Keeps the copies live until `stop`."""
        mirrors = (self._placements, self._health, self._routers, self._heartbeats)
        await asyncio.gather(*(mirror.run(stop) for mirror in mirrors))

    def placements(self) -> Mapping[VersionId, Placement]:
        """By version. A list of models asks once for each: they are put in order once for each change."""
        if self._by_version_at != self._placements.changes:
            self._by_version = {placement.version_id: placement for placement in self._placements.entries.values()}
            self._by_version_at = self._placements.changes
        return self._by_version

    def health(self) -> Mapping[InstanceId, Health]:
        return cast("Mapping[InstanceId, Health]", self._health.entries)  # an entry's key is the instance's id

    def seen(self, version: Version) -> Seen:
        placement = self.placements().get(version.id)
        is_fresh = placement is None or self._beats("deployer")
        return observation.seen(version, placement, self.health(), self._live_routers(), is_fresh=is_fresh)

    def traffic(self, version_id: VersionId) -> Traffic | None:
        return combined(report.traffic[version_id] for report in self._live_routers() if version_id in report.traffic)

    def routers(self) -> Routers | None:
        """None while it is not known which routers live: the bus is away, or does not even tell of ourselves."""
        fresh = [beat for beat in self._heartbeats.entries.values() if self._is_fresh(beat)]
        if not self._bus.is_connected or not any(beat.service == "api" for beat in fresh):
            return None
        live = frozenset(beat.service_id for beat in fresh if beat.service == "router")
        return Routers(reports={report.router_id: report for report in self._routers.entries.values()}, live=live)

    def _live_routers(self) -> list[RouterReport]:
        live = {beat.service_id for beat in self._heartbeats.entries.values() if beat.service == "router"}
        return [report for report in self._routers.entries.values() if report.router_id in live]

    def services(self) -> Sequence[ServiceSeen]:
        beats = sorted(self._heartbeats.entries.values(), key=lambda beat: (beat.service, beat.service_id))
        return [
            ServiceSeen(
                service=beat.service,
                service_id=beat.service_id,
                last_seen_at=beat.at,
                started_at=beat.started_at,
                is_alive=self._is_fresh(beat),
            )
            for beat in beats
        ]

    def rejected_configurations(self) -> Mapping[str, str]:
        return {report.router_id: report.rejected for report in self._routers.entries.values() if report.rejected}

    @property
    def is_bus_connected(self) -> bool:
        return self._bus.is_connected

    async def read_log(self, subject: str, *, limit: int, after_ns: int) -> list[PlacedLine]:
        return await read_log(self._bus, subject, limit=limit, after_ns=after_ns)

    async def read_end(self, subject: str, *, limit: int, after_ns: int) -> list[PlacedLine]:
        return await read_end(self._bus, subject, limit=limit, after_ns=after_ns)

    def _beats(self, service: str) -> bool:
        """Silence counts only while we hear ourselves: else it is the bus that is silent."""
        alive = {beat.service for beat in self._heartbeats.entries.values() if self._is_fresh(beat)}
        return service in alive or "api" not in alive

    def _is_fresh(self, beat: Heartbeat) -> bool:
        return now() - beat.at < SILENT_AFTER
