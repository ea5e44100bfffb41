"""This file answers `GET /healthz`: does this process work, and if not, why not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import msgspec

from services.kit.process import Stop

_REQUEST_S = 2.0  # for a whole request and its answer; nobody may hold a connection longer
_HEAD_BYTES = 8192

Check = Callable[[], str | None]


async def serve_health(stop: Stop, *, host: str, port: int, checks: Mapping[str, Check]) -> None:
    """Serve until `stop`. Each check returns None while all is well, else the reason it is not.

    200 `{"status": "ok", "checks": {"bus": "ok"}}`, or 503 with `"status": "failing"` and the reasons.
    A few lines on asyncio's own server instead of a framework: four services need HTTP for nothing else.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, checks))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, port, limit=_HEAD_BYTES)
    async with server:
        await stop.wait()


def _response(head: bytes, checks: Mapping[str, Check]) -> bytes:
    method, target = ([*head.split(b" ", 2), b"", b""])[:2]
    if target.split(b"?")[0] != b"/healthz":
        return _http("404 Not Found", {"error": "only /healthz is here"})
    if method not in {b"GET", b"HEAD"}:
        return _http("405 Method Not Allowed", {"error": "only GET is allowed"})
    status, body = _health(checks)
    response = _http(status, body)
    return response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else response


def _health(checks: Mapping[str, Check]) -> tuple[str, dict[str, object]]:
    reasons = {name: check() for name, check in checks.items()}
    is_well = all(reason is None for reason in reasons.values())
    shown = {name: reason or "ok" for name, reason in reasons.items()}
    return ("200 OK" if is_well else "503 Service Unavailable"), {
        "status": "ok" if is_well else "failing",
        "checks": shown,
    }


def _http(status: str, body: dict[str, object]) -> bytes:
    data = msgspec.json.encode(body)
    fields = ("Content-Type: application/json", f"Content-Length: {len(data)}", "Connection: close")
    return "\r\n".join((f"HTTP/1.1 {status}", *fields, "", "")).encode() + data
