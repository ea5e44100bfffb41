"""This file is what processes leave on this machine that nobody needs: unpacked files, folders and sockets.

An unpacked version is a copy that can be made again, so a version that is stopped may lose it; one that is wanted or in
which any process works never does.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from services.core.collection import Collected, Held, collectable
from services.core.errors import Unavailable
from services.core.ids import InstanceId, VersionId
from services.deployer.runtimes.process.folders import Folders
from services.deployer.runtimes.process.version_files import VersionFiles
from services.kit.aging import look

_VERSION = re.compile(r"\.?([0-9a-f]{24})-[0-9a-f]{8}.*")  # with a dot: being made or removed
_INSTANCE = re.compile(r"[0-9a-f]{8}-[0-9]+-[A-Za-z0-9]+")


class Leftovers:
    """What is below the folders of one process runtime."""

    def __init__(self, folders: Folders, files: VersionFiles) -> None:
        self._folders = folders
        self._files = files

    async def collect(
        self, versions: Collection[VersionId], instances: Collection[InstanceId], *, unused_since: datetime
    ) -> Collected:
        """Take away what is of none of `versions` and `instances`, and was not used since. Raises `Unavailable`."""
        try:
            of_versions = await self._collect_versions(versions, unused_since)
            of_instances = await self._collect_instances(instances, unused_since)
        except OSError as error:
            raise Unavailable(f"what is left over cannot be looked at: {error.strerror}") from error
        return Collected(count=of_versions.count + of_instances.count)

    async def _collect_versions(self, versions: Collection[VersionId], unused_since: datetime) -> Collected:
        held = await asyncio.to_thread(look, self._files.folder)
        kept = {None, *versions}
        needed = {each.name for each in held if _version_of(each.name) in kept}
        needed |= await asyncio.to_thread(_worked_in, self._files.folder)
        collected = Collected()
        for each in collectable(held, needed, unused_since=unused_since):
            if await self._files.take_away(each.name, unused_since=unused_since):
                collected = collected.with_one(each)
        return collected

    async def _collect_instances(self, instances: Collection[InstanceId], unused_since: datetime) -> Collected:
        """Folders that could not be removed when their instance was forgotten."""
        held = await asyncio.to_thread(self._held_instances)
        collected = Collected()
        for each in collectable(held, instances, unused_since=unused_since):
            await asyncio.to_thread(self._folders.delete, InstanceId(each.name))
            collected = collected.with_one(each)
        return collected

    def _held_instances(self) -> list[Held]:
        """By instance, and as old as the youngest of its two folders."""
        youngest: dict[str, Held] = {}
        for folder in (self._folders.instances_dir, self._folders.sockets_dir):
            for each in look(folder):
                before = youngest.get(each.name, each)
                if _INSTANCE.fullmatch(each.name):
                    youngest[each.name] = max(before, each, key=lambda held: held.used_at)
        return list(youngest.values())


def _version_of(name: str) -> str | None:
    """Whose folder it is; None for what is not a version's, which is left alone."""
    found = _VERSION.fullmatch(name)
    if found is None:
        return None
    return found[1] if not name.startswith(".") else ""


def _worked_in(folder: Path) -> set[str]:
    """The names in `folder` in which any process of this machine works, whoever started it."""
    above = folder.resolve()
    names = set()
    for pid in (entry for entry in os.listdir("/proc") if entry.isdecimal()):
        with suppress(OSError, ValueError):
            names.add(Path(os.readlink(f"/proc/{pid}/cwd")).relative_to(above).parts[0])
    return names
