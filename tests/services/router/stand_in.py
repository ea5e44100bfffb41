"""This file is a program that stands in for instances: a worker per Unix socket, doing what the call's headers say.

    python stand_in.py NAME=SOCKET…

It keeps the harness's contract with the router: one call at a time; a second one is held for `X-Modelway-Hold-Ms`, and
then refused with 503 before it starts.
`X-Test-Delay: 0.5` computes that long; `X-Test-Status: 500` answers so. The answer tells who answered and what came.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path


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
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status, answer = await self._answer(request, headers, body)
        data = json.dumps(answer).encode()
        more = "Retry-After: 1\r\n" if status == 503 else ""
        start = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\n{more}"
        writer.write(f"{start}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    async def _answer(self, request: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, object]]:
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
            return int(headers.get("x-test-status", "200")), {**said, "bytes": len(body)}
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
