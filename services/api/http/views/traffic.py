"""This file is how changes of traffic look on the wire: canaries with both their sides, and receipts of rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from services.api.http.shapes import Milliseconds, Number, VersionId, says
from services.api.http.views.models import Label, Share
from services.api.http.views.wire import Answer, milliseconds
from services.core import ids
from services.core.model import Canary, Model
from services.core.records import Rollout, RolloutKind, Traffic

Measured = Callable[[ids.VersionId], Traffic | None]


class Side(Answer, frozen=True, kw_only=True):
    """What one of two versions that share a label answered, as the routers measured it."""

    version_id: VersionId
    version_number: Number
    since: Annotated[Milliseconds | None, says("from when on, epoch milliseconds; null: nothing was measured yet")]
    requests: Annotated[int, says("calls it answered")]
    failures: Annotated[int, says("those of them that it answered with 5xx, or not at all")]
    mean_seconds: Annotated[float, says("mean time of a call until its answer began, seconds")]
    longest_seconds: Annotated[float, says("longest time of a call until its answer began, seconds")]


class CanaryView(Answer, frozen=True, kw_only=True):
    """A version that is tried on a share of a label's calls, beside the one that answers the others."""

    label: Label
    version_id: VersionId
    version_number: Number
    share: Share
    is_ready: Annotated[bool, says("whether it takes its share: until then the other version answers all")]
    sides: Annotated[list[Side], says("what answers the label now, then the candidate")]


class RolloutView(Answer, frozen=True, kw_only=True):
    """A receipt: what a switch or a restart cost the model's callers, as one router counted it."""

    id: Annotated[str, says("the same however often a router sends it")]
    kind: Annotated[RolloutKind, says("switch: a label moved; restart: a version's instances were replaced")]
    label: Annotated[str, says("latest or prod; empty with a restart")]
    version_id: Annotated[VersionId, says("the version that took over")]
    version_number: Annotated[int | None, says("its number")]
    replaced_version_id: Annotated[VersionId | None, says("what answered before; null: nothing did")]
    replaced_version_number: Annotated[int | None, says("its number; null: nothing answered before")]
    router_id: Annotated[str, says("the router that counted")]
    began: Annotated[Milliseconds, says("when the router knew of it, epoch milliseconds")]
    in_effect_seconds: Annotated[float, says("time until everything that routes followed it, seconds")]
    drain_seconds: Annotated[float, says("time until the last call on what was replaced had ended, seconds")]
    requests: Annotated[int, says("calls of the model that were answered meanwhile")]
    failures: Annotated[int, says("those of them that were answered with 5xx, or not at all")]
    longest_wait_seconds: Annotated[float, says("longest time of a call waiting for a free worker, seconds")]
    longest_call_seconds: Annotated[float, says("longest time of a call until its answer began, seconds")]
    instances: Annotated[list[str], says("ids of the instances that took over")]
    replaced_instances: Annotated[list[str], says("ids of the instances that were replaced")]
    is_complete: Annotated[bool, says("false: the router gave up waiting for the last call")]


def canary(state: Model, label: str, candidate: Canary, measured: Measured) -> CanaryView:
    """What answers the label now comes first, then the candidate."""
    version = state.version(candidate.version_id)
    beside = [state.version(state.labels[label])] if label in state.labels else []
    return CanaryView(
        label=label,
        version_id=version.id,
        version_number=version.number,
        share=candidate.share,
        is_ready=version.is_serving,
        sides=[_side(each.id, each.number, measured(each.id)) for each in (*beside, version)],
    )


def _side(version_id: ids.VersionId, number: int, measured: Traffic | None) -> Side:
    return Side(
        version_id=version_id,
        version_number=number,
        since=milliseconds(measured.since) if measured is not None else None,
        requests=measured.requests if measured is not None else 0,
        failures=measured.failures if measured is not None else 0,
        mean_seconds=measured.mean_s if measured is not None else 0.0,
        longest_seconds=measured.longest_s if measured is not None else 0.0,
    )


def rollout(state: Model, receipt: Rollout) -> RolloutView:
    return RolloutView(
        id=receipt.id,
        kind=receipt.kind,
        label=receipt.label,
        version_id=receipt.version_id,
        version_number=_number(state, receipt.version_id),
        replaced_version_id=receipt.replaced,
        replaced_version_number=_number(state, receipt.replaced),
        router_id=receipt.router_id,
        began=milliseconds(receipt.began_at),
        in_effect_seconds=receipt.in_effect_s,
        drain_seconds=receipt.drain_s,
        requests=receipt.requests,
        failures=receipt.failures,
        longest_wait_seconds=receipt.longest_wait_s,
        longest_call_seconds=receipt.longest_call_s,
        instances=list(receipt.instances),
        replaced_instances=list(receipt.replaced_instances),
        is_complete=receipt.is_complete,
    )


def _number(state: Model, version_id: ids.VersionId | None) -> int | None:
    return next((version.number for version in state.versions if version.id == version_id), None)
