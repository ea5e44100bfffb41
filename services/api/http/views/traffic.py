"""This file is how changes of traffic look on the wire: canaries with both their sides, and receipts of rollouts."""

from __future__ import annotations

from collections.abc import Callable

from services.api.http.views.wire import View, milliseconds
from services.core.ids import VersionId
from services.core.model import Canary, Model
from services.core.records import Rollout, Traffic

Measured = Callable[[VersionId], Traffic | None]


def canary(state: Model, label: str, candidate: Canary, measured: Measured) -> View:
    """What answers the label now comes first, then the candidate."""
    version = state.version(candidate.version_id)
    beside = [state.version(state.labels[label])] if label in state.labels else []
    return {
        "label": label,
        "versionId": version.id,
        "versionNumber": version.number,
        "share": candidate.share,
        "isReady": version.is_serving,
        "sides": [
            {"versionId": each.id, "versionNumber": each.number, **_traffic(measured(each.id))}
            for each in (*beside, version)
        ],
    }


def _traffic(measured: Traffic | None) -> View:
    return {
        "since": milliseconds(measured.since) if measured is not None else None,
        "requests": measured.requests if measured is not None else 0,
        "failures": measured.failures if measured is not None else 0,
        "meanSeconds": measured.mean_s if measured is not None else 0.0,
        "longestSeconds": measured.longest_s if measured is not None else 0.0,
    }


def rollout(state: Model, receipt: Rollout) -> View:
    return {
        "id": receipt.id,
        "kind": receipt.kind,
        "label": receipt.label,
        "versionId": receipt.version_id,
        "versionNumber": _number(state, receipt.version_id),
        "replacedVersionId": receipt.replaced,
        "replacedVersionNumber": _number(state, receipt.replaced),
        "routerId": receipt.router_id,
        "began": milliseconds(receipt.began_at),
        "inEffectSeconds": receipt.in_effect_s,
        "drainSeconds": receipt.drain_s,
        "requests": receipt.requests,
        "failures": receipt.failures,
        "longestWaitSeconds": receipt.longest_wait_s,
        "longestCallSeconds": receipt.longest_call_s,
        "instances": list(receipt.instances),
        "replacedInstances": list(receipt.replaced_instances),
        "isComplete": receipt.is_complete,
    }


def _number(state: Model, version_id: VersionId | None) -> int | None:
    return next((version.number for version in state.versions if version.id == version_id), None)
