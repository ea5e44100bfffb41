"""This file is what an archive holds.

A tar, compressed with gzip, in this order:

    modelway-backup.json      `Head`: readable whatever comes after it
    keys/<name>               only when asked for
    documents/000001.bson …   the checkpoints, then each state with its secrets and its events
    blobs/<digest>            each blob that a version or a commit refers to, once
    contents.json             `Contents`: how much there is, and the SHA-256 of each member that its name does not tell
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.api.store.whole import Stored
from services.core.errors import PermanentError

FORMAT = 1  # grows when an older Modelway could not restore what is written now

HEAD = "modelway-backup.json"
CONTENTS = "contents.json"
DOCUMENTS, BLOBS, KEYS = "documents/", "blobs/", "keys/"
TOKEN_KEYS, VARIABLE_KEYS = "token-keys", "variable-keys"  # names of files


class BadArchive(PermanentError):
    """The archive is not one, is damaged, or is of a newer Modelway."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    schema: int  # of the database
    version: str  # of the Modelway that wrote it
    began_at: datetime


class Unsound(msgspec.Struct, frozen=True, kw_only=True):
    """A history that does not hold: `audit verify` says the same of the platform it is from."""

    aggregate: str
    aggregate_id: str
    what: str


class Counts(msgspec.Struct, kw_only=True):
    """How much there is. `documents`: by collection."""

    aggregates: int = 0
    documents: dict[str, int] = {}
    blobs: int = 0
    blob_bytes: int = 0

    def count(self, stored: Stored) -> None:
        self.documents[stored.collection] = self.documents.get(stored.collection, 0) + 1
        self.aggregates += stored.kind is not None


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    counts: Counts
    sha256: dict[str, str]  # of each member but the blobs, which are named by theirs
    blobs_sha256: str  # of the names of all blobs in their order, a newline after each
    has_keys: bool
    missing: int = 0  # blobs that are referred to and were not in the store, or damaged there
    unsound: list[Unsound] = []
