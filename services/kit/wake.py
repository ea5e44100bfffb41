"""This file is a bell: whoever waits is woken by the next ring, and rings nobody heard count as one."""

from __future__ import annotations

import asyncio

from services.kit.process import Stop


class Wake:
    """Rung by any number of sources, awaited by one. One bell may serve several mirrors: any change wakes."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """True once it rang since the last true answer; false when `timeout_s` passed. Safe to cancel."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    async def wait_or(self, stop: Stop, timeout_s: float) -> bool:
        """Like `wait`, but ends with false as soon as the process should end."""
        ringing = asyncio.ensure_future(self._event.wait())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({ringing, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ringing.cancel()
            stopping.cancel()
        if stop.is_set or not self._event.is_set():
            return False
        self._event.clear()
        return True
