"""This file is the conversation with HAProxy's master socket: who lives, what they know, what they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from services.core.errors import NotFound, Unavailable

ASK_S = 5.0
RELOAD_S = 30.0
_GONE = b"Can't find the target PID"
_ANSWER_BYTES = 256 << 20  # a bound; the state of thousands of servers takes a few megabytes


class WorkerProcess(msgspec.Struct, frozen=True):
    """A worker as the master lists it."""

    pid: int
    is_newest: bool


class Reload(msgspec.Struct, frozen=True):
    """What came of a reload. `complaint` is HAProxy's own words when it did not accept the files."""

    is_done: bool
    complaint: str = ""


class Master:
    """HAProxy's master process. Every method raises `Unavailable` when it does not answer in time, and those that name
    a worker raise `NotFound` when it has ended.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def workers(self) -> list[WorkerProcess]:
        """All live workers, the newest first."""
        return list(_workers(await self._ask(["show proc"])))

    async def reload(self) -> Reload:
        """Start a new worker on the files. Returns once it serves; when it cannot, the old one serves on."""
        answer = await self._ask(["reload"], within_s=RELOAD_S)
        first, _, rest = answer.partition("\n")
        is_done = first.strip() == "Success=1"
        return Reload(is_done, "" if is_done else _complaints(rest))

    async def ask(self, pid: int, *commands: str) -> str:
        """The worker's answers to some commands, one after the other."""
        return await self._ask_worker(pid, commands)

    async def tell(self, pid: int, commands: Sequence[str]) -> str:
        """Carry out `commands` in order; returns what the worker objected to, "" when nothing."""
        answer = await self._ask_worker(pid, commands)
        return "\n".join(line for line in answer.splitlines() if line.strip())

    async def _ask_worker(self, pid: int, commands: Sequence[str]) -> str:
        answer = await self._ask([f"@!{pid} {command}" for command in commands])
        if _GONE.decode() in answer[-200:]:
            raise NotFound(f"the HAProxy worker {pid} has ended")
        return answer

    async def _ask(self, lines: Iterable[str], *, within_s: float = ASK_S) -> str:
        try:
            async with asyncio.timeout(within_s):
                return await self._converse("".join(f"{line}\n" for line in lines).encode())
        except TimeoutError as error:
            raise Unavailable("HAProxy's master did not answer in time") from error
        except OSError as error:
            raise Unavailable(f"HAProxy's master is away: {error.strerror or error}") from error

    async def _converse(self, request: bytes) -> str:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(request)
            writer.write_eof()  # "there is no more": it closes after the last answer
            answer = bytearray()
            # Of a worker that has ended the master says so, and then leaves the connection open for ever: we close it.
            while _GONE not in answer[-200:] and (part := await reader.read(1 << 16)) and len(answer) < _ANSWER_BYTES:
                answer += part
            return answer.decode(errors="replace")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _workers(answer: str) -> Iterator[WorkerProcess]:
    is_newest = False
    for line in answer.splitlines():
        if line.startswith("#"):
            is_newest = line.strip() == "# workers"
        elif (words := line.split()) and words[1:2] == ["worker"]:
            yield WorkerProcess(int(words[0]), is_newest)


def _complaints(text: str) -> str:
    lines = [line for line in text.splitlines() if "[ALERT]" in line or "[WARNING]" in line]
    return "\n".join(lines[:20])
