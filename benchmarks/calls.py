"""This file measures what the router adds to a call, and how many calls it passes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.exchange import request_bytes
from benchmarks.figures import Figure, median, percentile
from benchmarks.load import Lane, flood, pairs
from benchmarks.stage import Stage

HOW = (
    "One trivial function, one instance with one worker. The same call through the router (TCP, token checked) and "
    "straight to the instance's own socket, in turn from one process. Kept: the caller keeps its connections. New: "
    "each call opens one. The router keeps its own to the instance, which holds them in a second process, so that a "
    "worker that dies under a call is told to the caller."
)
ROUNDS = 2000
FLOOD_S = 6.0
MANY = 16
BODY = b'{"data": {"x": 1}}'


def run(stage: Stage) -> Sequence[Figure]:
    with stage.emptied_afterwards():
        lanes = {lane.name: lane for lane in _lanes(stage)}
        outcomes = pairs(list(lanes.values()), rounds=ROUNDS)
        one = flood(lanes["router, kept"], connections=1, seconds=FLOOD_S)
        direct = flood(lanes["instance, kept"], connections=1, seconds=FLOOD_S)
        many = flood(lanes["router, kept"], connections=MANY, seconds=FLOOD_S)
    latencies = {name: outcome.latencies_ms for name, outcome in outcomes.items()}
    return (
        _added("added by the router, new connections", latencies, "router, new", "instance, new"),
        _added("added by the router, kept by the caller", latencies, "router, kept", "instance, new"),
        _added("added by the router, against a kept connection", latencies, "router, kept", "instance, kept"),
        *(_latency(name, samples) for name, samples in latencies.items()),
        _rate("router, 1 caller", one.per_second),
        _rate("instance, 1 caller", direct.per_second),
        _rate(f"router, {MANY} callers", many.per_second),
    )


def _lanes(stage: Stage) -> list[Lane]:
    published = stage.publish("calls", "def predict(x):\n    return x\n")
    _, _, place = published.endpoint.partition("//")
    address, _, path = place.partition("/")
    token = {"Authorization": f"Bearer {published.token}"}
    through = request_bytes("POST", f"/{path}", token, BODY)
    instance, socket = _instance(stage)
    named = {"X-Modelway-Server": f"{instance}.0", "X-Modelway-Remaining-Ms": "60000", "X-Modelway-Hold-Ms": "100"}
    straight = request_bytes("POST", "/model", named, BODY)
    return [
        Lane(name=f"{name}, {'kept' if is_kept else 'new'}", address=where, request=request, is_kept=is_kept)
        for is_kept in (True, False)
        for name, where, request in (("router", address, through), ("instance", socket, straight))
    ]


def _instance(stage: Stage) -> tuple[str, str]:
    """The id of the one instance that runs, and its worker's socket."""
    (process,) = stage.platform.instances()
    words = process.cmdline()
    settings = json.loads(Path(words[words.index("--config") + 1]).read_text(encoding="utf-8"))
    return settings["instance_id"], settings["sockets"][0]


def _added(name: str, latencies: dict[str, list[float]], through: str, straight: str) -> Figure:
    """The median of the differences within a round, not the difference of medians."""
    samples = [one - other for one, other in zip(latencies[through], latencies[straight], strict=True)]
    added = median(name, samples, "ms", at_most=0.15)
    lower, upper = percentile(samples, 25), percentile(samples, 75)
    quiet = percentile(latencies[through], 10) - percentile(latencies[straight], 10)
    return _told(
        added,
        f"{through} less {straight}: half of {len(samples):,} pairs between {lower:.2f} and {upper:.2f}; "
        f"the quickest tenths differ by {quiet:.3f}",
    )


def _latency(name: str, samples: list[float]) -> Figure:
    return _told(median(name, samples, "ms"), f"p99 {percentile(samples, 99):.3f}")


def _told(figure: Figure, remark: str) -> Figure:
    """Without its thousands of samples, with a word about them."""
    return Figure(
        name=figure.name, value=figure.value, unit=figure.unit, at_most=figure.at_most, samples=(), remark=remark
    )


def _rate(name: str, per_second: float) -> Figure:
    return Figure(name=name, value=per_second, unit="calls/s")
