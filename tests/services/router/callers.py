"""This file is a program that calls one URL from many keep-alive connections until its standard input is closed.

    python callers.py PORT PATH CONNECTIONS DELAY

It then prints, as JSON, how often each status came, how many calls failed on the connection, the longest call, and how
many connections were made. A connection that the server closes under a call that was already sent is a failure.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter


class Callers:
    def __init__(self, port: int, path: str, delay_s: str) -> None:
        self._port = port
        lines = f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 11"
        self._request = "\r\n".join((*lines, f"X-Test-Delay: {delay_s}", "", '{"data":{}}')).encode()
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.connections = 0
        self.longest_s = 0.0
        self.is_over = False

    async def call_on_and_on(self) -> None:
        while not self.is_over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self.connections += 1
            try:
                while not self.is_over and await self._call(reader, writer):
                    pass
            finally:
                writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        started_at = time.monotonic()
        try:
            async with asyncio.timeout(30):
                writer.write(self._request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next(line for line in head.split("\r\n") if line.startswith("content-length: "))
                await reader.readexactly(int(length.partition(": ")[2]))
        except Exception as error:  # whatever it is, the caller got no answer
            self.failures[type(error).__name__] += 1
            return False
        self.statuses[head.split(" ")[1]] += 1
        self.longest_s = max(self.longest_s, time.monotonic() - started_at)
        return "connection: close" not in head


async def main() -> None:
    port, path, connections, delay_s = sys.argv[1:]
    callers = Callers(int(port), path, delay_s)
    loop = asyncio.get_running_loop()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(setattr, callers, "is_over", True)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    await asyncio.gather(*(callers.call_on_and_on() for _ in range(int(connections))))
    print(
        json.dumps(
            {
                "statuses": callers.statuses,
                "failures": callers.failures,
                "longest_s": callers.longest_s,
                "connections": callers.connections,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
