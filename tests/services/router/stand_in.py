"""This file is a program that stands in for instances: a worker per Unix socket, doing what the call's headers say.

    python stand_in.py NAME=SOCKET…

It keeps the harness's contract with the router: one call at a time; a second one is held for `X-Modelway-Hold-Ms`, and
then refused with 503 before it starts.
`X-Test-Delay: 0.5` computes that long; `X-Test-Status: 500` answers so; `X-Test-Answer-Bytes: 1000` answers with so
many bytes; `X-Test-End: before` or `during` closes the connection before the answer, or in the middle of it. The answer
tells who answered and what came.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

CHUNK = 1 << 16


async def _skip(reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
    """Read a body of a told length, without keeping it."""
    length = left = int(headers.get("content-length", "0"))
    while left:
        part = await reader.read(min(left, CHUNK))
        if not part:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(part)
    return length


async def _skip_chunks(reader: asyncio.StreamReader) -> int:
    size = 0
    while chunk := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        size += chunk
        await _skip(reader, {"content-length": str(chunk + 2)})
    await reader.readuntil(b"\r\n")
    return size


class Worker:
    def __init__(self, name: str) -> None:
        self._name = name
        self._free = asyncio.Lock()
        self._calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = await (_skip_chunks(reader) if "transfer-encoding" in headers else _skip(reader, headers))
        status, answer = await self._answer(request, headers, size)
        end, data = headers.get("x-test-end"), json.dumps(answer).encode()
        if end == "before":
            return False
        much = int(headers.get("x-test-answer-bytes", "0"))
        more = "Retry-After: 1\r\n" if status == 503 else ""
        start = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\n{more}"
        writer.write(f"{start}Content-Length: {much or len(data)}\r\n\r\n".encode())
        if end == "during":
            writer.write(data[: len(data) // 2])
            return False
        for at in range(0, much, CHUNK):
            writer.write(b" " * min(CHUNK, much - at))
            await writer.drain()
        writer.write(b"" if much else data)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    async def _answer(self, request: str, headers: dict[str, str], size: int) -> tuple[int, dict[str, object]]:
        if headers.get("x-modelway-server") != self._name:
            return 421, {"errors": [f"this is {self._name}"]}
        try:
            async with asyncio.timeout(int(headers.get("x-modelway-hold-ms", "0")) / 1000):
                await self._free.acquire()
        except TimeoutError:
            return 503, {"errors": ["this worker is busy"]}
        try:
            self._calls += 1
            await asyncio.sleep(float(headers.get("x-test-delay", "0")))
            said = {"server": self._name, "calls": self._calls, "request": request, "headers": headers}
            return int(headers.get("x-test-status", "200")), {**said, "bytes": size}
        finally:
            self._free.release()


async def main(places: list[str]) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    for place in places:
        name, _, path = place.partition("=")
        await asyncio.to_thread(Path(path).unlink, missing_ok=True)
        await asyncio.start_unix_server(Worker(name).serve, path, backlog=16)
    print("ready", flush=True)
    await stopping.wait()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
