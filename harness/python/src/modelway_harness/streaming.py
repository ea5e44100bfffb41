"""This file is how a result that comes piece by piece is sent: who is one, and its pieces as JSON text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from time import perf_counter
from typing import Any

from .encoding import encode


class Streamed:
    """A result that the function makes while it is sent. Only to be asked in the thread that runs the user's code."""

    def __init__(self, pieces: Iterator[Any], name: str = "") -> None:
        self._pieces = pieces
        self._name = name  # of the one piece that there is, where it is the whole result
        self._count = 0
        self._is_left = False
        self.took_s = 0.0  # in the function, so far

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """The next piece as JSON text in one line. Raises NotJson, which names it, and what the function raises."""
        began = perf_counter()
        try:
            piece = next(self._pieces)
        finally:
            self.took_s += perf_counter() - began
        text = encode(piece, self._name or f"result[{self._count}]")
        self._count += 1
        return text

    def all(self) -> list[Any]:
        """Every piece as the function gave it, for callers that do not take a stream; none after `leave`."""
        made = []
        for piece in self._pieces:
            made.append(piece)
            if self._is_left:
                self.close()
                return []
        return made

    def leave(self) -> None:
        """Have `all`, which is under way, close the function when its next piece comes. For any thread."""
        self._is_left = True

    def close(self) -> None:
        """End the function where it is, so that its `finally` runs: the caller has gone, or the time is over."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


def streamed(result: Any, run: Callable[[Any], Any] | None = None) -> Streamed | None:
    """`result` as pieces when it is a generator or another iterator; None when it is a whole result.

    Pieces of an async generator are awaited one by one by `run`, which is `asyncio.Runner.run` or like it.

    >>> streamed([1, 2]), list(streamed(n / 2 for n in range(2)))
    (None, ['0.0', '0.5'])
    """
    if isinstance(result, Iterator) and not hasattr(result, "tolist"):
        return Streamed(result)
    if isinstance(result, AsyncIterator) and run is not None:
        return Streamed(_awaited(result, run))
    return None


def _awaited(pieces: AsyncIterator[Any], run: Callable[[Any], Any]) -> Iterator[Any]:
    async def following() -> tuple[bool, Any]:
        try:
            return True, await anext(pieces)
        except StopAsyncIteration:
            return False, None

    try:
        while True:
            is_piece, piece = run(following())
            if not is_piece:
                return
            yield piece
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            run(_closed(close))


async def _closed(close: Callable[[], Any]) -> None:
    await close()
