"""This file makes the random names: ids of things, and tokens nobody can guess."""

from __future__ import annotations

import secrets
import string
import time

_BASE62 = string.ascii_letters + string.digits


def new_object_id() -> str:
    """24 lower-case hex characters: four bytes of time, eight of chance, so that ids sort by age.

    >>> len(new_object_id())
    24
    """
    return int(time.time()).to_bytes(4, "big").hex() + secrets.token_hex(8)


def made_at_s(object_id: str) -> int:
    """When an id of `new_object_id` was made: the seconds since 1970 that it begins with.

    >>> made_at_s("0000003c" + "0" * 16)
    60
    """
    return int(object_id[:8], 16)


def new_token() -> str:
    """64 letters and digits: an access token, an API key or a password. 381 bits of chance."""
    return "".join(secrets.choice(_BASE62) for _ in range(64))
