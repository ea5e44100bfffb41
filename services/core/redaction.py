"""This file is what of an event stays where it is recorded: the hashes by which tokens, keys and sessions are known.

They open nothing, but who has one can tell whether a guess is right, as often as they like.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.core.events import Entry

HASHES = ("token_hash", "key_hash", "session_hash")


def redacted(entry: Entry) -> Entry:
    """`entry` as others than the history may have it. Its hash is that of the whole entry."""
    present = {name: "" for name in HASHES if hasattr(entry.event, name)}
    return replace(entry, event=replace(entry.event, **present)) if present else entry
