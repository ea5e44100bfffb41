"""This file is the scaler: it counts the calls of models that scale, every second, and has their instances follow.

Which models do is read from the database now and then, and heard of our own changes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from services.api.copied import Copied
from services.api.ports import Ledger
from services.api.recorder import service_actor
from services.core.aggregates import MODEL, State
from services.core.commands import ScaleInstances
from services.core.draining import Routers
from services.core.errors import ModelwayError, TemporaryError
from services.core.ids import AggregateId, VersionId
from services.core.model import Model
from services.core.records import Placement
from services.core.scaling import Patience, Sample, calls_of, remembered, scaled
from services.kit.process import Stop

log = structlog.get_logger()

SAMPLE_S = 1.0
SWEEP_S = 10.0
GONE_S = 600.0  # a router that was silent so long does not come back, and keeps nothing from scaling down


class Watched(Protocol):
    """What is observed of routers and instances."""

    def routers(self) -> Routers | None:
        """None while it is not known which routers live."""

    def placements(self) -> Mapping[VersionId, Placement]: ...


class Models(Protocol):
    """Where models are stored."""

    async def scaling_models(self) -> list[Model]:
        """Those whose number of instances follows how busy they are. Raises `Unavailable`."""


class Scaler:
    """Scales the models that ask for it."""

    def __init__(
        self,
        ledger: Ledger,
        models: Models,
        watched: Watched,
        *,
        patience: Patience,
        clock: Callable[[], float],
        sample_s: float = SAMPLE_S,
    ) -> None:
        self._ledger = ledger
        self._watched = watched
        self._patience = patience
        self._clock = clock
        self._sample_s = sample_s
        self._scaling = Copied(models.scaling_models)
        self._samples: dict[AggregateId, tuple[Sample, ...]] = {}
        self._silent_since: dict[str, float] = {}  # routers whose HAProxy may serve on without being heard
        self._sweep_at = 0.0

    def changed(self, state: State) -> None:
        """Hear of the state after a change that this process stored."""
        self._scaling.changed(state)

    async def run(self, stop: Stop) -> None:
        """Until `stop`. While the database is away nothing scales."""
        is_away = False
        while not await stop.wait_for(self._sample_s):
            try:
                await self._look()
                is_away = False
            except TemporaryError as error:
                if not is_away:
                    log.warning("scaler_waits", reason=error.reason)
                is_away = True

    async def _look(self) -> None:
        if self._clock() >= self._sweep_at:
            await self._sweep()
            self._sweep_at = self._clock() + SWEEP_S
        models = [model for model in self._scaling.models.values() if _scales(model)]
        self._sample(models)
        for model in models:
            await self._scale(model)

    async def _sweep(self) -> None:
        await self._scaling.sweep()
        scaling = {model_id for model_id, model in self._scaling.models.items() if _scales(model)}
        self._samples = {model_id: kept for model_id, kept in self._samples.items() if model_id in scaling}

    def _sample(self, models: Iterable[Model]) -> None:
        """What is not known leaves a gap."""
        routers = self._watched.routers()
        if routers is None:
            return
        at_s, placements = self._clock(), self._watched.placements()
        reports = [report for name, report in routers.reports.items() if name in routers.live]
        is_whole = self._is_whole(routers, at_s)
        for model in models:
            running = (version.id for version in model.versions if version.is_wanted)
            sample = Sample(at_s=at_s, calls=calls_of(running, reports, placements), is_whole=is_whole)
            self._samples[model.id] = remembered(self._samples.get(model.id, ()), sample, self._patience)

    def _is_whole(self, routers: Routers, at_s: float) -> bool:
        silent = routers.reports.keys() - routers.live
        self._silent_since = {each: self._silent_since.get(each, at_s) for each in silent}
        has_all = routers.live <= routers.reports.keys()
        return has_all and all(at_s - since_s > GONE_S for since_s in self._silent_since.values())

    async def _scale(self, model: Model) -> None:
        samples, scaling = self._samples.get(model.id, ()), model.settings.scaling
        if scaling is None or not samples or self._clock() - samples[-1].at_s > self._patience.gap_s:
            return
        change = scaled(samples, scaling, current=model.instances, patience=self._patience)
        if change is None:
            return
        command = ScaleInstances(instances=change.instances, reason=change.reason)
        try:
            after = await self._ledger.execute(MODEL, model.id, command, actor=service_actor("api"))
        except TemporaryError:
            raise
        except ModelwayError as error:
            log.exception("model_not_scaled", model=model.id, reason=error.reason)
            return
        self.changed(after)  # also when another api was first, and nothing was stored
        log.info("model_scaled", model=model.id, instances=change.instances, reason=change.reason)


def _scales(model: Model) -> bool:
    is_running = any(version.is_wanted for version in model.versions)
    return model.settings.scaling is not None and not model.is_archived and is_running
