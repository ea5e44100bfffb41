"""This file is when each blob in a directory was last used, and taking away those that were not for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from services.core.collection import Held
from services.core.errors import Unavailable
from services.core.ids import Digest
from services.kit.aging import look, mark_used, take_away


class BlobAges:
    """The ages of blobs under `folder`/<first two characters>/<digest>.

    None for an object store, which has no mark of use: there everything counts as just used, and nothing is held.
    Every method raises `Unavailable` when the directory does not answer.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def is_kept(self) -> bool:
        """Whether there is anything to collect here, ever."""
        return self._folder is not None

    async def mark_used(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of `digests` that are there, which count as just used from now on."""
        folder = self._folder
        if folder is None:
            return set(digests)
        try:
            return await asyncio.to_thread(lambda: {each for each in digests if mark_used(_path(folder, each))})
        except OSError as error:
            raise Unavailable(f"blobs could not be marked as used: {error.strerror}") from error

    async def held(self) -> list[Held]:
        """Every blob by its digest, and what writes that were cut short left behind, by the names it has."""
        folder = self._folder
        if folder is None:
            return []
        try:
            shelves = await asyncio.to_thread(lambda: [look(folder / shelf.name) for shelf in look(folder)])
        except OSError as error:
            raise Unavailable(f"the blobs could not be listed: {error.strerror}") from error
        return [held for shelf in shelves for held in shelf]

    async def take_away(self, name: str, *, unused_since: datetime) -> bool:
        """Remove one of `held`, unless it was used since; true when it is gone."""
        folder = self._folder
        try:
            return folder is not None and await asyncio.to_thread(
                take_away, _path(folder, name), unused_since=unused_since
            )
        except OSError as error:
            raise Unavailable(f"the blob {name} could not be removed: {error.strerror}") from error


def _path(folder: Path, name: str) -> Path:
    return folder / name.lstrip(".")[:2] / name
