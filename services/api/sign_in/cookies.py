"""This file is what a browser session looks like on the wire: a cookie, and the token that has to come with changes.

The cookie holds a random secret. Stored is its SHA-256; the token against forged requests is another hash of it, which
only who may read the answer to the sign-in can send: a foreign page makes browsers send cookies, not headers.
"""

from __future__ import annotations

import hashlib
import hmac

COOKIE = "modelway_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def session_hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def csrf_token(secret: str) -> str:
    """What `X-CSRF-Token` has to be on every request of this session that changes something."""
    return hashlib.sha256(b"csrf\n" + secret.encode("utf-8", "surrogateescape")).hexdigest()


def is_own(secret: str, token: str) -> bool:
    return hmac.compare_digest(csrf_token(secret).encode(), token.encode("utf-8", "surrogateescape"))
