"""This file measures how many changes of versions a second api records, and publishes as events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from nats.aio.msg import Msg

from benchmarks.api_alone import ApiAlone
from benchmarks.figures import Figure, percentile
from benchmarks.histories import built, happened, published, store_history
from benchmarks.observed import Observed
from benchmarks.stage import Stage
from services.api.store.database import Database
from services.core import subjects
from services.core.records import BuildPhase, BuildReport
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.wake import Wake
from tests.makers import version_id

HOW = (
    "Api with bus and database and nobody else. This process reports builds as a builder does, then shows instances as "
    "deployer and monitor do, and waits for the events to come out on the bus: recorded in the database, one "
    "transaction each, and relayed. Offered: 50 reports a second. All at once: as many reports as there are, then all "
    "versions ready at the same moment."
)
AIM = 50.0
OFFERED_S = 12
MODELS = 600
PATIENCE_S = 90.0


def run(stage: Stage) -> Sequence[Figure]:
    api = ApiAlone(stage.folder / "changes")
    with api.parts():
        api.with_database(_fill)
        with api.serving():
            return asyncio.run(_measure(api))


async def _fill(database: Database) -> None:
    for number in range(MODELS):
        history = list(happened(number, iter(published(number)), at=now()))
        await store_history(database, number, history)


async def _measure(api: ApiAlone) -> list[Figure]:
    bus = await Bus.connect(api.bus.config("bench"))
    events = Events(bus)
    await events.listen()
    try:
        offered = await _offer(bus, events)
        before = api.cpu_s()
        flooded, reports = await _all_at_once(bus, events)
        used_s = {name: used - before[name] for name, used in api.cpu_s().items()}
        ready = await _all_ready(bus, events)
    finally:
        await bus.close()
    return [*offered, flooded, ready, _wall({name: each / reports for name, each in used_s.items()})]


def _wall(cost_s: dict[str, float]) -> Figure:
    """How many changes a second the busiest process could do with a core to itself."""
    busiest = max(cost_s, key=lambda name: cost_s[name])
    costs = ", ".join(f"{name} {cost * 1000:.1f} ms" for name, cost in sorted(cost_s.items()))
    return Figure(
        name="a core's worth of the busiest process",
        value=1 / cost_s[busiest],
        unit="changes/s",
        at_least=AIM,
        remark=f"CPU a change: {costs}",
    )


class Events:
    """What came out, and when: the first time that anything was said about a version in a phase."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._came = Wake()
        self.seen: dict[str, float] = {}

    async def listen(self) -> None:
        await self._bus.client.subscribe("event.model.>", cb=self._note)

    async def _note(self, message: Msg) -> None:
        _, _, model_id, what = message.subject.split(".")
        self.seen.setdefault(f"{model_id}.{what}", time.perf_counter())
        self._came.ring()

    async def wait_for(self, keys: Iterable[str]) -> float:
        """When the last of `keys` came."""
        wanted = set(keys)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not wanted <= self.seen.keys():
                    await self._came.wait(PATIENCE_S)
        except TimeoutError:
            missing = len(wanted - self.seen.keys())
            raise TimeoutError(f"{missing} of {len(wanted)} changes have not come within {PATIENCE_S:g} s") from None
        return max(self.seen[key] for key in wanted)


def _key(number: int, what: str) -> str:
    return f"{version_id(number)}.{what}"


_WHAT = {BuildPhase.BUILDING: "build-started", BuildPhase.COMPLETE: "build-completed"}


async def _offer(bus: Bus, events: Events) -> list[Figure]:
    """Two reports of each version, at an even pace; far apart, since a later one makes the earlier one needless."""
    reports = [(number, phase) for phase in _WHAT for number in range(MODELS // 2)]
    sent: dict[str, float] = {}
    began = time.perf_counter()
    for place, (number, phase) in enumerate(reports):
        await asyncio.sleep(max(0.0, began + place / AIM - time.perf_counter()))
        sent[_key(number, _WHAT[phase])] = time.perf_counter()
        await _report(bus, built(number, phase))
    ended = await events.wait_for(sent)
    lags = [(events.seen[key] - at) * 1000 for key, at in sent.items()]
    rate = len(sent) / (ended - began)
    return [
        Figure(name="recorded of 50 a second offered", value=rate, unit="changes/s", at_least=0.95 * AIM),
        Figure(name="report to event on the bus, p50", value=percentile(lags, 50), unit="ms"),
        Figure(name="report to event on the bus, p99", value=percentile(lags, 99), unit="ms"),
    ]


async def _all_at_once(bus: Bus, events: Events) -> tuple[Figure, int]:
    """The figure, and of how many reports."""
    reports = [(number, phase) for phase in _WHAT for number in range(MODELS // 2, MODELS)]
    began = time.perf_counter()
    for number, phase in reports:
        await _report(bus, built(number, phase))
    ended = await events.wait_for(_key(number, _WHAT[phase]) for number, phase in reports)
    rate = len(reports) / (ended - began)
    return Figure(name=f"{len(reports)} reports at once", value=rate, unit="changes/s", at_least=AIM), len(reports)


async def _all_ready(bus: Bus, events: Events) -> Figure:
    observed = Observed(bus, instances=1)
    began = time.perf_counter()
    for number in range(MODELS):
        await observed.show_running(number)
    ended = await events.wait_for(_key(number, "version-became-ready") for number in range(MODELS))
    rate = MODELS / (ended - began)
    return Figure(name=f"{MODELS} versions ready at once", value=rate, unit="changes/s", at_least=AIM)


async def _report(bus: Bus, report: BuildReport) -> None:
    await bus.publish(subjects.build_fact(report.version_id), report)
