"""This file is one HTTP/1.1 connection that costs little: bytes made before go out, a status comes back.

It knows only what the measured servers say: answers with a Content-Length, or chunked, and no trailers.
"""

from __future__ import annotations

import asyncio
from typing import Self

HEAD_ENDS = b"\r\n\r\n"
CHUNKS_END = b"0\r\n\r\n"


class Exchange(asyncio.Protocol):
    """One call at a time on one connection. `is_open` is False once the server closed it, or said that it will."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_open = False

    @classmethod
    async def connect(cls, address: str) -> Self:
        """A connection to `address`: the absolute path of a Unix socket, or host:port."""
        loop = asyncio.get_running_loop()
        if address.startswith("/"):
            _, exchange = await loop.create_unix_connection(cls, address)
        else:
            host, _, port = address.rpartition(":")
            _, exchange = await loop.create_connection(cls, host, int(port))
        return exchange

    def call(self, request: bytes) -> asyncio.Future[int]:
        """Sends `request`; the status once the whole answer is here. Fails with ConnectionError."""
        self._received.clear()
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or not self.is_open:
            self._fail()
        else:
            self._transport.write(request)
        return self._answer

    @property
    def body(self) -> bytes:
        """Of the last answer, as it came."""
        return bytes(self._received).partition(HEAD_ENDS)[2]

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_ends = self._received.find(HEAD_ENDS)
        if head_ends < 0 or not self._is_whole(head_ends):
            return
        if b"connection: close" in self._received[:head_ends].lower():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(self._received[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail()

    def _fail(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))

    def _is_whole(self, head_ends: int) -> bool:
        head = bytes(self._received[:head_ends]).lower()
        _, _, length = head.partition(b"content-length:")
        if length:
            return len(self._received) >= head_ends + len(HEAD_ENDS) + int(length.split(b"\r\n", 1)[0])
        return self._received.endswith(CHUNKS_END)


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A whole request, to be sent as it is again and again."""
    lines = [f"{method} {path} HTTP/1.1", "Host: modelway", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join((*lines, "", "")).encode() + body
