"""This file is waiting until an order is carried out: versions whole, labels moved, receipts there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from modelway.errors import GaveUp, VersionFailed
from modelway.following import Followed, failure_of, is_lost, is_stopped, name_of
from modelway.models import model_path, read_version
from modelway.patience import Patience, poll_s
from modelway.progress import OnProgress, PlatformAwaited, StatusChanged
from modelway.records import Model, Status, Version
from modelway.rollouts import Rollout, list_rollouts
from modelway.transport import Transport

RECEIPT_S = 10.0
"""A receipt comes once the last call on what was replaced has ended: it is waited for this long at most."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What an order came to: the model API, the versions it was about, the label that moved if one did.

    `is_done` False: it was not waited for. `rollouts` are what it cost the callers, as routers have measured it by now.
    """

    model: Model
    versions: tuple[Version, ...] = ()
    label: str = ""
    rollouts: tuple[Rollout, ...] = ()
    is_done: bool = True


@dataclass(frozen=True, kw_only=True)
class Look:
    """The model API and those of its versions that are looked after, as they are now."""

    model: Model
    versions: tuple[Version, ...]

    def leads(self, label: str, version_id: str) -> bool:
        """The label leads to the version, which is whole."""
        return self.model.labels.get(label) == version_id and all(
            is_whole(each) for each in self.versions if each.id == version_id
        )

    @property
    def are_whole(self) -> bool:
        return all(is_whole(each) for each in self.versions)


@dataclass(kw_only=True)
class Awaited:
    """Looks again and again. Made before the order is given, so that it knows which receipts are old."""

    transport: Transport
    model: Model
    on_progress: OnProgress
    _old: frozenset[str] = field(init=False)
    _shown: dict[str, str] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._old = frozenset(each.id for each in list_rollouts(self.transport, self.model.id))

    @classmethod
    def within(cls, transport: Transport, model: Model, timeout_s: float | None, on_progress: OnProgress) -> Awaited:
        """Patient for `timeout_s`; None: just one try for each request."""
        patience = Patience(timeout_s or 0.0, lambda failure: on_progress(PlatformAwaited(reason=failure.reason)))
        return cls(transport=transport.patient(patience), model=model, on_progress=on_progress)

    def until(self, is_there: Callable[[Look], bool], version_ids: Iterable[str], *, what: str) -> Look:
        """The first look at which `is_there`. Raises VersionFailed when a version will not get there, and GaveUp."""
        wanted = tuple(version_ids)
        while True:
            look = self.look(wanted)
            if is_there(look):
                return look
            for version in look.versions:
                if is_lost(version):
                    raise self.failure(version)
            over = GaveUp(f"{self.model.name}: {what} after {self.transport.patience.allowed_s:g} s.")
            self.transport.patience.pause(poll_s(self.elapsed_s), over)

    def until_at_rest(self, version_ids: Iterable[str]) -> Look:
        """The first look at which nothing of the versions runs. Raises GaveUp."""
        wanted = tuple(version_ids)
        while True:
            look = self.look(wanted)
            if all(is_stopped(each) for each in look.versions):
                return look
            over = GaveUp(f"{self.model.name} still runs after {self.transport.patience.allowed_s:g} s.")
            self.transport.patience.pause(poll_s(self.elapsed_s), over)

    def look(self, version_ids: Iterable[str]) -> Look:
        model = self.transport.get(model_path(self.model.id), Model.read)
        versions = tuple(read_version(self.transport, model.id, each) for each in version_ids)
        for version in versions:
            self._tell(version)
        return Look(model=model, versions=versions)

    def receipts(self, is_wanted: Callable[[Rollout], bool]) -> tuple[Rollout, ...]:
        """What has been measured since the order, newest first; empty when nothing came for a while."""
        until = time.monotonic() + min(RECEIPT_S, self.transport.patience.left_s)
        while True:
            new = [each for each in list_rollouts(self.transport, self.model.id) if each.id not in self._old]
            found = tuple(each for each in new if is_wanted(each))
            if found or time.monotonic() >= until:
                return found
            self.transport.patience.pause(poll_s(0), GaveUp(f"{self.model.name} has no receipt yet."))

    def failure(self, version: Version) -> VersionFailed:
        """Why the version does not come up, with the end of the log that says so."""
        return failure_of(self._followed(version), version, has_started=True)

    def failed_restart(self, version: Version) -> VersionFailed:
        """Its new instances did not become ready: those of before serve on."""
        failed = self.failure(version)
        reason = f"{name_of(self._followed(version), version)} runs on as it was: {version.reason.rstrip('.')}."
        return VersionFailed(reason, log_kind=failed.log_kind, log_tail=failed.log_tail)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def _followed(self, version: Version) -> Followed:
        return Followed(transport=self.transport, model=self.model, version_id=version.id, on_progress=self.on_progress)

    def _tell(self, version: Version) -> None:
        now = f"{version.status} {version.instances_ready} {version.instances_wanted} {version.reason}"
        if self._shown.get(version.id) != now:
            self._shown[version.id] = now
            self.on_progress(
                StatusChanged(
                    status=version.status,
                    instances_ready=version.instances_ready,
                    instances_wanted=version.instances_wanted,
                    reason=version.reason,
                    elapsed_s=self.elapsed_s,
                    number=version.number,
                )
            )


def is_whole(version: Version) -> bool:
    """It runs with just the instances it should have."""
    is_at_rest = version.status == Status.RUNNING and not version.is_pending
    return is_at_rest and version.instances_ready == version.instances_wanted


def is_up(version: Version) -> bool:
    """Something of it runs, or is meant to."""
    return version.status in {Status.STARTING, Status.RUNNING, Status.STALLED, Status.UNREACHABLE}


def is_serving(version: Version) -> bool:
    """It was whole once, and is meant to run on."""
    return version.status in {Status.RUNNING, Status.UNREACHABLE}
