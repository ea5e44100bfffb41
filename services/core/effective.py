"""This file says what is in effect: which revisions every live HAProxy worker follows, and which calls are under way.

After a reload an old worker lives on until its last call ends. It decides nothing about new calls, for it passes them
to the newest worker; but the calls that wait in it still go to the servers it has open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from services.core import canary
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.known import Known, current_placements
from services.core.records import Removed
from services.core.rerouting import entries
from services.core.routing import RoutingTable


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker says of one version: counts since it began, peaks since it was asked before."""

    requests: int = 0  # that were answered; those whose caller left before are none
    failures: int = 0  # answered with 5xx, or broken off
    mean_ms: int = 0  # of about the last thousand, until the answer began, without the arrival of the body
    longest_wait_ms: int = 0  # for a free worker
    longest_call_ms: int = 0  # from the head of the request until the answer began


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One live HAProxy worker: what it does, and the calls it has."""

    pid: int = 0
    running: RoutingTable
    is_stopping: bool  # takes no connections, and passes what still comes on its old ones to the newest worker
    in_flight: Mapping[str, int] = {}  # server -> calls it answers
    waiting: Mapping[VersionId, int] = {}  # version -> calls that are not with a server yet
    calls: Mapping[VersionId, int] = {}  # version -> all calls it has, with a server or not; none are left out
    counters: Mapping[VersionId, Counters] = {}  # of the versions that are watched
    is_held: bool = False  # it does not end before its last counters were read


def routes(
    known: Known, removed: Mapping[str, Removed], wanted: RoutingTable, workers: Iterable[Worker]
) -> dict[AggregateId, int]:
    """Model -> the revision of its route, or tombstone, where every worker that decides about new calls follows it."""
    deciding = [each.running for each in workers if not each.is_stopping]
    if not deciding:
        return {}
    lagging = {key.partition("/")[0] for running in deciding for key in _differing(wanted, running)}
    revisions = {key: entry.revision for key, entry in (*removed.items(), *known.routes.items())}
    return {AggregateId(key): revision for key, revision in revisions.items() if key not in lagging}


def _differing(one: RoutingTable, other: RoutingTable) -> Iterator[str]:
    mine, theirs = entries(one), entries(other)
    for name in mine:
        if mine[name] != theirs[name]:  # seldom, and quickly seen
            yield from (key for key, _ in mine[name].items() ^ theirs[name].items())


def placements(known: Known, wanted: RoutingTable, workers: Iterable[Worker]) -> dict[VersionId, int]:
    """Version -> the revision of its placement, where no worker can give a call to an instance that is closed in it.

    That is: every closed or vanished server is closed, or nothing leads to the version and no call waits for it, in
    every live worker. It does not say that every open server is used already.
    """
    live = list(workers)
    return {
        each.version_id: each.revision
        for each in current_placements(known)
        if live and all(_follows(each.version_id, wanted, worker) for worker in live)
    }


def _follows(version: VersionId, wanted: RoutingTable, worker: Worker) -> bool:
    running = worker.running.backends.get(version)
    if running is None:
        return True
    target = wanted.backends.get(version)
    may_be_open = {server.name for server in target.servers if server.is_open} if target is not None else set()
    if all(server.name in may_be_open for server in running.servers if server.is_open):
        return True
    return not leads_to(version, worker) and not worker.waiting.get(version)


def leads_to(version: VersionId, worker: Worker) -> bool:
    """Whether the worker may give a new call to the version."""
    running = worker.running
    tried = map(canary.version_of, running.canaries.values())
    return not worker.is_stopping and (version in running.routes.values() or version in tried)


def in_flight(workers: Iterable[Worker]) -> dict[InstanceId, int]:
    """Instance -> calls it answers, over all workers; idle ones are left out."""
    total: dict[InstanceId, int] = {}
    for worker in workers:
        for server, calls in worker.in_flight.items():
            instance = InstanceId(server.rpartition(".")[0])
            total[instance] = total.get(instance, 0) + calls
    return {instance: calls for instance, calls in total.items() if calls}


def waiting(workers: Iterable[Worker]) -> dict[VersionId, int]:
    """Version -> calls that wait for one of its servers, over all workers; none are left out."""
    total: dict[VersionId, int] = {}
    for worker in workers:
        for version, calls in worker.waiting.items():
            total[version] = total.get(version, 0) + calls
    return {version: calls for version, calls in total.items() if calls}
