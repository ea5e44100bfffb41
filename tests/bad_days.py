"""This file makes bad days: a small disk that fills up, and a connection that is slow or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

_BLOCK = bytes(64 << 10)


class SmallDisk:
    """A file system of its own, which can be filled to the last byte and made free again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / ".filler"

    def fill(self) -> None:
        """From now on nothing more can be written."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (len(_BLOCK), 4096, 1):
                with contextlib.suppress(_Full), _translated():
                    while True:
                        os.write(descriptor, _BLOCK[:size])
        finally:
            os.close(descriptor)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)


class _Full(Exception):
    pass


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _Full from error


@contextlib.contextmanager
def mounted(path: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """A small disk at `path` inside. Skips the test for those who may not mount one."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError as error:
        pytest.skip(f"{error}: a small file system cannot be mounted")
    if done.returncode != 0:
        pytest.skip(f"{done.stderr.strip()}: a small file system cannot be mounted")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=10)


class Link:
    """A TCP proxy to one local port, as slow as `delay_s` says for each piece that the server sends; or it hangs."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        self.port = 0
        self.connections = 0  # that are open
        self.answers = 0  # pieces that the server sent

    def hang(self) -> None:
        """Nothing passes, and nobody is told."""
        self._flows.clear()

    def flow(self, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self._flows.set()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Link]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()  # nobody is there
            return
        self.connections += 1
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, back, is_answer=False))
                both.create_task(self._carry(there, writer, is_answer=True))
        except* OSError:
            pass
        finally:
            self.connections -= 1
            for end in (writer, back):
                end.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while data := await source.read(64 << 10):
            if is_answer and self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._flows.wait()
            self.answers += is_answer
            sink.write(data)
            await sink.drain()
        raise ConnectionResetError  # ends the other direction too
