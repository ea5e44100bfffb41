"""This file is what changes of traffic cost, as routers measured it: receipts of rollouts, both sides of canaries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelway.models import model_path
from modelway.records import Json, instant
from modelway.transport import Transport


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What one switch or restart cost its callers, at one router. `number` took over from `replaced`."""

    id: str
    kind: str  # "switch" of a label, or "restart" of a version's instances
    label: str  # "" with a restart
    version_id: str
    number: int | None
    replaced: int | None
    began_at: datetime | None
    in_effect_s: float
    drain_s: float
    requests: int
    failures: int
    longest_wait_s: float
    longest_call_s: float
    instances: tuple[str, ...]
    replaced_instances: tuple[str, ...]
    is_complete: bool

    @classmethod
    def read(cls, answer: Json) -> Rollout:
        return cls(
            id=str(answer["id"]),
            kind=str(answer["kind"]),
            label=answer.get("label") or "",
            version_id=str(answer["versionId"]),
            number=answer.get("versionNumber"),
            replaced=answer.get("replacedVersionNumber"),
            began_at=instant(answer.get("began")),
            in_effect_s=float(answer["inEffectSeconds"]),
            drain_s=float(answer["drainSeconds"]),
            requests=int(answer["requests"]),
            failures=int(answer["failures"]),
            longest_wait_s=float(answer["longestWaitSeconds"]),
            longest_call_s=float(answer.get("longestCallSeconds") or 0.0),
            instances=tuple(answer.get("instances") or ()),
            replaced_instances=tuple(answer.get("replacedInstances") or ()),
            is_complete=bool(answer.get("isComplete", True)),
        )


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one of two versions that share a label has answered. Durations in seconds."""

    number: int | None
    version_id: str
    requests: int
    failures: int
    mean_s: float
    longest_s: float

    @classmethod
    def read(cls, answer: Json) -> Side:
        return cls(
            number=answer.get("versionNumber"),
            version_id=str(answer["versionId"]),
            requests=int(answer["requests"]),
            failures=int(answer["failures"]),
            mean_s=float(answer["meanSeconds"]),
            longest_s=float(answer["longestSeconds"]),
        )


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A version that answers `share` percent of a label's calls once it is ready."""

    label: str
    version_id: str
    number: int | None
    share: float
    is_ready: bool
    sides: tuple[Side, ...]

    @classmethod
    def read(cls, answer: Json) -> Canary:
        return cls(
            label=str(answer["label"]),
            version_id=str(answer["versionId"]),
            number=answer.get("versionNumber"),
            share=float(answer["share"]),
            is_ready=bool(answer.get("isReady")),
            sides=tuple(Side.read(each) for each in answer.get("sides") or ()),
        )


def list_rollouts(transport: Transport, model_id: str) -> list[Rollout]:
    """The last receipts there are, newest first."""
    return transport.get(f"{model_path(model_id)}/rollouts", lambda answer: [Rollout.read(each) for each in answer])


def list_canaries(transport: Transport, model_id: str) -> list[Canary]:
    return transport.get(f"{model_path(model_id)}/canaries", lambda answer: [Canary.read(each) for each in answer])
