"""This file keeps what pure functions returned last, for the many things of which few change between two times."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


class Kept:
    """One result for each key: that of the last call. Whoever uses it sees the same values as without it, and often the
    very same objects, which are compared in no time.
    """

    def __init__(self) -> None:
        self._last: dict[object, tuple[tuple[object, ...], Any]] = {}

    def of(self, key: object, function: Callable[[*Ts], R], *arguments: *Ts) -> R:
        """`function(*arguments)`, which has to be pure; always the same function for one key.

        >>> kept = Kept()
        >>> kept.of("a", sorted, (2, 1)) is kept.of("a", sorted, (2, 1))
        True
        """
        last = self._last.get(key)
        if last is None or last[0] != arguments:  # equality looks into nothing that is the same object
            last = self._last[key] = arguments, function(*arguments)
        result: R = last[1]
        return result

    def forget_except(self, keys: Collection[object]) -> None:
        """What has another key than these is not needed any more."""
        if len(self._last) > len(keys):
            self._last = {key: each for key, each in self._last.items() if key in keys}
