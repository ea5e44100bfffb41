"""This file compares a worker, and the router before it, with other servers of models that PyPI has.

`PEERS_ROUNDS`, `PEERS_SECONDS` (of each measurement) and `PEERS_ONLY` (names, with semicolons between) make it shorter.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from benchmarks.aims import aims, reasons
from benchmarks.arenas import SERVERS, Arena, Service
from benchmarks.comparison import Cell, Comparison, Sample, panels, ratio_table, table
from benchmarks.contenders import CONTENDERS, FASTAPI, MOSEC, Contender
from benchmarks.exchange import Exchange
from benchmarks.figures import RESULTS, Found, percentile
from benchmarks.processes import cpu_s, lives
from benchmarks.stage import Stage
from benchmarks.storm import storm
from benchmarks.tasks import TASKS, Task
from tests.peers import PeerMissing, peer

HOW = (
    "The same three functions behind each server, with one worker: `x + y`; the sum of 52,000 numbers, 1 MB of JSON; "
    "1,000 numbers times a fixed matrix in numpy, 100 numbers out. Every server comes from PyPI in an environment of "
    "its own (`benchmarks/locks`), answers HTTP with JSON in the shape it has by itself, and is set up as somebody "
    "would who wants it quick: see below. All peers listen on TCP on this machine. In each round all are started "
    "afresh and have to answer rightly; then every server in turn, in an order drawn anew, is asked for each task "
    "over 1 and over 16 kept connections, by one and the same generator (`storm.py`, a process of its own). Those "
    "that wait for their turn take some 3 % of a core together. Values are medians over the rounds; ratios are taken "
    "within a round, and are medians of these."
)
COUNTS = (1, 16)
WARM_UP_S = 0.3
READY_S = 90.0
CALL_S = 15.0
LOCKS = Path(__file__).with_name("locks")
_ROUNDS, _SECONDS = "5", "1.2"
_NAMES = tuple(task.name for task in TASKS)


class Misfit(Exception):
    """A server cannot take part: it does not start, or it answers wrongly."""


class Contest:
    """All rounds, and who had to leave for which reason."""

    def __init__(self, contenders: list[Contender], seconds: float) -> None:
        self._seconds = seconds
        self._rounds: defaultdict[Cell, dict[int, Sample]] = defaultdict(dict)
        self.contenders = {each.name: each for each in contenders}
        self.left: dict[str, str] = {}
        self.failures: Counter[Cell] = Counter()
        self._pythons: dict[str, Path] = {}

    @property
    def found(self) -> Comparison:
        return Comparison(self._rounds)

    def install(self) -> None:
        for contender in list(self.contenders.values()):
            try:
                self._pythons[contender.name] = peer(contender.lock, locks=LOCKS)
            except PeerMissing as error:
                self._leave(contender, f"cannot be installed: {error}")

    async def play(self, number: int, kept: Path) -> None:
        """One round."""
        async with AsyncExitStack() as parts:
            contenders = list(self.contenders.values())
            entered = await asyncio.gather(*(self._enter(each, parts, kept) for each in contenders))
            services = {each.name: service for each, service in zip(contenders, entered, strict=True) if service}
            order = random.Random(number)  # noqa: S311 - the order only has to vary
            for task in TASKS:
                for count in COUNTS:
                    names = [name for name in services if name in self.contenders]
                    for name in order.sample(names, len(names)):
                        await self._measure(number, self.contenders[name], services[name], task, count)

    async def _enter(self, contender: Contender, parts: AsyncExitStack, kept: Path) -> Service | None:
        try:
            return await self._started(contender, parts, kept)
        except (Misfit, OSError, RuntimeError, subprocess.SubprocessError) as error:
            self._leave(contender, str(error))
            return None

    async def _started(self, contender: Contender, parts: AsyncExitStack, kept: Path) -> Service:
        """The server once it has given every function's right result."""
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="mwp-", ignore_cleanup_errors=True)))
        python = self._pythons[contender.name]
        arena = Arena(parts=parts, folder=folder, kept=kept, python=python)
        service = await contender.start(arena)
        end = time.monotonic() + READY_S
        for task in TASKS:
            while why := await _why_unready(contender, service, task):
                if time.monotonic() > end or not all(map(lives, service.processes)):
                    raise Misfit(f"does not answer: {why}; its log ends with: {arena.log()}")
                await asyncio.sleep(0.05)
        return service

    async def _measure(self, number: int, contender: Contender, service: Service, task: Task, count: int) -> None:
        cell, before = Cell(contender.name, task.name, count), cpu_s(service.processes)
        address, request = service.addresses[task.function], contender.shape.request(task)
        try:
            outcome = await asyncio.to_thread(
                storm,
                address,
                request,
                connections=count,
                seconds=self._seconds,
                warm_up_s=WARM_UP_S,
                asks_health=False,
            )
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            self._leave(contender, f"{task.name}, {count} connections: {error}")
            return
        self.failures[cell] += sum(outcome.failures.values())
        if not outcome.calls_ms:
            self._leave(contender, f"{task.name}, {count} connections: no call was answered in {self._seconds:g} s")
            return
        used_s = cpu_s(service.processes) - before
        self._rounds[cell][number] = Sample(
            per_second=_rounded(outcome.per_second),
            median_ms=_rounded(statistics.median(outcome.calls_ms)),
            p99_ms=_rounded(percentile(outcome.calls_ms, 99)),
            cpu_us=_rounded(used_s * 1e6 / (len(outcome.calls_ms) + outcome.calls_before)),
        )

    def _leave(self, contender: Contender, why: str) -> None:
        self.left[contender.name] = why
        del self.contenders[contender.name]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


