"""This file is watching one version until it is where it should be, or will not get there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from modelway.errors import GaveUp, TemporaryFailure, VersionFailed
from modelway.logs import Log
from modelway.models import read_version
from modelway.patience import poll_s
from modelway.progress import BuildLogged, OnProgress, StatusChanged
from modelway.records import LogKind, Model, Status, Version
from modelway.transport import SERVING, Transport

_ROUTED_WITHIN_S = 30.0
_TAIL_LINES = 20
_AFTER_BUILD = {Status.STARTING, Status.RUNNING, Status.STALLED, Status.UNREACHABLE}


_Judgement = Callable[[Version], bool]


@dataclass(frozen=True, kw_only=True)
class Followed:
    """The version being followed, over a transport whose patience is the deadline."""

    transport: Transport
    model: Model
    version_id: str
    on_progress: OnProgress
    tells_build: bool = False  # the lines of its build log are progress, too
    began: float = field(default_factory=time.monotonic)  # when what is waited for was asked


def follow_up(followed: Followed) -> Version:
    """The version once it runs. Raises VersionFailed when waiting is in vain, GaveUp when time is over."""
    return _follow(followed, is_running, is_lost)


def follow_down(followed: Followed) -> Version:
    """The version once nothing of it runs. Raises GaveUp when time is over."""
    return _follow(followed, is_stopped, lambda _: False)


def follow_build(followed: Followed) -> Version:
    """The version once it is built, and not to run yet. Raises VersionFailed, and GaveUp when time is over."""
    return _follow(followed, is_stopped_and_built, is_stopped)


def _follow(followed: Followed, is_there: _Judgement, is_lost: _Judgement) -> Version:
    began = followed.began
    log = _log(followed, LogKind.BUILD)
    was_building = followed.tells_build
    has_started = False
    shown = ""
    while True:
        version = read_version(followed.transport, followed.model.id, followed.version_id)
        if was_building:
            # Asked after the status: once the build is seen to be over, its log is whole.
            was_building = version.status in {Status.PREPARING, Status.BUILDING}
            for line in log.more() if was_building else log.rest():
                followed.on_progress(BuildLogged(line=line))
        now = f"{version.status} {version.instances_ready} {version.instances_wanted} {version.reason}"
        if now != shown:
            shown = now
            followed.on_progress(_status_changed(version, time.monotonic() - began))
        has_started = has_started or version.status in _AFTER_BUILD
        if is_there(version):
            return version
        if is_lost(version):
            raise failure_of(followed, version, has_started=has_started)
        allowed_s = followed.transport.patience.allowed_s
        over = GaveUp(f"{name_of(followed, version)} is still {version.status!r} after {allowed_s:g} s.")
        followed.transport.patience.pause(poll_s(time.monotonic() - began), over)


def is_running(version: Version) -> bool:
    return version.status == Status.RUNNING and not version.is_pending


def is_stopped(version: Version) -> bool:
    """At rest: nothing of it runs."""
    resting = {Status.STOPPED, Status.FAILED, Status.READY_TO_RUN}
    return version.status in resting and not version.is_pending


def is_stopped_and_built(version: Version) -> bool:
    return is_stopped(version) and version.status != Status.FAILED


def is_lost(version: Version) -> bool:
    """Waiting is in vain. A stalled version may still come up, but its owner should look at it now."""
    return is_stopped(version) or version.status == Status.STALLED


def failure_of(followed: Followed, version: Version, *, has_started: bool) -> VersionFailed:
    """Why the version does not run, with the end of the log that says so."""
    kind, tail = _telling_log(followed, has_started=has_started)
    stopped = "was stopped before it ran"
    verbs: dict[str, str] = {Status.STALLED: "has stalled", Status.STOPPED: stopped, Status.READY_TO_RUN: stopped}
    verb = verbs.get(version.status, "failed")
    reason = version.reason.rstrip(".") or "the platform gave no reason"
    return VersionFailed(f"{name_of(followed, version)} {verb}: {reason}.", log_kind=kind, log_tail=tail)


def await_route(followed: Followed) -> None:
    """Wait until `latest` points to the version and the router knows the endpoint, for a bounded while.

    It asks without a token: the router itself answers (404: not yet, else: known) and calls no function.
    """
    until = time.monotonic() + _ROUTED_WITHIN_S
    path = f"{SERVING}/modelApis/{followed.model.id}"
    while True:
        model = followed.transport.get(path, Model.read)
        is_latest = model.active is not None and model.active.id == followed.version_id
        if is_latest and (not model.is_restricted or _is_known(followed, model)):
            return
        fault = "does not answer for it" if is_latest else "leads to another version"
        over = GaveUp(f"The new version of {model.name} runs, but its endpoint {fault}.")
        if time.monotonic() > until:
            raise over
        followed.transport.patience.pause(poll_s(0), over)


def _is_known(followed: Followed, model: Model) -> bool:
    try:
        response = followed.transport.send("POST", endpoint_of(followed.transport, model), json={"parameters": []})
    except TemporaryFailure:
        return False
    return response.status_code != 404


def endpoint_of(transport: Transport, model: Model, label: str = "latest") -> str:
    """The URL that callers of the model API use."""
    latest = model.endpoint or f"{transport.configuration.url}/models/{model.id}/latest/model"
    return latest if label == "latest" else f"{latest.removesuffix('/latest/model')}/labels/{label}/model"


def _telling_log(followed: Followed, *, has_started: bool) -> tuple[LogKind, tuple[str, ...]]:
    """The build's log, unless the build went well; then the instances', or else the deployment's."""
    instances, deployment = (_tail(followed, kind) for kind in (LogKind.INSTANCE, LogKind.DEPLOYMENT))
    # A start that fails between two looks shows only in what it wrote: a version that was not built writes nothing.
    if not (has_started or instances or deployment):
        return LogKind.BUILD, _tail(followed, LogKind.BUILD)
    return (LogKind.INSTANCE, instances) if instances else (LogKind.DEPLOYMENT, deployment)


def _tail(followed: Followed, kind: LogKind) -> tuple[str, ...]:
    return tuple(line.text for line in _log(followed, kind).tail(_TAIL_LINES))


def _log(followed: Followed, kind: LogKind) -> Log:
    return Log(followed.transport, followed.model.id, followed.version_id, kind)


def name_of(followed: Followed, version: Version) -> str:
    return f"Version {version.number} of {followed.model.name}"


def _status_changed(version: Version, elapsed_s: float) -> StatusChanged:
    return StatusChanged(
        status=version.status,
        instances_ready=version.instances_ready,
        instances_wanted=version.instances_wanted,
        reason=version.reason,
        elapsed_s=elapsed_s,
    )
