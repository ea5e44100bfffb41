"""This file is the proof in the history: every stored entry holds the hash of the one before it.

The chain is per aggregate, so that writers of different aggregates never wait for each other. A changed, removed or
inserted entry breaks the chain at that place; a cut tail does not, which is why core/checkpoint keeps heads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from services.core.events import Entry

GENESIS = "0" * 64


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in its chain."""

    entry: Entry
    previous_hash: str
    hash: str


def chained(entries: Iterable[Entry], *, head: str) -> tuple[Link, ...]:
    """`entries` linked behind the entry whose hash is `head` (`GENESIS` for the first of a history)."""
    links = []
    for entry in entries:
        digest = entry_hash(entry, previous_hash=head)
        links.append(Link(entry=entry, previous_hash=head, hash=digest))
        head = digest
    return tuple(links)


def entry_hash(entry: Entry, *, previous_hash: str) -> str:
    """SHA-256, lower-case hex, of the previous hash and the entry as JSON with sorted keys."""
    return content_hash(entry, previous_hash=previous_hash)


def content_hash(content: Any, *, previous_hash: str) -> str:
    """As `entry_hash`, of an entry as it was stored: of the fields that it had then, whatever an entry has by now."""
    canonical = msgspec.json.encode(content, order="sorted", enc_hook=_plain)
    return hashlib.sha256(previous_hash.encode() + b"\n" + canonical).hexdigest()


def _plain(value: Any) -> int:
    """A whole number of the kind that a database has for large ones."""
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"no history holds a {type(value).__name__}")


def first_broken(links: Iterable[Link]) -> int | None:
    """The revision of the first link that does not follow from those before it; None when the chain holds."""
    head = GENESIS
    for revision, link in enumerate(links, start=1):
        follows = link.previous_hash == head and link.entry.revision == revision
        if not follows or link.hash != entry_hash(link.entry, previous_hash=head):
            return revision
        head = link.hash
    return None