async def _why_unready(contender: Contender, service: Service, task: Task) -> str:
    """Empty once it answers. Raises Misfit when it answers wrongly."""
    try:
        async with asyncio.timeout(CALL_S):
            exchange = await Exchange.connect(service.addresses[task.function])
            status = await exchange.call(contender.shape.request(task))
    except (OSError, TimeoutError) as error:
        return repr(error)
    exchange.close()
    if status != 200:
        return f"{task.name}: {status} {exchange.body[:300]!r}"
    try:
        is_right = task.is_answered_by(contender.result(exchange.body))
    except ValueError as error:
        raise Misfit(str(error)) from error
    if not is_right:
        raise Misfit(f"{task.name} is answered wrongly: {exchange.body[:300]!r}")
    return ""


def run(_: Stage) -> Found:
    rounds, seconds = int(os.environ.get("PEERS_ROUNDS", _ROUNDS)), float(os.environ.get("PEERS_SECONDS", _SECONDS))
    only = os.environ.get("PEERS_ONLY", "").split(";")
    contest = Contest([each for each in CONTENDERS if only == [""] or each.name in only], seconds)
    contest.install()
    with tempfile.TemporaryDirectory(prefix="mwp-") as kept:
        for number in range(rounds):
            asyncio.run(contest.play(number, Path(kept)))
            sys.stderr.write(f"peers: round {number + 1} of {rounds} is over\n")
    found = contest.found
    servers = [each.name for each in CONTENDERS if found.samples(Cell(each.name, _NAMES[0], COUNTS[0]), "per_second")]
    return Found(
        figures=aims(found, _NAMES[0], COUNTS),
        tables=(
            *(table(found, servers, task, COUNTS) for task in _NAMES),
            *(ratio_table(found, servers, other, _NAMES, COUNTS) for other in (MOSEC, FASTAPI)),
        ),
        notes=(*reasons(found, _NAMES[0], COUNTS), *_chart(found, servers), _setups(), _troubles(contest)),
    )


def _chart(found: Comparison, servers: list[str]) -> list[str]:
    drawn = msgspec.json.encode(panels(found, servers, _NAMES, COUNTS))
    try:
        command = [peer("matplotlib", locks=LOCKS), SERVERS / "chart.py", RESULTS / "peers.png"]
        subprocess.run(command, input=drawn, check=True, capture_output=True, timeout=60)
    except (PeerMissing, subprocess.SubprocessError) as error:
        return [f"The chart could not be drawn: {error}"]
    return ["![calls a second and latency, a bar for each server](peers.png)"]


def _setups() -> str:
    lines = (f"- {each.name}{_release(each.lock)}: {each.how}." for each in CONTENDERS)
    return "\n".join(["## How each is set up", "", *lines])


def _release(lock: str) -> str:
    """In brackets, from its lock file; nothing of what is not from there."""
    named = re.search(rf"^{lock}==(\S+)", (LOCKS / f"{lock}.lock").read_text(encoding="utf-8"), re.MULTILINE)
    return f" ({lock} {named[1]})" if named else ""


def _troubles(contest: Contest) -> str:
    lines = [f"- {name} had to leave: {why}" for name, why in contest.left.items()]
    for cell, count in contest.failures.items():
        if count:
            lines.append(
                f"- {cell.server}: {count:,} calls of {cell.task} over {cell.connections} were not answered with 200."
            )
    return "\n".join(["## What failed", "", *(lines or ["Nothing."])])
