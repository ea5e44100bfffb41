"""This file is what the SDK can do with a model API's calls: say which version answers them, and see what that cost."""

from __future__ import annotations

from modelway import models, orders
from modelway.awaiting import Awaited, Look, Moved, is_up
from modelway.errors import NotFound, Rejected
from modelway.patience import DEFAULT_TIMEOUT_S
from modelway.progress import OnProgress, ignore
from modelway.records import Model
from modelway.rollouts import Canary, Rollout, list_canaries, list_rollouts
from modelway.transport import Transport

LATEST, PROD = "latest", "prod"


class Traffic:
    """Orders of a `Client`, which wait and raise as those of `modelway.running.Running` do."""

    _transport: Transport

    def promote(
        self,
        name: str,
        number: int | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """`prod` leads to a version, by default the one that `latest` leads to; started first if it does not run."""
        model = models.read_model(self._transport, name)
        version = models.active_version(self._transport, model, number)
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        promoted = orders.set_production(awaited.transport, model.id, version.id, is_prod=True)
        if timeout_s is None:
            return Moved(model=model, versions=(promoted,), is_done=False)
        return self._await_label(awaited, PROD, version.id)

    def demote(
        self, name: str, *, timeout_s: float | None = DEFAULT_TIMEOUT_S, on_progress: OnProgress = ignore
    ) -> Moved:
        """`prod` leads nowhere any more; a version that nothing else leads to is stopped."""
        model = models.read_model(self._transport, name)
        version_id = model.labels.get(PROD)
        if version_id is None:
            raise Rejected(f"prod of {model.name} leads to no version.")
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        demoted = orders.set_production(awaited.transport, model.id, version_id, is_prod=False)
        if timeout_s is None:
            return Moved(model=model, versions=(demoted,), is_done=False)
        if version_id in {each for label, each in model.labels.items() if label != PROD} or demoted.labels:
            look = awaited.until(lambda look: PROD not in look.model.labels, (), what="prod still leads to a version")
            return Moved(model=look.model, versions=(demoted,))
        look = awaited.until_at_rest((version_id,))
        return Moved(model=look.model, versions=look.versions)

    def roll_back(
        self,
        name: str,
        label: str | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """A label leads to the version it led to before; None: prod where that leads anywhere, else latest."""
        model = models.read_model(self._transport, name)
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        ordered = orders.roll_back(awaited.transport, model.id, label)
        if timeout_s is None:
            return Moved(model=ordered, is_done=False)

        def moved(now: Model) -> dict[str, str]:
            new = now.labels.items() - model.labels.items()
            return {each: version_id for each, version_id in new if label in {None, each}}

        coming = None if moved(ordered) else self._coming(awaited.transport, ordered)
        what = f"{label or 'its label'} has not gone back"
        look = awaited.until(lambda look: bool(moved(look.model)), filter(None, [coming]), what=what)
        return self._await_label(awaited, *min(moved(look.model).items(), key=lambda pair: pair[0] != PROD))

    def rollouts(self, name: str) -> list[Rollout]:
        """What the last changes of traffic cost their callers, newest first."""
        return list_rollouts(self._transport, models.read_model(self._transport, name).id)

    def canaries(self, name: str) -> list[Canary]:
        return list_canaries(self._transport, models.read_model(self._transport, name).id)

    def canary(
        self,
        name: str,
        share: float,
        number: int | None = None,
        *,
        label: str | None = None,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """`share` percent of a label's calls go to a version: by default the canary there is, else the newest one."""
        model = models.read_model(self._transport, name)
        there = self._canary(model, label)
        chosen = label or (there.label if there else main_label(model))
        if number is None and there is not None:
            version_id = there.version_id
        else:
            version_id = models.pick_version(self._transport, model, number).id
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        ordered = orders.set_canary(awaited.transport, model.id, chosen, version_id, share)
        if timeout_s is None:
            return Moved(model=ordered, is_done=False)

        def is_there(_: Look) -> bool:
            found = list_canaries(awaited.transport, model.id)
            return any(each.version_id == version_id and each.is_ready for each in found if each.label == chosen)

        look = awaited.until(is_there, [version_id], what=f"the canary of {chosen} is not ready")
        return Moved(model=look.model, versions=look.versions, label=chosen)

    def complete_canary(
        self,
        name: str,
        label: str | None = None,
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_progress: OnProgress = ignore,
    ) -> Moved:
        """All calls of the label go to its canary."""
        model = models.read_model(self._transport, name)
        there = self._the_canary(model, label)
        awaited = Awaited.within(self._transport, model, timeout_s, on_progress)
        ordered = orders.complete_canary(awaited.transport, model.id, there.label)
        if timeout_s is None:
            return Moved(model=ordered, is_done=False)
        return self._await_label(awaited, there.label, there.version_id)

    def withdraw_canary(self, name: str, label: str | None = None) -> Moved:
        """No call of the label goes to its canary any more; one that nothing else leads to is stopped."""
        model = models.read_model(self._transport, name)
        there = self._the_canary(model, label)
        return Moved(model=orders.withdraw_canary(self._transport, model.id, there.label), label=there.label)

    def _await_label(self, awaited: Awaited, label: str, version_id: str) -> Moved:
        what = f"{label} does not lead to the version"
        look = awaited.until(lambda look: look.leads(label, version_id), [version_id], what=what)
        if awaited.model.labels.get(label) == version_id:
            return Moved(model=look.model, versions=look.versions, label=label)
        measured = awaited.receipts(lambda each: (each.label, each.version_id) == (label, version_id))
        return Moved(model=look.model, versions=look.versions, label=label, rollouts=measured)

    def _coming(self, transport: Transport, model: Model) -> str | None:
        """A version that is on its way up and has no label yet."""
        coming = [each for each in models.list_versions(transport, model.id) if is_up(each) and each.is_pending]
        return next((each.id for each in coming if not each.labels), None)

    def _canary(self, model: Model, label: str | None) -> Canary | None:
        there = [each for each in list_canaries(self._transport, model.id) if label in {None, each.label}]
        return there[0] if len(there) == 1 else None

    def _the_canary(self, model: Model, label: str | None) -> Canary:
        there = self._canary(model, label)
        if there is None:
            raise NotFound(f"{model.name} has no canary{f' of {label}' if label else ''}, or several: name a label.")
        return there


def main_label(model: Model) -> str:
    """The label that its users call: prod where that leads anywhere, else latest."""
    return PROD if model.routing_mode == "advanced" and PROD in model.labels else LATEST
