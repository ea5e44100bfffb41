"""This file is what the SDK can do with a model API's instances: set them, scale them, restart, start and stop them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from modelway import models, orders
from modelway.awaiting import Awaited, Moved, is_serving, is_up
from modelway.following import Followed, follow_down, follow_up
from modelway.patience import DEFAULT_TIMEOUT_S, Patience
from modelway.progress import OnProgress, PlatformAwaited, ignore
from modelway.records import Json, Model, Version
from modelway.rollouts import Rollout
from modelway.settings import Settings, change_settings, read_settings
from modelway.transport import Transport


class Running:
    """Orders of a `Client`. Those that move something wait until it is done, unless `timeout_s` is None.

    They raise GaveUp when the time is over, and VersionFailed when a version does not come up; what served, serves on.
    """

    _transport: Transport

    def start(
        self,
        name: str,
        number: int | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Version:
        """Start a version, by default the active one, and wait until it runs.

        It does not wait when `timeout_s` is None. Raises VersionFailed when the version does not come up.
        """
        return self._move(name, number, timeout_s, on_progress, is_start=True)

    def stop(
        self,
        name: str,
        number: int | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Version:
        """Stop a version, by default the active one, and wait until nothing of it runs, as `start` does."""
        return self._move(name, number, timeout_s, on_progress, is_start=False)

    def restart(
        self,
        name: str,
        number: int | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """New instances, one at a time, for a version, by default the active one."""
        model = models.read_model(self._transport, name)
        version = models.active_version(self._transport, model, number)
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        restarted = orders.restart(awaited.transport, model.id, version.id)
        if timeout_s is None:
            return Moved(model=model, versions=(restarted,), is_done=False)
        return self._await_whole(awaited, [version.id], (version.id,))

    def settings(self, name: str) -> Settings:
        return read_settings(self._transport, models.read_model(self._transport, name).id)

    def change_settings(
        self,
        name: str,
        changes: Mapping[str, Json],
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
        on_change: Callable[[Settings], None] = lambda _: None,
    ) -> tuple[Settings, Moved]:
        """Change what `changes` names, under the platform's names. `on_change` hears at once which versions restart."""
        model = models.read_model(self._transport, name)
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        running = [each.id for each in models.list_versions(self._transport, model.id) if is_serving(each)]
        settings = change_settings(awaited.transport, model.id, changes)
        on_change(settings)
        if timeout_s is None:
            return settings, Moved(model=model, is_done=False)
        return settings, self._await_whole(awaited, running, settings.restarted)

    def scale(
        self,
        name: str,
        instances: int,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """Each running version has `instances` instances from now on, however busy it is."""
        changes = {"replicas": instances, "scaling": None}
        return self.change_settings(name, changes, timeout_s=timeout_s, on_progress=on_progress)[1]

    def scale_between(
        self,
        name: str,
        low: int,
        high: int,
        target: float,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """As many instances, within bounds, as leave about `target` calls in flight or waiting for each."""
        scaling = {"minReplicas": low, "maxReplicas": high, "targetCalls": target}
        return self.change_settings(name, {"scaling": scaling}, timeout_s=timeout_s, on_progress=on_progress)[1]

    def archive(
        self, name: str, *, timeout_s: float | None = DEFAULT_TIMEOUT_S, on_progress: OnProgress = ignore
    ) -> Moved:
        """The model API is not there any more, and nothing of it runs. `restore` brings it back."""
        model = models.read_model(self._transport, name)
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        running = [each.id for each in models.list_versions(self._transport, model.id) if is_up(each)]
        orders.archive(awaited.transport, model.id)
        if timeout_s is None:
            return Moved(model=model, is_done=False)
        look = awaited.until_at_rest(running)
        return Moved(model=look.model, versions=look.versions)

    def restore(self, name: str) -> Model:
        """An archived model API is there again, as it was; its versions rest until they are started."""
        return orders.restore(self._transport, models.read_archived(self._transport, name).id)

    def _move(
        self,
        name: str,
        number: int | None,
        timeout_s: float | None,
        on_progress: OnProgress,
        *,
        is_start: bool,
    ) -> Version:
        model = models.read_model(self._transport, name)
        version = models.active_version(self._transport, model, number)
        began = time.monotonic()  # giving the order takes a while itself
        moved = models.set_running(self._transport, model.id, version.id, is_running=is_start)
        if timeout_s is None:
            return moved
        patience = Patience(timeout_s, lambda failure: on_progress(PlatformAwaited(reason=failure.reason)))
        transport = self._transport.patient(patience)
        followed = Followed(
            transport=transport, model=model, version_id=version.id, on_progress=on_progress, began=began
        )
        return follow_up(followed) if is_start else follow_down(followed)

    def _await_whole(self, awaited: Awaited, running: list[str], restarted: tuple[str, ...]) -> Moved:
        look = awaited.until(lambda look: look.are_whole, running, what="not every instance is there")
        for version in look.versions:
            if version.id in restarted and version.reason:
                raise awaited.failed_restart(version)
        measured: list[Rollout] = []
        for version_id in restarted:
            measured += awaited.receipts(partial(_is_restart, version_id))
        return Moved(model=look.model, versions=look.versions, rollouts=tuple(measured))


def _is_restart(version_id: str, rollout: Rollout) -> bool:
    return (rollout.kind, rollout.version_id) == ("restart", version_id)
