"""This file is a set of digests that may be larger than the memory: those of the blobs that a backup needs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.core.ids import Digest

_AT_ONCE = 1000


class Digests:
    """In a file of its own, at `path`, which is thrown away afterwards."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("CREATE TABLE digests (digest TEXT PRIMARY KEY) WITHOUT ROWID")

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[Digests]:
        digests = cls(path)
        try:
            yield digests
        finally:
            digests._connection.close()

    def add(self, digests: Iterable[Digest]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR IGNORE INTO digests VALUES (?)", ((each,) for each in digests))
        self._connection.execute("COMMIT")

    def has(self, digest: Digest) -> bool:
        return self._connection.execute("SELECT 1 FROM digests WHERE digest = ?", (digest,)).fetchone() is not None

    def pages(self) -> Iterator[list[Digest]]:
        """All of them, in order."""
        after = ""
        while page := self._after(after):
            yield page
            after = page[-1]

    def _after(self, after: str) -> list[Digest]:
        where = "SELECT digest FROM digests WHERE digest > ? ORDER BY digest LIMIT ?"
        return [Digest(row[0]) for row in self._connection.execute(where, (after, _AT_ONCE))]
