"""This file is which user id an instance runs as: one a model, so that models cannot read or end each other.

Each instance also bears a mark: a supplementary group of its own, which none of its processes can put off. By it they
are found again, whatever session, parent, name and environment they give themselves.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

import msgspec

from services.core.ids import AggregateId
from services.deployer.runtimes.process.folders import make_passable, write_whole
from services.kit.config import ConfigError


class Owners:
    """Gives each model a user id out of `first .. first + count - 1`, and keeps it in a file.

    The id follows from the model's, or is the next free one after. Two models share one only when all are taken.
    Without a range everything runs as the deployer's own user.
    """

    def __init__(self, file: Path, uids: range) -> None:
        self._file = file
        self._uids = uids
        self._given: dict[AggregateId, int] | None = None

    def uid_of(self, model_id: AggregateId) -> int | None:
        """The same id every time, also after a restart. None: do not change the user. Raises OSError."""
        if not self._uids:
            return None
        given = self._load()
        if model_id not in given:
            given[model_id] = self._choose(model_id, frozenset(given.values()))
            make_passable(self._file.parent)
            write_whole(self._file, msgspec.json.encode(given), 0o600)
        return given[model_id]

    def mark(self, taken: Container[int | None]) -> int | None:
        """A group that no living instance bears, beyond those that models have as users. None: there is none free."""
        first, count = self._uids.stop, len(self._uids)
        if not count:
            return None
        start = secrets.randbelow(count)  # not soon again the one that was free just now
        in_turn = (first + (start + place) % count for place in range(count))
        return next((mark for mark in in_turn if mark not in taken), None)

    def _choose(self, model_id: AggregateId, taken: frozenset[int]) -> int:
        place = int.from_bytes(hashlib.sha256(model_id.encode()).digest()[:8], "big") % len(self._uids)
        in_turn: list[int] = [*self._uids[place:], *self._uids[:place]]
        free: list[int] = [uid for uid in in_turn if uid not in taken]
        return (free or in_turn)[0]

    def _load(self) -> dict[AggregateId, int]:
        if self._given is None:
            self._given = {}
            with suppress(FileNotFoundError, msgspec.MsgspecError):
                self._given = msgspec.json.decode(self._file.read_bytes(), type=dict[AggregateId, int])
        return self._given


def parse_uids(text: str) -> range:
    """The user ids that `INSTANCE_UIDS` names. Raises `ConfigError`.

    >>> parse_uids("61000-3"), parse_uids("")
    (range(61000, 61003), range(0, 0))
    """
    if not text:
        return range(0)
    first, _, count = text.partition("-")
    if not (first.isdecimal() and count.isdecimal() and int(first) > 0 and int(count) > 0):
        raise ConfigError(
            f"INSTANCE_UIDS must be empty or the first user id and how many, as in 61000-1000, got {text!r}"
        )
    return range(int(first), int(first) + int(count))
