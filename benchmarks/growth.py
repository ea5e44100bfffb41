"""This file measures what a long history costs: nothing to those who read states, and so much an event to fold it."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence

from benchmarks.api_alone import ApiAlone
from benchmarks.figures import Figure, percentile, ratio
from benchmarks.histories import busy_history, many_versions, model_of, store_history
from benchmarks.load import Outcome, pairs
from benchmarks.reads import AUDIT_AT, MODELS_AT
from benchmarks.stage import Stage
from services.api.store.database import Database
from services.api.store.store import MongoStore
from services.api.verify import verify
from services.core.aggregates import MODEL, fold
from services.core.events import Entry

HOW = (
    "Two apis at the same time, each with its own bus and database and 50 models: one whose models have just begun, "
    "one with 100,000 events behind them; the same reads of both in turn. `fold` in this process, on one model's "
    "history of three lengths. `verify` reads, hashes and folds all that the database has."
)
MODELS = 50
EVENTS = 100_000
YOUNG = 40
VERSIONS = 1_000
COPIES = "each event copies the model's tuple of versions"
ROUNDS = 300
SIZES = (1_000, 10_000, 100_000)
READS = {
    "list": MODELS_AT,
    "show": f"{MODELS_AT}/{model_of(1)}",
}
AUDITS = {
    "audit of a model": f"{AUDIT_AT}?limit=20&modelId={model_of(1)}",
    "audit of all": f"{AUDIT_AT}?limit=20",
}
FLAT = 1.25  # as much as two equal ones differ on a noisy machine


def run(stage: Stage) -> Sequence[Figure]:
    return (*_fold(), *_reads(stage))


def _fold() -> list[Figure]:
    history = busy_history(1, SIZES[-1])
    gc.collect()
    gc.freeze()  # a history that is held for this measurement is not the collector's to look at
    rates = {size: _fold_rate(history[:size]) for size in SIZES}
    figures = [
        Figure(name=f"fold, {size:,} events", value=rates[size], unit="events/s", remark=f"{size / rates[size]:.3f} s")
        for size in SIZES
    ]
    slower = ratio("fold, time an event, 100,000 against 1,000", rates[SIZES[0]], rates[SIZES[-1]], at_most=FLAT)
    many = many_versions(1, VERSIONS)
    figures.append(
        Figure(name=f"fold, {VERSIONS:,} versions of one model", value=_fold_rate(many), unit="events/s", remark=COPIES)
    )
    return [*figures, slower]


def _fold_rate(history: Sequence[Entry]) -> float:
    """Events a second of CPU time; the best of a few goes, more of short ones."""
    best = 0.0
    for _ in range(min(20, SIZES[-1] // len(history)) + 4):
        began = time.process_time()
        fold(MODEL, history)
        best = max(best, len(history) / (time.process_time() - began))
    return best


def _reads(stage: Stage) -> list[Figure]:
    young, old = ApiAlone(stage.folder / "young"), ApiAlone(stage.folder / "old")
    with young.parts(), old.parts():
        young.with_database(lambda database: _fill(database, MODELS * YOUNG))
        old.with_database(lambda database: _fill(database, EVENTS))
        with young.serving(), old.serving():
            outcomes = {**_pairs(young, old, READS, ROUNDS), **_pairs(young, old, AUDITS, ROUNDS // 10)}
        verified = old.with_database(_verify)
    latencies = {name: outcome.latencies_ms for name, outcome in outcomes.items()}
    figures = [_latency(name, samples) for name, samples in latencies.items()]
    for what in (*READS, *AUDITS):
        few, many = (figure.value for figure in figures if figure.name.startswith(f"{what}, "))
        figures.append(ratio(f"{what}, 100,000 events against hardly any", many, few, at_most=FLAT))
    return [*figures, verified]


def _pairs(young: ApiAlone, old: ApiAlone, paths: Mapping[str, str], rounds: int) -> dict[str, Outcome]:
    apis = {"hardly any": young, f"{EVENTS:,}": old}
    lanes = [api.get(f"{what}, {events} events", path) for what, path in paths.items() for events, api in apis.items()]
    return pairs(lanes, rounds=rounds, warm_up=rounds // 10)


def _latency(name: str, samples: list[float]) -> Figure:
    return Figure(
        name=name, value=percentile(samples, 50), unit="ms", remark=f"p50; p99 {percentile(samples, 99):.2f} ms"
    )


async def _fill(database: Database, events: int) -> None:
    for number in range(MODELS):
        await store_history(database, number, busy_history(number, events // MODELS))


async def _verify(database: Database) -> Figure:
    began = time.perf_counter()
    result = await verify(MongoStore(database.client, database).evidence)
    took_s = time.perf_counter() - began
    if result.findings:
        raise RuntimeError(f"what this benchmark stored is not sound: {result.findings[0]}")
    return Figure(name="verify", value=result.events / took_s, unit="events/s", remark=f"{result.events:,} events")
