"""This file speaks HTTP by hand: quickly, or as no client should."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from dataclasses import dataclass

from tests.services.router.parts import LATEST, Place

_PATIENCE_S = 20.0


async def who_answered(place: Place, count: int, *lines: str, connections: int = 8) -> Counter[str]:
    """The servers that answered `count` calls with these header lines, all of which must end well."""
    request = head(*lines, "Content-Length: 2") + b"{}"
    seen: Counter[str] = Counter()

    async def call_on(calls: int) -> None:
        left = calls
        while left:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            is_open = True
            while left and is_open:
                writer.write(request)
                answer = await _answer(reader)
                assert answer.status == 200, answer
                seen[json.loads(answer.body)["server"]] += 1
                left, is_open = left - 1, "connection: close" not in answer.head.lower()
            writer.close()

    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.gather(*(call_on(count // connections) for _ in range(connections)))
    return seen


@dataclass
class Answer:
    status: int
    head: str
    body: bytes


async def _answer(reader: asyncio.StreamReader) -> Answer:
    raw = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((line for line in raw.lower().split("\r\n") if line.startswith("content-length: ")), ": 0")
    body = await reader.readexactly(int(length.partition(": ")[2]))
    return Answer(int(raw.split(" ")[1]), raw, body)


def head(*lines: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join((f"POST {LATEST} {version}", "Host: x", *lines, "", "")).encode()


class Connection:
    """One connection, byte by byte."""

    def __init__(self, place: Place) -> None:
        self._socket = socket.create_connection(("127.0.0.1", place.port), _PATIENCE_S)
        self._said = bytearray()

    def send(self, *parts: bytes) -> Connection:
        for each in parts:
            self._socket.sendall(each)
        return self

    def answer(self) -> Answer:
        """The next answer, whole."""
        while b"\r\n\r\n" not in self._said:
            self._more()
        end = self._said.index(b"\r\n\r\n")
        text, self._said = self._said[:end].decode(), self._said[end + 4 :]
        length = next((line for line in text.lower().split("\r\n") if line.startswith("content-length: ")), ": 0")
        size = int(length.partition(": ")[2])
        while len(self._said) < size:
            self._more()
        body, self._said = bytes(self._said[:size]), self._said[size:]
        return Answer(int(text.split(" ")[1]), text, body)

    def is_closed(self) -> bool:
        """Whether the server closes it, and says no more."""
        try:
            return not self._said and self._socket.recv(1) == b""
        except ConnectionResetError:  # something of ours had not been read
            return True

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> None:
        part = self._socket.recv(1 << 16)
        assert part, f"closed after {self._said!r}"
        self._said += part
