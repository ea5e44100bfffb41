"""This file is the load, in a process of its own so that nothing else there slows it: calls at a steady pace.

    python -m tests.load.generator JOURNAL < order.json

It calls until its standard input is closed, so it ends with who started it. Each call becomes a line of the journal a
moment after it ended; `tests.load.load` starts this process and reads the lines.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

import msgspec

from benchmarks.exchange import Exchange

WRITE_EVERY_S = 0.05
_VERSION = re.compile(rb'"model_version_number": ?(\d+)')
_TOLD_BYTES = 300


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One way to make a call. With `per_second` at that pace, whatever becomes of the calls before; else as many
    `callers`, each calls again once it is answered.
    """

    name: str
    address: str  # host:port
    request: bytes
    per_second: float = 0.0
    callers: int = 0
    new_every: int = 2  # every so many calls open a connection of their own, the others keep theirs; 0: none do


class Order(msgspec.Struct, frozen=True, kw_only=True):
    lanes: tuple[Lane, ...]
    give_up_s: float = 90.0  # on a call
    most_at_once: int = 200  # calls of a lane that are not answered yet; beyond that a call fails unsent


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call, in seconds of the monotonic clock, which all processes of a machine share."""

    lane: str
    sent_at: float
    wait_s: float  # until the whole answer was there, the connection included
    status: int  # 0: there was no answer
    version: int  # that answered, by its number; 0: nobody did
    what: str  # went wrong, or ""
    late_s: float  # after its time, because this process was slow

    @property
    def ended_at(self) -> float:
        return self.sent_at + self.wait_s


class Journal:
    """Takes calls down, and has them in its file soon."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []

    def note(self, call: Call) -> None:
        self._lines.append(self._encoder.encode(call) + b"\n")

    async def write(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        self._file.write(b"".join(lines))
        self._file.flush()


class Caller:
    """Makes the calls of one lane."""

    def __init__(self, lane: Lane, order: Order, journal: Journal) -> None:
        self._lane = lane
        self._order = order
        self._journal = journal
        self._idle: deque[Exchange] = deque()
        self._calls = 0
        self._at_once = 0

    async def call_on(self) -> None:
        """For ever: at the lane's pace, or with its callers."""
        async with asyncio.TaskGroup() as calls:
            if self._lane.per_second:
                await self._keep_pace(calls)
            for _ in range(self._lane.callers):
                calls.create_task(self._again_and_again())

    async def _keep_pace(self, calls: asyncio.TaskGroup) -> None:
        due = time.monotonic()
        while True:
            due += 1 / self._lane.per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._at_once < self._order.most_at_once:
                calls.create_task(self._call(due))
            else:
                self._note(due, 0.0, what="not sent: too many calls wait")

    async def _again_and_again(self) -> None:
        while True:
            await self._call(time.monotonic())

    async def _call(self, due: float) -> None:
        self._calls += 1
        is_new = self._lane.new_every and self._calls % self._lane.new_every == 0
        sent_at = time.monotonic()
        status, version, what = 0, 0, ""
        self._at_once += 1
        try:
            async with asyncio.timeout(self._order.give_up_s):
                exchange = await self._connection(is_new=bool(is_new))
                status = await exchange.call(self._lane.request)
            version, what = _read(status, exchange.body)
            self._put_away(exchange, is_new=bool(is_new))
        except TimeoutError:
            what = f"no answer within {self._order.give_up_s:g} s"
        except OSError as error:
            what = repr(error)
        finally:
            self._at_once -= 1
        self._note(sent_at, max(0.0, sent_at - due), status=status, version=version, what=what)

    async def _connection(self, *, is_new: bool) -> Exchange:
        while self._idle and not is_new:
            exchange = self._idle.popleft()
            if exchange.is_open:
                return exchange
        return await Exchange.connect(self._lane.address)

    def _put_away(self, exchange: Exchange, *, is_new: bool) -> None:
        if is_new:
            exchange.close()
        elif exchange.is_open:
            self._idle.append(exchange)

    def _note(self, sent_at: float, late_s: float, *, status: int = 0, version: int = 0, what: str = "") -> None:
        wait_s = time.monotonic() - sent_at
        self._journal.note(Call(self._lane.name, sent_at, wait_s, status, version, what, late_s))


def _read(status: int, body: bytes) -> tuple[int, str]:
    """The version that answered, and what is wrong with the answer."""
    found = _VERSION.search(body)
    version = int(found[1]) if found else 0
    wrong = "" if status == 200 else f"{status} {body[:_TOLD_BYTES].decode(errors='replace')}"
    return version, wrong


async def carry_out(order: Order, journal: Journal) -> None:
    """Call, until standard input is closed."""
    works = [asyncio.create_task(Caller(lane, order, journal).call_on()) for lane in order.lanes]
    works.append(asyncio.create_task(journal.write()))
    closed = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    done, _ = await asyncio.wait((closed, *works), return_when=asyncio.FIRST_COMPLETED)
    for each in works:
        each.cancel()
    await asyncio.gather(*works, return_exceptions=True)
    journal.flush()
    for each in done - {closed}:
        each.result()  # a work that ended by itself says why


def main(journal: Path) -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    with journal.open("ab") as file:
        asyncio.run(carry_out(order, Journal(file)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
