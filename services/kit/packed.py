"""This file is lines of text as one message of the bus: many lines that look alike, in a fifth of their size."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from services.core.errors import Invalid

_LEVEL = 1  # the others take longer than they save
_MOST_BYTES = 16 << 20  # of one message, unpacked


def pack(lines: Iterable[bytes]) -> bytes:
    """`lines`, each with its newline."""
    return zlib.compress(b"".join(lines), _LEVEL)


def unpack(packed: bytes) -> bytes:
    """What `pack` was given, as one text. Raises `Invalid` for what `pack` did not make, or is too large."""
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(packed, _MOST_BYTES)
    except zlib.error as error:
        raise Invalid(f"these are no packed lines: {error}") from error
    if not unpacking.eof:
        raise Invalid("packed lines are cut off, or too many")
    return text
