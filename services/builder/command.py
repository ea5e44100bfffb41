"""This file runs a program for a build: in a process group and a session of its own, with a bound and a sure end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from services.core.errors import Unavailable

TETHER = Path(__file__).parent / "apart" / "tether.py"
CHUNK_BYTES = 64 * 1024
TAIL_BYTES = 256 * 1024
FULL = os.strerror(errno.ENOSPC).encode()  # as every program says it
NO_ROOM = "the builder's disk is full"
RSCRIPT = ("Rscript", "--vanilla", "--default-packages=utils")  # others take their time to load

# What a program of a build may see of the builder's environment. Credentials of an index live in `UV_*`.
_PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC")
_PASSED_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

Arguments = Sequence[str | Path]
Output = Callable[[bytes], Awaitable[None]]


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that a build's programs get: no password, key or setting of the platform's is in it."""
    names = {*_PASSED, *_PASSED_PROXIES, *(name.lower() for name in _PASSED_PROXIES)}
    passed = {name: value for name, value in environ.items() if name in names or name.startswith("UV_")}
    return {**passed, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}


async def run(
    arguments: Sequence[str | Path], environ: Mapping[str, str], output: Output, *, question: bytes = b""
) -> int:
    """The exit code of a program, negative for a signal; `output` gets what it writes, both streams as one.

    Whatever ends the call, the program and all it started in its group are dead when it returns; they also
    die with this process. It runs in `/`, so no project file there can configure it. Raises `Unavailable`
    when it cannot be started. `question` is its input.
    """
    command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *map(str, arguments)]
    async with _pipe() as (reader, writing_end):
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=writing_end,
                stderr=writing_end,
                env=dict(environ),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"a program of the build could not be started: {error.strerror}") from error
        finally:
            os.close(writing_end)
        talking = asyncio.create_task(_talk(process, question, reader, output))
        try:
            return await _end(process, talking)
        finally:
            _kill_group(process.pid)
            talking.cancel()
            await asyncio.wait({talking})
            await process.wait()


async def _end(process: asyncio.subprocess.Process, talking: asyncio.Task[None]) -> int:
    """The exit code, once all output was taken; a failure to take it ends the wait."""
    waiting = asyncio.create_task(process.wait())
    await asyncio.wait({talking, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if talking.done():
        talking.result()
    code = await waiting
    _kill_group(process.pid)  # a grandchild may still hold the pipe
    await talking
    return code


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe of our own: with one of asyncio's, waiting for a process also waits for all who inherited it."""
    reading_end, writing_end = os.pipe()
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading_end, "rb", 0)
    )
    try:
        yield reader, writing_end
    finally:
        transport.close()


async def _talk(
    process: asyncio.subprocess.Process, question: bytes, reader: asyncio.StreamReader, output: Output
) -> None:
    if process.stdin is None:
        raise RuntimeError("the program was started without an input")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(question)
        await process.stdin.drain()
    process.stdin.close()
    while data := await reader.read(CHUNK_BYTES):
        await output(data)


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


class Tail:
    """The end of what a program writes, on its way to somebody else: its reason is in there."""

    def __init__(self, limit_bytes: int = TAIL_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._data = bytearray()

    def then(self, output: Output) -> Output:
        async def listen(data: bytes) -> None:
            self._data += data
            if len(self._data) > 2 * self._limit_bytes:  # now and then: not a copy for every piece
                del self._data[: -self._limit_bytes]
            await output(data)

        return listen

    def __bytes__(self) -> bytes:
        return bytes(self._data[-self._limit_bytes :])


class Answer:
    """What a program wrote, kept up to a bound; more makes it unusable."""

    def __init__(self, limit_bytes: int = 1 << 20) -> None:
        self._limit_bytes = limit_bytes
        self._data = bytearray()

    async def __call__(self, data: bytes) -> None:
        if len(self._data) + len(data) > self._limit_bytes:
            raise Unavailable("a program of the build answered with too much")
        self._data += data

    def __bytes__(self) -> bytes:
        return bytes(self._data)
