"""This file is what a person reads of a backup: how much it holds, and what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from services.api.backup.checking import Checked
from services.api.backup.opening import Opening
from services.api.backup.records import Contents, Counts, Unsound
from services.api.store.whole import EVENTS
from services.api.verify import Verification


def told(counts: Counts) -> str:
    size = f"{counts.blob_bytes / 1e6:.1f} MB"
    return (
        f"{counts.documents.get(EVENTS, 0)} events of {counts.aggregates} aggregates and {counts.blobs} blobs ({size})"
    )


def keys_told(contents: Contents) -> str:
    return ", with the keys that open its secrets" if contents.has_keys else ""


def checked_told(checked: Checked) -> str:
    head, contents = checked.head, checked.contents
    when = f"{head.began_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"A backup of {when} by Modelway {head.version}: {told(contents.counts)}{keys_told(contents)}. It is whole."


def verified_told(verified: Verification) -> str:
    read = f"{verified.events} events of {verified.aggregates} aggregates were read again."
    return f"{read} " + (f"{len(verified.findings)} are not sound." if verified.findings else "All is sound.")


def warn(sentences: Iterable[str]) -> bool:
    """Writes them; whether there was any."""
    told_of = [sys.stderr.write(f"{sentence}\n") for sentence in sentences]
    return bool(told_of)


def doubts(contents: Contents, unsound: Iterable[Unsound]) -> Iterable[str]:
    """What somebody should know of a backup that is whole."""
    for each in unsound:
        yield f"{each.aggregate} {each.aggregate_id}: {each.what}"
    if contents.missing:
        yield f"{contents.missing} blobs that are referred to are not in the store, or are damaged there"


def closed(opening: Opening) -> Iterable[str]:
    """What of a restored platform the keys do not open."""
    if opening.closed_secrets:
        yield (
            f"{opening.closed_secrets} access tokens and passwords are sealed with a key that is not here: tokens open "
            "their models as before and cannot be shown, passwords have to be set anew"
        )
    if opening.closed_models:
        yield (
            f"{opening.closed_models} models have environment variables that the keys here do not open: "
            "they do not start until the key is here that sealed them"
        )
