"""This file draws what a round does, and when, from a seed: the same seed and round always give the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass

MODELS = 3
SERVICES = ("api", "builder", "deployer", "router", "monitor")
PROGRAMS = (*SERVICES, "nats", "database")
HAPROXY = ("haproxy", "haproxy-worker")
# `steady-…` are the model's that is called all the time: one of its two at most in a round.
INSTANCES = ("instance", "instance-leader", "instance-worker")
STEADY = ("steady-instance", "steady-leader", "steady-worker")
HEAVY = ("tree", "supervisor", "nats-deleted", "nats-emptied", "nats-rolled-back")

KILL, PAUSE = "kill", "pause"


@dataclass(frozen=True)
class Operation:
    """What a person does at a moment. `draw` picks among what there is by then."""

    at_s: float
    what: str
    model: int
    draw: int

    def __str__(self) -> str:
        return f"{self.at_s:.1f} s {self.what} {self.model}"


@dataclass(frozen=True)
class Fault:
    """What is done to whom. `for_s`: how long a pause lasts, or until `up` after the supervisor's death."""

    at_s: float
    how: str
    whom: tuple[str, ...]
    for_s: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.for_s:.0f} s" if self.how == PAUSE else ""
        return f"{self.at_s:.1f} s {self.how} {'+'.join(self.whom)}{lasting}".replace("  ", " ")


@dataclass(frozen=True)
class Round:
    seed: int
    number: int
    operations: tuple[Operation, ...]
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}, round {self.number}"


def draw_round(seed: int, number: int, *, length_s: float, only: tuple[str, ...] = ()) -> Round:
    """The plan of round `number` of `seed`; with `only`, every fault is one of those."""
    chances = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose
    operations = _operations(chances, length_s)
    faults = _faults(chances, length_s) if not only else _only(chances, length_s, only)
    return Round(seed, number, operations, faults)


def _operations(chances: random.Random, length_s: float) -> tuple[Operation, ...]:
    kinds = {"publish": 5, "broken": 1, "start": 3, "stop": 3, "create-token": 2, "revoke-token": 2}
    count = max(4, round(length_s / 3))
    times = sorted(chances.uniform(0, length_s) for _ in range(count))
    drawn = chances.choices(list(kinds), list(kinds.values()), k=count)
    return tuple(
        Operation(at_s, what, chances.randrange(MODELS), chances.randrange(1 << 30))
        for at_s, what in zip(times, drawn, strict=True)
    )


def _faults(chances: random.Random, length_s: float) -> tuple[Fault, ...]:
    faults = [_light(chances, length_s) for _ in range(chances.randint(1, 4))]
    if chances.random() < 0.5:
        steady = _one(chances, length_s, chances.choice(STEADY))
        faults.append(steady)
    if chances.random() < 0.4:
        faults.append(_one(chances, length_s, chances.choice(HEAVY)))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _only(chances: random.Random, length_s: float, only: tuple[str, ...]) -> tuple[Fault, ...]:
    faults = (_one(chances, length_s, whom) for whom in only)
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _light(chances: random.Random, length_s: float) -> Fault:
    """One of the programs or two at once, killed or silent for a while."""
    whom = chances.choice((*PROGRAMS, *PROGRAMS, *HAPROXY, "uv", *INSTANCES))
    fault = _one(chances, length_s, whom)
    if whom in PROGRAMS and chances.random() < 0.3:
        second = chances.choice([each for each in PROGRAMS if each != whom])
        return Fault(fault.at_s, fault.how, (whom, second), fault.for_s)
    return fault


def _one(chances: random.Random, length_s: float, whom: str) -> Fault:
    at_s = chances.uniform(0.5, length_s)
    if whom in ("tree", "nats-deleted", "nats-emptied", "nats-rolled-back"):
        return Fault(at_s, "", (whom,))
    if whom == "supervisor":
        return Fault(at_s, KILL, (whom,), chances.uniform(0.0, 8.0))
    if whom != "uv" and chances.random() < 0.3:
        return Fault(at_s, PAUSE, (whom,), chances.uniform(1.0, 20.0))
    return Fault(at_s, KILL, (whom,))
