"""This file measures whether pages of the api get slower with what is in the database and not on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.api_alone import ApiAlone
from benchmarks.crowded import PLAIN_KEY, Size, actor_of, fill
from benchmarks.figures import Figure, median, ratio
from benchmarks.histories import model_of
from benchmarks.load import Lane, Outcome, pairs
from benchmarks.reads import AUDIT_AT, MODELS_AT
from benchmarks.stage import Stage

HOW = (
    "Two apis at the same time, each with its own bus and database: one that holds hardly more than a page shows, one "
    "that is crowded. The same pages of both in turn, by one caller over a kept connection, straight at api. Pages are "
    "of 25 models, as by default, and of 100 events. `plain` is a person who is no administrator and may see few of "
    "the models; the others are seen by an administrator."
)
CROWDED = Size(models=1_000, versions=20, events=500_000, shared=30)
PAGE = Size(models=30, versions=20, events=600, shared=30)
ROUNDS = 60
AT_MOST = 2.0
_CACHE = "256M"  # as `make up` has it
_SHOWN = f"{MODELS_AT}/{model_of(7)}"
PAGES: dict[str, str] = {
    "list": MODELS_AT,
    "list by age": f"{MODELS_AT}?orderBy=created%20DESC",
    "search by name": f"{MODELS_AT}?name=model-0000",
    "show a model": _SHOWN,
    "show versions": f"{_SHOWN}/versions",
    "audit, all": AUDIT_AT,
    "audit, of a model": f"{AUDIT_AT}?modelId={model_of(7)}&limit=15",
    "audit, of an actor": f"{AUDIT_AT}?actor={actor_of(3).id}&limit=15",
    "audit, of a type": f"{AUDIT_AT}?action=build.completed",
}
PLAIN_PAGES = {"plain: list": MODELS_AT, "plain: search by name": f"{MODELS_AT}?name=model-0000"}


def run(stage: Stage) -> Sequence[Figure]:
    page = ApiAlone(stage.folder / "page", cache=_CACHE)
    crowded = ApiAlone(stage.folder / "crowded", cache=_CACHE)
    page.fill(lambda database: fill(database, PAGE))
    crowded.fill(lambda database: fill(database, CROWDED))
    with page.parts(), crowded.parts(), page.serving(), crowded.serving():
        outcomes = pairs(_lanes({"page": page, "crowded": crowded}), rounds=ROUNDS, warm_up=ROUNDS // 6)
    return [figure for name in (*PAGES, *PLAIN_PAGES) for figure in _figures(name, outcomes)]


def _lanes(apis: Mapping[str, ApiAlone]) -> list[Lane]:
    administrators = [api.get(f"{name}, {size}", path) for name, path in PAGES.items() for size, api in apis.items()]
    plain = [
        api.get(f"{name}, {size}", path, PLAIN_KEY) for name, path in PLAIN_PAGES.items() for size, api in apis.items()
    ]
    return [*administrators, *plain]


def _figures(name: str, outcomes: Mapping[str, Outcome]) -> list[Figure]:
    few, many = outcomes[f"{name}, page"], outcomes[f"{name}, crowded"]
    if failures := {**few.failures, **many.failures}:
        raise RuntimeError(f"{name}: {failures}")
    first, second = (
        median(f"{name}: only the page", few.latencies_ms, "ms"),
        median(f"{name}: {CROWDED}", many.latencies_ms, "ms"),
    )
    return [first, second, ratio(f"{name}: crowded against the page", second.value, first.value, at_most=AT_MOST)]
