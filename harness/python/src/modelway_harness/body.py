"""This file is the bytes of a body as its caller meant them: unpacked where they came packed, and never too many."""

from __future__ import annotations

import zlib
from io import BytesIO

from .decoding import NotReadable

CODINGS = ("identity", "gzip")


def coding_of(told: str) -> str:
    """What a `Content-Encoding` says, as one of `CODINGS` where it is one.

    >>> coding_of("GZIP"), coding_of("br")
    ('gzip', 'br')
    """
    coding = told.strip().lower()
    return {"x-gzip": "gzip", "": "identity"}.get(coding, coding)


def unpacked(body: bytes, coding: str, *, most: int) -> bytes:
    """The first `most` bytes of what is packed in `body`. Raises NotReadable."""
    if coding != "gzip":
        return body
    import gzip  # few pack their bodies

    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as packed:
            return packed.read(most)
    except gzip.BadGzipFile as error:
        raise NotReadable("the body is not gzip, as its Content-Encoding says") from error
    except (EOFError, zlib.error) as error:
        raise NotReadable("the body is not whole gzip") from error
