"""This file is what there is to a way of writing calls on the wire, a dialect: `POST /model` is one of them.

A dialect reads no bytes and calls nothing. It says what a request asks for, and what is said about what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from .binding import Binding, Call
from .calls import Answered
from .flow import Flow
from .wire import Answer, Head


class Asked(NamedTuple):
    """What a request asks for."""

    call: Call
    encode: Callable[[object], Any]
    """What is to be made of the function's result. Runs where the function ran, in its time; may raise NotJson."""
    flow: Flow | None = None
    """How pieces are written, for a caller that takes the result piece by piece."""


class Dialect(Protocol):
    """One of the ways in which a worker may be called. `endpoint.Refused` is the one error that is raised here."""

    def takes(self, path: str) -> bool:
        """Whether a POST to `path` is a call in this dialect."""

    def check(self, head: Head) -> None:
        """Refuse by what the head says, before a body comes. The length has been looked at, and the server meant."""

    def asked(self, head: Head, body: bytes, binding: Binding) -> Asked:
        """What is asked for by a whole request. No code of the user's runs here."""

    def answered(self, asked: Asked, outcome: Answered, request_id: str) -> Answer:
        """The answer to a call whose function returned; `outcome.result` is what `asked.encode` made."""

    def error(self, status: int, reason: str, request_id: str) -> Answer:
        """The answer to a request that did not come to that, in the dialect's own shape."""
