"""This file is what makes a repeated request harmless: the ids of all it creates follow from its `Idempotency-Key`."""

from __future__ import annotations

import hashlib

import msgspec
from aiohttp import web

from services.api.http.callers import CALLER
from services.core.errors import Invalid
from services.core.ids import CommandId
from services.kit.ids import new_object_id

_MAX_KEY = 255


class Intent(msgspec.Struct, frozen=True):
    """One thing a person wants done, in one or several commands.

    With an `Idempotency-Key`, the same person repeating it on the same route means the same commands and the same ids,
    so what was done already is done once, and what a crash left undone is done now. Without one, everything is new.
    """

    seed: str
    prefix: str = ""  # what ids begin with: the time, when they are new, so that they sort by age

    def command_id(self, step: str) -> CommandId:
        return CommandId(self._derived(step))

    def new_id(self, what: str) -> str:
        """24 hex characters for `what`, the same every time it is asked of the same intent."""
        return (self.prefix + self._derived(f"id {what}"))[:24]

    def _derived(self, what: str) -> str:
        return hashlib.sha256(f"{self.seed}\n{what}".encode()).hexdigest()[:24]


def intent(request: web.Request) -> Intent:
    """What the request is, once or again. Raises `Invalid` for a key that is too long or not plain."""
    key = idempotency_key(request)
    if key is None:
        seed = new_object_id()
        return Intent(seed, prefix=seed[:8])
    return Intent("\n".join((request[CALLER].id, request.method, request.path, key)))


def idempotency_key(request: web.Request) -> str | None:
    """As it was sent; None without one. Raises `Invalid` for one that is too long or not plain."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not 1 <= len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable()):
        raise Invalid(f"Idempotency-Key must be 1 to {_MAX_KEY} printable ASCII characters", field="Idempotency-Key")
    return key
