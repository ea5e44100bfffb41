"""This file decides what a rollout cost its callers: from when a router knows of it until what it replaced is idle.

A switch begins when a label of a known route leads to another version. It is over when every worker of HAProxy that
decides leads the label there, and none has a call on the version it led to before; a version that another label still
leads to is not waited for: nothing of it goes.
A restart begins when the first instance of a new generation stands beside older ones. It is over when every worker has
closed the older ones, and none has a call on them.

Who was not there when it began measures nothing: a router that was restarted in the middle sends no receipt. That of a
switch that is overtaken by the next, or waited for in vain, says that it is not complete; a restart that came to
nothing has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.core import effective
from services.core.deadlines import derive
from services.core.effective import Worker
from services.core.ids import AggregateId, InstanceId, VersionId, is_bus_token
from services.core.known import Known, current_placements
from services.core.progress import generation_of
from services.core.records import Instance, InstancePhase, Placement, PlacementPhase, Rollout, RolloutKind, Route
from services.core.routing import RoutingTable
from services.core.traffic import Tally, total

MAX_OPEN = 64  # measured at once; what begins beyond that is not
SWITCH_S = 600.0  # for a switch to come into effect, on top of its longest call
RESTART_S = 24 * 3600.0

_GONE = (InstancePhase.EXITED, InstancePhase.DRAINING)
_ENDING = (PlacementPhase.FAILED, PlacementPhase.STOPPING, PlacementPhase.STOPPED)


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that is being measured."""

    id: str
    kind: RolloutKind
    model_id: AggregateId
    version_id: VersionId
    replaced: VersionId | None
    label: str = ""
    generation: int = 0  # of a restart
    began_at: datetime
    began_s: float  # on a clock that nobody sets
    patience_s: float
    in_effect_s: float | None = None
    tally: Tally = Tally()
    replaced_instances: tuple[InstanceId, ...] = ()


