"""This file keeps an old worker of HAProxy alive until its last counters were read: it would end with its last call."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

_CONNECT_S = 2.0


class Hold:
    """An open connection to one worker, over which nothing is ever said. The worker lives until it is let go, or until
    its `hard-stop-after`; also when this process ends it is let go.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @classmethod
    async def of_newest(cls, path: Path) -> Hold | None:
        """Of the worker that takes connections; None when there is none, or it knows of no such socket."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.get_running_loop().sock_connect(connection, str(path))
        except (TimeoutError, OSError):
            connection.close()
            return None
        return cls(connection)

    @property
    def is_held(self) -> bool:
        """False once HAProxy has closed it."""
        try:
            self._connection.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def let_go(self) -> None:
        self._connection.close()
