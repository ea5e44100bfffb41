"""This file is a build's log on its way to the bus: in small batches, and bounded in every direction."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

from services.core.records import LogLine

BATCH_BYTES = 64 * 1024
BATCH_S = 0.05
LINE_BYTES = 16 * 1024
LIMIT_BYTES = 4 << 20  # of the programs' output; of what comes beyond only the end is kept
TAIL_BYTES = 32 * 1024
PLATFORM = "modelway"
OUTPUT = "stdout"

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+(?=@)")

Publish = Callable[[Sequence[LogLine]], Awaitable[None]]


class BuildLog:
    """What the platform says (`say`) and what its programs print (`write`), in the order of the calls.

    `write` waits while a full batch is on its way, which holds up the program that prints. Nothing is sent
    after `opened` was left. `publish` must not raise.
    """

    def __init__(self, publish: Publish, now: Callable[[], datetime], *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._publish = publish
        self._now = now
        self._left_bytes = limit_bytes
        self._skipped_bytes = 0
        self._tail = b""
        self._unfinished = b""
        self._batch: list[LogLine] = []
        self._batch_bytes = 0
        self._sending = asyncio.Lock()
        self._has_lines = asyncio.Event()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[BuildLog]:
        """Lines are sent inside, the last of them at the end."""
        sender = asyncio.create_task(self._send_now_and_then())
        try:
            yield self
        finally:
            sender.cancel()
            await asyncio.wait({sender})
            self.end_output()
            await self._send()

    def say(self, text: str) -> None:
        """A line, or several, of the platform's own. They are short and few: no bound counts them."""
        self.end_output()
        for line in text.splitlines():
            self._add(line.encode(), PLATFORM)

    async def write(self, data: bytes) -> None:
        """What a program printed, from anywhere in a line to anywhere in a line."""
        kept, beyond = data[: self._left_bytes], data[self._left_bytes :]
        self._left_bytes -= len(kept)
        if kept:
            *lines, self._unfinished = (self._unfinished + kept).split(b"\n")
            for line in lines:
                self._add(line, OUTPUT)
            while len(self._unfinished) > LINE_BYTES:
                self._add(self._unfinished[:LINE_BYTES], OUTPUT)
                self._unfinished = self._unfinished[LINE_BYTES:]
        if beyond:
            self._tail += beyond
            self._skipped_bytes += max(0, len(self._tail) - TAIL_BYTES)
            self._tail = self._tail[-TAIL_BYTES:]
        if self._batch_bytes >= BATCH_BYTES:
            await self._send()

    def end_output(self) -> None:
        """A program has ended: its unfinished line is a line, and the end of what was left out is shown."""
        self._finish_line()
        if self._tail:
            self._add(
                f"[... the output is too long: {self._skipped_bytes} bytes are left out ...]".encode(),
                PLATFORM,
            )
            for line in self._tail.splitlines():
                self._add(line, OUTPUT)
        self._tail, self._skipped_bytes = b"", 0

    def _finish_line(self) -> None:
        if self._unfinished:
            self._add(self._unfinished, OUTPUT)
            self._unfinished = b""

    def _add(self, line: bytes, stream: str) -> None:
        for start in range(0, max(1, len(line)), LINE_BYTES):
            text = line[start : start + LINE_BYTES].decode(errors="replace").rstrip("\r").replace("\0", "")
            text = _CREDENTIALS.sub("***", text)
            self._batch.append(LogLine(at=self._now(), text=text, stream=stream))
            self._batch_bytes += len(text) + 64
        self._has_lines.set()

    async def _send_now_and_then(self) -> None:
        while True:
            await self._has_lines.wait()
            await asyncio.sleep(BATCH_S)
            await self._send()

    async def _send(self) -> None:
        async with self._sending:
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            self._has_lines.clear()
            if batch:
                await self._publish(batch)
