"""This file measures what the platform takes while nobody asks anything of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psutil

from benchmarks.figures import Figure
from benchmarks.stage import Stage

HOW = (
    "Proportional set size (a page shared by n processes counts an n-th in each) and CPU time of every process of the "
    "home, over 30 s in which nothing is asked of it: without any instance, then with ten models of two instances."
)
WATCHED_S = 30.0
SETTLING_S = 8.0  # for what starting and publishing leave to do
MODELS = 10

ECHO = "def predict(x):\n    return x\n"


def run(stage: Stage) -> Sequence[Figure]:
    stage.platform.http().close()  # it is up
    empty = _watch(stage)
    with stage.emptied_afterwards():
        for number in range(MODELS):
            stage.publish(f"idle-{number}", ECHO, instances=2)
        full = _watch(stage)
    return (*_figures("without instances", *empty, is_empty=True), *_figures(f"{MODELS} models of 2", *full))


Usage = dict[str, tuple[float, float]]  # program -> bytes held, seconds of CPU per second


def _figures(when: str, own: Usage, instances: Usage, *, is_empty: bool = False) -> list[Figure]:
    memory, cpu = (sum(each[index] for each in own.values()) for index in (0, 1))
    by_memory = ", ".join(f"{name} {held / 1e6:.0f}" for name, (held, _) in sorted(own.items()))
    by_cpu = ", ".join(f"{name} {used * 100:.2f}" for name, (_, used) in sorted(own.items()))
    figures = [
        Figure(
            name=f"platform's memory, {when}",
            value=memory / 1e6,
            unit="MB",
            at_most=400 if is_empty else None,
            remark=by_memory,
        ),
        Figure(
            name=f"platform's CPU, {when}",
            value=cpu * 100,
            unit="% of a core",
            at_most=3 if is_empty else None,
            remark=by_cpu,
        ),
    ]
    if not is_empty:
        held, used = (sum(each[index] for each in instances.values()) for index in (0, 1))
        each_mb = held / 1e6 / (2 * MODELS)
        figures += [
            Figure(name=f"instances' memory, {when}", value=held / 1e6, unit="MB", remark=f"{each_mb:.1f} MB each"),
            Figure(name=f"instances' CPU, {when}", value=used * 100, unit="% of a core"),
        ]
    return figures


def _watch(stage: Stage) -> tuple[Usage, Usage]:
    """What the platform's own processes use, and what the instances do."""
    time.sleep(SETTLING_S)
    before = {each.pid: _cpu_s(each) for each in stage.platform.left_behind()}
    began = time.monotonic()
    time.sleep(WATCHED_S)
    took_s = time.monotonic() - began
    own: Usage = {}
    instances: Usage = {}
    for each in stage.platform.left_behind():
        name = _program(each)
        usage = instances if name == "instance" else own
        held, used = usage.get(name, (0.0, 0.0))
        share = each.memory_full_info().pss
        usage[name] = held + share, used + (_cpu_s(each) - before.get(each.pid, 0.0)) / took_s
    return own, instances


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _program(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    if "modelway_harness" in words:
        return "instance"
    _, _, service = words.partition("services.")
    named = {"supervisord": "supervisor", "secantusd": "database", "nats-server": "nats", "haproxy": "haproxy"}
    return service.split()[0] if service else next((named[mark] for mark in named if mark in words), "other")
