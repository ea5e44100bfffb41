"""This file is loaded into the supervisor: it ends a server that lives but says that it cannot go on.

The supervisor starts again what dies. After a full disk NATS takes no message into a stream ever again, and the
database answers nothing; both live on, and both are well after a start. So they are ended, once there is room. And
NATS goes on for ever with streams whose files were deleted: it takes no message and says nothing to anybody.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor import events

DATABASE_CANNOT_GO_ON = b"WT_PANIC: WiredTiger library panic"
BUS_CANNOT_GO_ON = ("write error", "JetStream not enabled", "JetStream has been disabled")
ROOM_BYTES = 16 << 20  # less is as good as full: the server would be back where it was
MAX_BACK_OFF_S = 10  # between two starts of what dies at once; supervisord's own grows without a bound
_ASK_S = 2.0


class _Commands:
    """What can be asked of us over the supervisor's socket: nothing."""


def make_revival(supervisord: Any, root: str) -> _Commands:
    """Begin to listen. supervisord calls this, as its configuration says."""
    revival = Revival(supervisord, Path(root), lambda: bus_fault(Path(root) / "config" / "nats.conf"))
    events.subscribe(events.ProcessLogStdoutEvent, revival.listen)
    events.subscribe(events.Tick5Event, revival.look)
    return _Commands()


class Revival:
    """Listens to the database and asks NATS, of the home at `root`. Never raises into the supervisor, nor blocks it."""

    def __init__(self, supervisord: Any, root: Path, bus_fault: Callable[[], str | None]) -> None:
        self._supervisord = supervisord
        self._root = root
        self._bus_fault = bus_fault
        self._heard = b""
        self._stuck: dict[str, int] = {}  # name -> the process that cannot go on
        self._asking: threading.Thread | None = None
        self._streams = StreamFolders(root / "nats")

    def listen(self, event: Any) -> None:
        """To what the database prints, which comes in pieces."""
        if event.process.config.name == "database":
            said = self._heard + event.data
            self._heard = said[-len(DATABASE_CANNOT_GO_ON) :]
            if DATABASE_CANNOT_GO_ON in said:
                self._stuck["database"] = event.pid

    def look(self, _event: Any) -> None:
        logger = self._supervisord.options.logger
        try:
            for process in self._processes():
                process.backoff = min(process.backoff, MAX_BACK_OFF_S)
                self._revive(process, logger)
        except Exception as error:  # whatever it is: the supervisor has to live
            logger.warn(f"servers could not be looked at: {error!r}")

    def _revive(self, process: Any, logger: Any) -> None:
        name = process.config.name
        if name == "nats" and process.pid and self._streams.has_lost_one(process.pid):
            self._stuck["nats"] = process.pid
        if name == "nats" and process.pid and not (self._asking and self._asking.is_alive()):
            self._asking = threading.Thread(target=self._ask, args=(process.pid,), daemon=True)
            self._asking.start()
        if name in self._stuck and self._has_room(name):
            stuck = self._stuck.pop(name)
            if process.pid == stuck:
                logger.warn(f"{name} says that it cannot go on: it is started again")
                os.kill(stuck, signal.SIGKILL)

    def _ask(self, pid: int) -> None:
        if self._bus_fault() is not None:
            self._stuck["nats"] = pid

    def _processes(self) -> list[Any]:
        groups = self._supervisord.process_groups.values()
        return [process for group in groups for process in group.processes.values()]

    def _has_room(self, server: str) -> bool:
        found = os.statvfs(self._root / server)  # each has the folder of its name
        return found.f_bavail * found.f_frsize >= ROOM_BYTES


class StreamFolders:
    """The folders of the streams in a storage. None of them ever goes away while NATS runs: we delete no stream."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._seen: set[tuple[str, int]] = set()
        self._server = 0

    def has_lost_one(self, server: int) -> bool:
        """Whether the process `server` lost a folder that an earlier call has seen; a new process has lost nothing."""
        before = self._seen if server == self._server else set()
        self._server, self._seen = server, self._look()
        return bool(before - self._seen)

    def _look(self) -> set[tuple[str, int]]:
        """By name and by identity: another folder in the place of one that was moved away is not the same."""
        found = set()
        for path in self._storage.glob("jetstream/*/streams/*"):
            with contextlib.suppress(FileNotFoundError):
                found.add((str(path), path.stat().st_ino))
        return found


def bus_fault(configuration: Path) -> str | None:
    """Why NATS cannot go on, as it says itself; None when it can, or says nothing."""
    try:
        settings = json.loads(configuration.read_bytes())
        host, _, port = settings["http"].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_ASK_S)
        try:
            connection.request("GET", f"{settings['http_base_path']}/healthz")
            said = json.loads(connection.getresponse().read(65_536)).get("error", "")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    return said if any(fault in said for fault in BUS_CANNOT_GO_ON) else None
