"""This file is the load, made in a process of its own so that it does not slow what it measures.

    python -m benchmarks.load < order.json > outcome.json

`pairs` and `flood` start that process and read what it found. Everything is bounded in number and in time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.exchange import Exchange

CALL_S = 10.0
_REPOSITORY = Path(__file__).parents[1]
_CALLS_AT_MOST = 200_000


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One way to make a call. `is_kept` keeps the connection between calls; else each call opens its own."""

    name: str
    address: str  # the absolute path of a Unix socket, or host:port
    request: bytes
    is_kept: bool = True


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """With `rounds`: every lane in turn, that often. Else each lane's calls from `connections` for `seconds`."""

    lanes: tuple[Lane, ...]
    warm_up: int = 0
    rounds: int = 0
    connections: int = 1
    seconds: float = 0.0


class Outcome(msgspec.Struct, kw_only=True):
    """What one lane saw. Only calls answered with 200 have a latency."""

    latencies_ms: list[float] = []
    failures: dict[str, int] = {}
    took_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.took_s


def pairs(lanes: Sequence[Lane], *, rounds: int, warm_up: int = 100) -> dict[str, Outcome]:
    """Calls on all lanes in turn, one at a time: what disturbs one disturbs the others as much."""
    return _ordered(Order(lanes=tuple(lanes), rounds=rounds, warm_up=warm_up), within_s=120)


def flood(lane: Lane, *, connections: int, seconds: float) -> Outcome:
    """Calls from `connections` callers at once, each the next as soon as the last is answered."""
    order = Order(lanes=(lane,), connections=connections, seconds=seconds)
    return _ordered(order, within_s=seconds + 4 * CALL_S)[lane.name]


def _ordered(order: Order, within_s: float) -> dict[str, Outcome]:
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(
        command, input=msgspec.json.encode(order), capture_output=True, cwd=_REPOSITORY, timeout=within_s, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode()[-2000:]}")
    outcomes = msgspec.json.decode(done.stdout, type=dict[str, Outcome])
    if failed := {name: each.failures for name, each in outcomes.items() if each.failures}:
        raise RuntimeError(f"not every call was answered with 200: {failed}")
    return outcomes


class Caller:
    """Calls one lane, and keeps account."""

    def __init__(self, lane: Lane, outcome: Outcome) -> None:
        self._lane = lane
        self._outcome = outcome
        self._exchange: Exchange | None = None

    async def call(self, *, counts: bool = True) -> None:
        """One call; the time to connect counts where each call has a connection of its own."""
        if self._lane.is_kept:
            await self._connected()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(CALL_S):
                status = await (await self._connected()).call(self._lane.request)
        except (OSError, TimeoutError) as error:
            self._fail(type(error).__name__)
            return
        took_ms = (time.perf_counter() - began) * 1000
        if not self._lane.is_kept:
            self.close()
        if status != 200:
            self._fail(str(status))
        elif counts:
            self._outcome.latencies_ms.append(took_ms)

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
        self._exchange = None

    async def _connected(self) -> Exchange:
        if self._exchange is None or not self._exchange.is_open:
            self._exchange = await Exchange.connect(self._lane.address)
        return self._exchange

    def _fail(self, why: str) -> None:
        self.close()
        self._outcome.failures[why] = self._outcome.failures.get(why, 0) + 1


async def carry_out(order: Order) -> dict[str, Outcome]:
    """What `order` asks for."""
    outcomes = {lane.name: Outcome(latencies_ms=[], failures={}) for lane in order.lanes}
    work = _in_turn if order.rounds else _at_once
    began = time.perf_counter()
    await work(order, outcomes)
    for outcome in outcomes.values():
        outcome.took_s = time.perf_counter() - began
    return outcomes


async def _in_turn(order: Order, outcomes: dict[str, Outcome]) -> None:
    callers = [Caller(lane, outcomes[lane.name]) for lane in order.lanes]
    for number in range(order.warm_up + order.rounds):
        shift = number % len(callers)  # nobody always follows the same other
        for caller in callers[shift:] + callers[:shift]:
            await caller.call(counts=number >= order.warm_up)
    for caller in callers:
        caller.close()


async def _at_once(order: Order, outcomes: dict[str, Outcome]) -> None:
    end = time.perf_counter() + order.seconds

    async def call_on(lane: Lane) -> None:
        outcome = outcomes[lane.name]
        caller = Caller(lane, outcome)
        while time.perf_counter() < end and len(outcome.latencies_ms) < _CALLS_AT_MOST:
            await caller.call()
        caller.close()

    async with asyncio.TaskGroup() as callers:
        for lane in order.lanes:
            for _ in range(order.connections):
                callers.create_task(call_on(lane))


if __name__ == "__main__":
    ordered = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(carry_out(ordered))))
