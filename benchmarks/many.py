"""This file measures what many models cost the router: time from an event on the bus to its effect, CPU and memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median as middle

import msgspec

from benchmarks.figures import Figure, median, ratio
from benchmarks.router_alone import OTHER_TOKEN, TOKEN, Crowd, RouterAlone, instance_of, serving, version_of
from benchmarks.stage import Stage

HOW = (
    "The router with real NATS and HAProxy and nobody else; one trivial process answers for all instances on Unix "
    "sockets. Entries are put on the bus as api, deployer and monitor put them. From the moment an entry is sent until "
    "a call through HAProxy, over a connection that is kept, is answered accordingly; one event at a time, each after "
    "the one before is in effect. Ready, not ready: an instance in a table that has it. New instance, new model: "
    "HAProxy has to load a configuration. Memory is proportional set size, HAProxy's workers included."
)
FEW = Crowd(models=10, instances=4, sockets=8)
MANY = Crowd(models=2_000, instances=4, sockets=8)
SERVED = Crowd(models=300, instances=2, sockets=600)
REPEATS = 9
WATCHED_S = 10.0
EFFECT_S = 30.0
LOOK_S = 0.002
REST_S = 0.3
SURE = 12  # calls in a row that an instance did not answer: it has none any more
TOKEN_AIM_S, MODEL_AIM_S = 0.1, 1.0
LINEAR = 1.5  # HAProxy may have an old worker beside the newest at the moment that is looked at


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """CPU time by process, while so long had passed."""

    cpu_s: dict[str, float]
    took_s: float

    def share(self, name: str) -> float:
        """Of one core."""
        return self.cpu_s[name] / self.took_s


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one crowd cost. Durations in seconds, memory in bytes by process."""

    crowd: Crowd
    effects: dict[str, list[float]]
    idle: Spent
    busy: Spent
    memory: dict[str, int]

    @property
    def name(self) -> str:
        return f"{self.crowd.models:,} models x {self.crowd.instances}"


def run(stage: Stage) -> Sequence[Figure]:
    few, served, many = (asyncio.run(measure(crowd)) for crowd in (FEW, SERVED, MANY))
    return (
        *(figure for each in (few, served, many) for figure in _effects(each)),
        *_slower(few, served),
        *_slower(few, many),
        *(figure for each in (few, served, many) for figure in _usage(each)),
        *_linear(few, served, many),
    )


async def measure(crowd: Crowd) -> Measured:
    effects: dict[str, list[float]] = {what: [] for what in EVENTS}
    with tempfile.TemporaryDirectory(prefix="mw-", dir="/tmp") as folder:
        async with serving(Path(folder), crowd) as alone:
            await asyncio.sleep(REST_S)
            idle = await _watch(alone, asyncio.sleep(WATCHED_S))
            busy = await _watch(alone, _happen(alone, effects))
            memory = {name: held for name, (_, held) in alone.usage().items()}
    return Measured(crowd=crowd, effects=effects, idle=idle, busy=busy, memory=memory)


async def _watch(alone: RouterAlone, work: Awaitable[None]) -> Spent:
    before, began = alone.usage(), time.monotonic()
    await work
    took_s, after = time.monotonic() - began, alone.usage()
    return Spent(cpu_s={name: cpu_s - before[name][0] for name, (cpu_s, _) in after.items()}, took_s=took_s)


async def _happen(alone: RouterAlone, effects: dict[str, list[float]]) -> None:
    """Every event, in turn, for another model each time."""
    for number in range(REPEATS):
        for what, happen in EVENTS.items():
            effects[what].append(await happen(alone, number))
            await asyncio.sleep(REST_S)


async def _instance_goes(alone: RouterAlone, number: int) -> float:
    """Until the last call that it answered has ended."""
    began = last = time.monotonic()
    await alone.judge(number, 0, is_ready=False)
    others = 0
    while others < SURE:
        _, instance = await alone.call(number)
        others = 0 if instance == instance_of(number, 0) else others + 1
        last = last if others else time.monotonic()
        _check(began, "an instance that is not ready gets no call")
        await asyncio.sleep(LOOK_S)
    return last - began


async def _instance_comes(alone: RouterAlone, number: int) -> float:
    return await _until(alone.judge(number, 0, is_ready=True), lambda: _answers(alone, number, instance_of(number, 0)))


async def _token_goes(alone: RouterAlone, number: int) -> float:
    return await _until(alone.route(number, tokens=[TOKEN]), lambda: _says(alone, number, OTHER_TOKEN, 401))


