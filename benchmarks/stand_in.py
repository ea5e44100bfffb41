"""This file is a process that answers like the workers of many instances, by any name, at hardly any cost.

    python -m benchmarks.stand_in SOCKET...

It says `ready` once it listens everywhere, and ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import re
import sys

HEAD_ENDS = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SERVER = re.compile(rb"\r\nx-modelway-server: *([^\r]+)", re.IGNORECASE)


class Answering(asyncio.Protocol):
    """Answers each request with the name of the server that it was sent to."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_ends := self._received.find(HEAD_ENDS)) >= 0:
            head = bytes(self._received[:head_ends])
            length = _LENGTH.search(head)
            ends = head_ends + len(HEAD_ENDS) + (int(length[1]) if length else 0)
            if len(self._received) < ends:
                return
            del self._received[:ends]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        server = _SERVER.search(head)
        body = server[1] if server else b""
        text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if self._transport is not None:
            self._transport.write(text)


async def serve(sockets: list[str]) -> None:
    loop = asyncio.get_running_loop()
    for path in sockets:
        await loop.create_unix_server(Answering, path, backlog=512)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
