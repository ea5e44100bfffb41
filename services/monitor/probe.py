"""This file asks one worker of an instance for its health, over its Unix socket or TCP."""

from __future__ import annotations

import asyncio

import aiohttp

from services.core.health import Answer, Probe
from services.core.ids import InstanceId

_MISDIRECTED = 421
_BODY_BYTES = 4096


async def probe(address: str, instance_id: InstanceId, worker: int, *, timeout_s: float) -> Probe:
    """What the worker answers within `timeout_s`. Raises nothing.

    A connection of its own each time: one that was kept would not tell whether the worker takes new ones. The header
    names who is meant, so that nobody answers for a predecessor at the same address.
    """
    headers = {"X-Modelway-Server": f"{instance_id}.{worker}"}
    is_socket = address.startswith("/")
    connector = aiohttp.UnixConnector(address) if is_socket else aiohttp.TCPConnector(force_close=True)
    url = "http://instance/health" if is_socket else f"http://{address}/health"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            await response.content.read(_BODY_BYTES)  # so that nobody is cut off in the middle of a word
            return _judge(response.status, worker)
    except TimeoutError:
        return Probe(Answer.SILENT, f"worker {worker} did not answer its health check within {timeout_s:g} s")
    except (aiohttp.ClientConnectorError, FileNotFoundError, ConnectionError):
        return Probe(Answer.SILENT, f"worker {worker} takes no connections")
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError):
        return Probe(Answer.SILENT, f"worker {worker} broke off its answer to the health check")


def _judge(status: int, worker: int) -> Probe:
    if status == 200:
        return Probe(Answer.HEALTHY)
    if status == _MISDIRECTED:
        return Probe(Answer.UNHEALTHY, f"another instance answers where worker {worker} should")
    return Probe(Answer.UNHEALTHY, f"worker {worker} answered its health check with status {status}")
