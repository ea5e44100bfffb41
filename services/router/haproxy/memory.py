"""This file is what outlasts the router's process: the newest entries it has ever seen, in HAProxy's folder.

Of thousands of entries few change at a time, and what changed is on disk before HAProxy hears of it. So there are two
files: all entries as they once were, and those that changed since, which name the first file's text they belong to.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from services.core.known import Known
from services.core.records import Health, Placement, Record, Route
from services.router.haproxy.files import Folder

KNOWN, SINCE = "known.json", "since.json"
MOST = 500  # entries that changed; with more of them everything is written anew

R = TypeVar("R", bound=Record)


class _Since(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that changed; None: is gone."""

    base: str
    routes: dict[str, Route | None] = {}
    placements: dict[str, Placement | None] = {}
    health: dict[str, Health | None] = {}


class FolderMemory:
    """Known entries, on disk."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._base: tuple[Known, str] | None = None  # what this process wrote as a whole, and its digest

    def recall(self) -> Known | None:
        """What was remembered last; None when nothing readable is there."""
        text, changed = self._folder.read(KNOWN), self._folder.read(SINCE)
        try:
            known = None if text is None else msgspec.json.decode(text, type=Known)
            since = None if changed is None else msgspec.json.decode(changed, type=_Since)
        except msgspec.DecodeError:
            return None
        if known is None or text is None or since is None or since.base != _digest(text):
            return known
        return Known(
            routes=_brought_up(known.routes, since.routes),
            placements=_brought_up(known.placements, since.placements),
            health=_brought_up(known.health, since.health),
        )

    def remember(self, known: Known) -> None:
        """Lasts through a power cut once this returns. Raises `OSError`; then what was remembered before still is."""
        since = None if self._base is None else _since(*self._base, known)
        if since is None or len(since.routes) + len(since.placements) + len(since.health) > MOST:
            text = msgspec.json.encode(known).decode()
            since = _Since(base=_digest(text))
            # First this and then the other, which belongs to the text before until then, and is passed over.
            self._folder.write(KNOWN, text)
            self._base = known, since.base
        self._folder.write(SINCE, msgspec.json.encode(since).decode())


def _since(base: Known, digest: str, known: Known) -> _Since:
    return _Since(
        base=digest,
        routes=_changed(base.routes, known.routes),
        placements=_changed(base.placements, known.placements),
        health=_changed(base.health, known.health),
    )


def _changed(old: dict[str, R], new: dict[str, R]) -> dict[str, R | None]:
    if old is new:
        return {}
    changed: dict[str, R | None] = {key: value for key, value in new.items() if old.get(key) is not value}
    return changed | dict.fromkeys(old.keys() - new.keys())


def _brought_up(old: dict[str, R], changed: dict[str, R | None]) -> dict[str, R]:
    return {key: value for key, value in {**old, **changed}.items() if value is not None}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
