"""This file is what the ids in Modelway are and how they look; making a random one is `kit.ids`' work."""

from __future__ import annotations

import re
from typing import NewType

AggregateId = NewType("AggregateId", str)  # 24 lower-case hex: a model, a project, an environment, a person
VersionId = NewType("VersionId", str)  # 24 lower-case hex
InstanceId = NewType("InstanceId", str)  # bus token, never reused: <last 8 of version>-<generation>-<random>
EventId = NewType("EventId", str)  # the id of the command that caused it, and its place in that command
CommandId = NewType("CommandId", str)  # random for a person's request, deterministic for an observation
Digest = NewType("Digest", str)  # SHA-256, 64 lower-case hex

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BUS_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def is_object_id(text: str) -> bool:
    """True for 24 lower-case hexadecimal characters, the form of every public id."""
    return _OBJECT_ID.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """True for 64 lower-case hexadecimal characters, the form of a SHA-256."""
    return _DIGEST.fullmatch(text) is not None


def is_bus_token(text: str) -> bool:
    """True for what may stand between two dots of a subject or a key.

    >>> is_bus_token("api-1"), is_bus_token("a.b"), is_bus_token("")
    (True, False, False)
    """
    return _BUS_TOKEN.fullmatch(text) is not None