async def _token_comes(alone: RouterAlone, number: int) -> float:
    return await _until(alone.route(number), lambda: _says(alone, number, OTHER_TOKEN, 200))


async def _new_instance(alone: RouterAlone, number: int) -> float:
    spare = alone.crowd.instances
    await alone.judge(number, spare, is_ready=True)
    placing = alone.place(number, range(spare + 1))
    return await _until(placing, lambda: _answers(alone, number, instance_of(number, spare)))


async def _new_model(alone: RouterAlone, number: int) -> float:
    newest = alone.crowd.models + number
    return await _until(alone.add_model(newest), lambda: _says(alone, newest, TOKEN, 200))


async def _other_version(alone: RouterAlone, number: int) -> float:
    """A label moves to a version that is placed and ready already."""
    second = version_of(number, 2)
    await alone.judge(number, 0, is_ready=True, version=2)
    await alone.place(number, range(1), version=2)
    await _until(alone.route(number, prod=second), lambda: _is_prod(alone, number))
    await asyncio.sleep(REST_S)
    moving = alone.route(number, second, prod=second)
    took_s = await _until(moving, lambda: _answers(alone, number, instance_of(number, 0, 2)))
    await _until(alone.route(number), lambda: _answers(alone, number, instance_of(number, 0)))
    return took_s


EVENTS: dict[str, Callable[[RouterAlone, int], Awaitable[float]]] = {
    "instance not ready": _instance_goes,
    "instance ready": _instance_comes,
    "token revoked": _token_goes,
    "token added": _token_comes,
    "label moved": _other_version,
    "new instance": _new_instance,
    "new model": _new_model,
}
AIMS = dict.fromkeys(("instance not ready", "instance ready", "token revoked", "token added"), TOKEN_AIM_S)
AIMS |= {"new model": MODEL_AIM_S}


async def _until(event: Awaitable[object], is_there: Callable[[], Awaitable[bool]]) -> float:
    """Seconds from before the event is sent until it has its effect."""
    began = time.monotonic()
    await event
    while not await is_there():
        _check(began, "an event has its effect")
        await asyncio.sleep(LOOK_S)
    return time.monotonic() - began


def _check(began: float, what: str) -> None:
    if time.monotonic() - began > EFFECT_S:
        raise TimeoutError(f"not within {EFFECT_S:g} s: {what}")


async def _answers(alone: RouterAlone, number: int, instance: str) -> bool:
    return (await alone.call(number))[1] == instance


async def _is_prod(alone: RouterAlone, number: int) -> bool:
    return (await alone.call(number, place="labels/prod"))[0] == 200


async def _says(alone: RouterAlone, number: int, token: str, status: int) -> bool:
    return (await alone.call(number, token))[0] == status


def _effects(measured: Measured) -> list[Figure]:
    return [
        median(f"{measured.name}: {what}", samples, "s", at_most=AIMS.get(what))
        for what, samples in measured.effects.items()
    ]


def _slower(few: Measured, many: Measured) -> list[Figure]:
    against = f"{many.crowd.models:,} models against {few.crowd.models}"
    return [
        ratio(f"{what}, {against}", middle(samples), middle(few.effects[what]))
        for what, samples in many.effects.items()
    ]


def _usage(measured: Measured) -> list[Figure]:
    events = sum(map(len, measured.effects.values()))
    figures = []
    for name, held in measured.memory.items():
        at_most = 100 if name == "router" else None
        cost = f"{measured.busy.cpu_s[name] / events * 1000:.0f} ms an event"
        figures += [
            Figure(
                name=f"{measured.name}: {name}, CPU idle", value=measured.idle.share(name) * 100, unit="% of a core"
            ),
            Figure(
                name=f"{measured.name}: {name}, CPU while events follow one another",
                value=measured.busy.share(name) * 100,
                unit="% of a core",
                at_most=at_most,
                remark=cost,
            ),
            Figure(name=f"{measured.name}: {name}, memory", value=held / 1e6, unit="MB"),
        ]
    return figures


def _linear(few: Measured, served: Measured, many: Measured) -> list[Figure]:
    """Memory that one more server takes, between the smallest and the middle crowd and between that and the largest."""

    def each(fewer: Measured, more: Measured, name: str) -> float:
        servers = more.crowd.models * more.crowd.instances - fewer.crowd.models * fewer.crowd.instances
        return (more.memory[name] - fewer.memory[name]) / servers

    return [
        ratio(
            f"{name}, memory for one more instance, many against few",
            each(served, many, name),
            each(few, served, name),
            at_most=LINEAR,
        )
        for name in many.memory
    ]