Opens = Mapping[str, Open]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen at one look. `tallies`: what happened since the look before."""

    known: Known
    aimed: RoutingTable
    workers: tuple[Worker, ...]
    tallies: Mapping[VersionId, Tally]
    now_s: float


class Moment(msgspec.Struct, frozen=True):
    at: datetime
    now_s: float


def begin(opens: Opens, router_id: str, before: Known, after: Known, moment: Moment) -> dict[str, Open]:
    """`opens` and what begins with the step from `before` to `after`, as far as there is room."""
    fresh = (*_switches(router_id, before, after, moment), *_restarts(router_id, before, after, moment))
    room = max(0, MAX_OPEN - len(opens))
    return {**dict([(each.id, each) for each in fresh if each.id not in opens][:room]), **opens}


def versions(opens: Opens, known: Known) -> frozenset[VersionId]:
    """Those whose calls count for one of `opens`."""
    return frozenset(version for each in opens.values() for version in _versions(each, known))


def advance(opens: Opens, router_id: str, look: Look) -> tuple[dict[str, Open], tuple[Rollout, ...]]:
    """What is still open one look later, and the receipts of what is over."""
    left: dict[str, Open] = {}
    done: list[Rollout] = []
    for each in opens.values():
        tallies = (look.tallies[version] for version in _versions(each, look.known) if version in look.tallies)
        counted = replace(each, tally=total((each.tally, *tallies)))
        match _step(counted, look):
            case Open() as still:
                left[each.id] = still
            case Rollout() as rollout:
                done.append(replace(rollout, router_id=router_id))
    return left, tuple(done)


def _switches(router_id: str, before: Known, after: Known, moment: Moment) -> Iterator[Open]:
    for key, route in after.routes.items():
        old = before.routes.get(key)
        if old is None or old.labels == route.labels:
            continue
        for label, version in route.labels.items():
            replaced = old.labels.get(label)
            if version is not None and version != replaced and is_bus_token(label):
                yield Open(
                    id=f"{router_id}.{route.model_id}.{label}.{route.revision}",
                    kind=RolloutKind.SWITCH,
                    model_id=route.model_id,
                    version_id=version,
                    replaced=replaced,
                    label=label,
                    began_at=moment.at,
                    began_s=moment.now_s,
                    patience_s=SWITCH_S + derive(route.request_timeout_s).longest_call_s,
                    replaced_instances=_ids(_serving(after, replaced)),
                )


def _restarts(router_id: str, before: Known, after: Known, moment: Moment) -> Iterator[Open]:
    old = {each.version_id: each for each in current_placements(before)}
    for placement in current_placements(after):
        known = old.get(placement.version_id)
        if known is None or known is placement:
            continue
        older, newer = _generations(placement)
        was_there = any(generation_of(each.instance_id) == placement.generation for each in known.instances)
        if older and newer and not was_there:
            yield Open(
                id=f"{router_id}.{placement.version_id}.{placement.generation}",
                kind=RolloutKind.RESTART,
                model_id=placement.model_id,
                version_id=placement.version_id,
                replaced=placement.version_id,
                generation=placement.generation,
                began_at=moment.at,
                began_s=moment.now_s,
                patience_s=RESTART_S,
                replaced_instances=_ids(older),
            )


def _step(one: Open, look: Look) -> Open | Rollout | None:
    """None: there is nothing to tell."""
    step = _switch_step if one.kind is RolloutKind.SWITCH else _restart_step
    after = step(one, look)
    if isinstance(after, Open) and look.now_s - one.began_s >= one.patience_s:
        return _receipt(after, look, is_complete=False)
    return after


def _switch_step(one: Open, look: Look) -> Open | Rollout | None:
    route = look.known.routes.get(one.model_id)
    if route is None or route.labels.get(one.label) != one.version_id:
        return _receipt(one, look, is_complete=False)
    key = f"{one.model_id}/{one.label}"
    deciding = [each for each in look.workers if not each.is_stopping]
    is_in_effect = bool(deciding) and all(each.running.routes.get(key) == one.version_id for each in deciding)
    one = _noted(one, look, is_in_effect=is_in_effect)
    is_waited_for = one.replaced is not None and one.replaced not in _leading(route)
    is_busy = is_waited_for and any(one.replaced in each.calls for each in look.workers)
    return one if one.in_effect_s is None or is_busy else _receipt(one, look, is_complete=True)


def _leading(route: Route) -> set[VersionId | None]:
    return {*route.labels.values(), *(each.version_id for each in route.candidates.values())}


def _restart_step(one: Open, look: Look) -> Open | Rollout | None:
    placement = _placement(look.known, one.version_id)
    if placement is None or placement.generation != one.generation or placement.phase in _ENDING:
        return None
    older, newer = _generations(placement)
    one = replace(one, replaced_instances=tuple(dict.fromkeys((*one.replaced_instances, *_ids(older)))))
    is_replaced = bool(newer) and not any(each.phase not in _GONE for each in older)
    followed = effective.placements(look.known, look.aimed, look.workers).get(one.version_id, 0) if is_replaced else 0
    one = _noted(one, look, is_in_effect=is_replaced and followed >= placement.revision)
    busy = effective.in_flight(look.workers)
    is_busy = any(each in busy for each in one.replaced_instances)
    return one if one.in_effect_s is None or is_busy else _receipt(one, look, is_complete=True)


def _noted(one: Open, look: Look, *, is_in_effect: bool) -> Open:
    if one.in_effect_s is not None or not is_in_effect:
        return one
    return replace(one, in_effect_s=look.now_s - one.began_s)


def _receipt(one: Open, look: Look, *, is_complete: bool) -> Rollout:
    tally, lasted_s = one.tally, look.now_s - one.began_s
    serving = _serving(look.known, one.version_id)
    return Rollout(
        id=one.id,
        router_id="",
        kind=one.kind,
        model_id=one.model_id,
        version_id=one.version_id,
        replaced=one.replaced,
        label=one.label,
        began_at=one.began_at,
        in_effect_s=lasted_s if one.in_effect_s is None else one.in_effect_s,
        drain_s=lasted_s,
        requests=tally.requests,
        failures=tally.failures,
        longest_wait_s=tally.longest_wait_ms / 1000,
        longest_call_s=tally.longest_call_ms / 1000,
        instances=tuple(each for each in _ids(serving) if each not in one.replaced_instances),
        replaced_instances=one.replaced_instances,
        is_complete=is_complete and tally.is_whole,
    )


def _versions(one: Open, known: Known) -> set[VersionId]:
    of_model = {each.version_id for each in known.placements.values() if each.model_id == one.model_id}
    return of_model | {one.version_id} | ({one.replaced} if one.replaced is not None else set())


def _placement(known: Known, version: VersionId | None) -> Placement | None:
    return next((each for each in current_placements(known) if each.version_id == version), None)


def _serving(known: Known, version: VersionId | None) -> list[Instance]:
    placement = _placement(known, version)
    return [] if placement is None else [each for each in placement.instances if each.phase not in _GONE]


def _generations(placement: Placement) -> tuple[list[Instance], list[Instance]]:
    """Its instances that have not exited: of older generations, and of the newest."""
    alive = [each for each in placement.instances if each.phase is not InstancePhase.EXITED]
    newer = [each for each in alive if generation_of(each.instance_id) == placement.generation]
    return [each for each in alive if each not in newer], newer


def _ids(instances: Iterable[Instance]) -> tuple[InstanceId, ...]:
    return tuple(each.instance_id for each in instances)
