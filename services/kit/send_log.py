"""This file sends log lines: in chunks the bus takes, without waiting for it, and says how many it had to drop."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec
import nats.errors
from nats.aio.client import Client

from services.core.records import LogLine

_PENDING_BYTES = 1 << 20  # that wait to be sent; beyond that lines wait for the server
_WAIT_S = 1
_CHUNK_BYTES = 64 << 10


class LogSender:
    """Log lines are telemetry: better a gap that is told than a builder that waits for its log."""

    def __init__(self) -> None:
        self._dropped = 0

    async def send(self, client: Client, subject: str, lines: Sequence[LogLine]) -> None:
        """Send without asking whether they arrived. Never raises, and waits a second at most for a slow bus;
        then, and while it is away, lines are dropped, and one of ours says how many once it is back.
        """
        for chunk in _chunks(lines):
            if not await _has_room(client):
                self._dropped += len(chunk)
                continue
            missing = self._dropped
            try:
                await client.publish(subject, msgspec.json.encode(_with_gap(chunk, missing)))
            except (OSError, nats.errors.Error):
                self._dropped += len(chunk)
            else:
                self._dropped -= missing


async def _has_room(client: Client) -> bool:
    if not client.is_connected:
        return False
    if client.pending_data_size < _PENDING_BYTES:
        return True
    with contextlib.suppress(TimeoutError, OSError, nats.errors.Error):
        await client.flush(timeout=_WAIT_S)
        return True
    return False


def _with_gap(lines: list[LogLine], missing: int) -> list[LogLine]:
    if not missing:
        return lines
    text = f"{missing} lines are missing here: the bus was away or too slow"
    return [LogLine(at=lines[0].at, text=text, stream="modelway"), *lines]


def _chunks(lines: Sequence[LogLine]) -> list[list[LogLine]]:
    chunks: list[list[LogLine]] = []
    room = 0
    for line in lines:
        size = len(line.text) * 2 + 100  # JSON may escape; an estimate far below the server's 1 MB
        if size > room or not chunks:
            chunks.append([])
            room = _CHUNK_BYTES
        chunks[-1].append(line)
        room -= size
    return chunks
