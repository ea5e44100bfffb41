"""This file measures how many reads api answers, and how fast, at a usual size."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.api_alone import ApiAlone
from benchmarks.figures import Figure, percentile
from benchmarks.histories import busy_history, model_of, store_history
from benchmarks.load import Outcome, flood, pairs
from benchmarks.observed import Observed
from benchmarks.stage import Stage
from services.api.store.database import Database
from services.kit.bus import Bus

HOW = (
    "Api with bus and database and nobody else, read straight at its port: 100 models, each of 40 events, with a "
    "version that two instances run. List: one page of 25 models (the default). Latencies of one caller, rates of "
    "eight."
)
MODELS = 100
EVENTS = 40
INSTANCES = 2
ROUNDS = 400
CALLERS = 8
FLOOD_S = 5.0
MODELS_AT = "/api/modelServing/v1/modelApis"
AUDIT_AT = "/api/modelServing/v1/audit"


def run(stage: Stage) -> Sequence[Figure]:
    api = ApiAlone(stage.folder / "reads")
    with api.parts():
        api.with_database(_fill)
        with api.serving():
            asyncio.run(_place(api))
            lanes = [api.get("list", MODELS_AT), api.get("show", f"{MODELS_AT}/{model_of(1)}")]
            alone = pairs(lanes, rounds=ROUNDS)
            crowded = {lane.name: flood(lane, connections=CALLERS, seconds=FLOOD_S) for lane in lanes}
    return [figure for name in alone for figure in _figures(name, alone[name], crowded[name])]


def _figures(name: str, alone: Outcome, crowded: Outcome) -> list[Figure]:
    tail = f"p99 with {CALLERS} callers {percentile(crowded.latencies_ms, 99):.1f} ms"
    return [
        Figure(name=f"{name}, p50", value=percentile(alone.latencies_ms, 50), unit="ms"),
        Figure(name=f"{name}, p99", value=percentile(alone.latencies_ms, 99), unit="ms"),
        Figure(name=f"{name}, {CALLERS} callers", value=crowded.per_second, unit="reads/s", remark=tail),
    ]


async def _fill(database: Database) -> None:
    for number in range(MODELS):
        await store_history(database, number, busy_history(number, EVENTS))


async def _place(api: ApiAlone) -> None:
    bus = await Bus.connect(api.bus.config("bench"))
    observed = Observed(bus, instances=INSTANCES)
    for number in range(MODELS):
        await observed.show_running(number)
    await bus.close()
