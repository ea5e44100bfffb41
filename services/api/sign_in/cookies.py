"""This file is what a browser session looks like on the wire: a cookie, and the token that has to come with changes.

The cookie holds a random secret. Stored is its SHA-256; the token against forged requests is another hash of it, which
only who may read the answer to the sign-in can send: a foreign page makes browsers send cookies, not headers.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec
from aiohttp import web

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


class SessionCookie(msgspec.Struct, frozen=True):
    """The cookie of a platform that is reached over HTTPS, or is not.

    Over HTTPS its name begins with `__Host-`: browsers then take it only from this very host, over HTTPS, so that
    neither a sibling domain nor somebody on the line can plant a session of their own.
    """

    is_secure: bool

    @classmethod
    def of(cls, public_url: str) -> SessionCookie:
        return cls(public_url.lower().startswith("https://"))

    @property
    def name(self) -> str:
        return f"__Host-{COOKIE}" if self.is_secure else COOKIE

    def secret(self, request: web.Request) -> str:
        """What the browser sent; "" for none."""
        return request.cookies.get(self.name, "")

    def give(self, response: web.StreamResponse, secret: str, *, lasts_s: float) -> None:
        """Lax, not Strict: who follows a link to the platform is signed in there, and nothing that a link does changes
        anything."""
        self._set(response, secret, max_age=int(lasts_s))

    def take_away(self, response: web.StreamResponse) -> None:
        self._set(response, "", max_age=0)

    def _set(self, response: web.StreamResponse, value: str, *, max_age: int) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            self.name, value, max_age=max_age, path="/", secure=self.is_secure, httponly=True, samesite="Lax"
        )
