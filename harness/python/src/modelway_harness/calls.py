"""This file is the one thread in which a worker runs the user's code: the import, then one call at a time.

The same thread for all of it, because libraries keep state per thread (a database connection opened while the
script was imported must work in the calls). A Python thread cannot be interrupted: a call that passes its
deadline keeps the thread, and the process has to be ended by whoever waited for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from inspect import iscoroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from .binding import Binding, Call, DoesNotFit
from .encoding import NotJson, encode
from .streaming import Streamed, streamed
from .traces import stack_of, trace_of
from .wording import described

if TYPE_CHECKING:
    import asyncio

_WHOLE = frozenset({dict, list, tuple, str, int, float, bool, type(None)})  # no need to ask what these are


class TookTooLong(Exception):
    """The call passed its deadline and is still running; `stack` is where."""

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self.stack = stack


class Answered(NamedTuple):
    """The function returned: what was made of its result, which is JSON text unless `call` was told otherwise; how
    long the function itself took, and how long that.
    """

    result: Any
    took_ms: float
    encode_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The function raised, or returned what JSON cannot hold: what the caller is told, and what is logged."""

    message: str
    trace: str
    took_ms: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Unfit:
    """The arguments are not what the function's annotations want: what the caller is told. It was not called."""

    message: str


class Calls:
    """One function, called in one thread. `load` comes first, once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._thread_id: int | None = None
        self._runner: asyncio.Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the runner's
        self._function: Callable[..., object]
        self.binding: Binding
        self.load_ms = 0.0  # how long loading took
        self.gathers: Streamed | None = None  # what the call that runs makes a list of, piece by piece

    def load(self, load: Callable[[], Callable[..., object]]) -> Future[None]:
        """Import the script by calling `load` in the one thread; the future raises what `load` raises."""
        return self._thread.submit(self._load, load)

    def give_thread(self, work: Callable[[], None]) -> Future[None]:
        """Run `work` in the one thread, where alone it may `call`."""
        return self._thread.submit(work)

    def close(self) -> None:
        """Wait for the one thread to have done all it was given, and end it."""
        if self._runner is not None:
            self._thread.submit(self._runner.close)
        self._thread.shutdown()

    @property
    def stack(self) -> str:
        """Where the one thread is right now, in the user's code, or what its tasks wait for; "" when it is in none."""
        return stack_of(self._thread_id, self._loop)

    def run(self, call: Call, *, within_s: float) -> Answered | Failed | Unfit:
        """What came of the call, for another thread that waits. Raises TookTooLong after `within_s` seconds; the thread
        stays taken then.
        """
        running = self._thread.submit(self.call, call)
        try:
            return running.result(timeout=within_s)  # type: ignore[return-value]  # not asked for in pieces
        except TimeoutError:
            raise TookTooLong(self.stack) from None

    def call(
        self, call: Call, encode: Callable[[object], Any] = encode, *, in_pieces: bool = False
    ) -> Answered | Failed | Unfit | Streamed:
        """What came of the call, encoding included. Only in the one thread. Raises nothing.

        `in_pieces`, the function has only begun: `piece` has the rest. A whole result is one piece then.
        """
        started = perf_counter()
        try:
            call = self.binding.convert(call)  # here, since classes of the user's may take their time over it
            started = perf_counter()
            result = self._function(*call.positional, **(call.named or {}))
            if in_pieces or type(result) not in _WHOLE:
                result = self._gathered(result, in_pieces=in_pieces)
            ended = perf_counter()
            if isinstance(result, Streamed):
                result.took_s = ended - started
                return result
            encoded = encode(result)
            return Answered(encoded, (ended - started) * 1000, (perf_counter() - ended) * 1000)
        except DoesNotFit as error:
            return Unfit(str(error))
        except BaseException as error:  # the user's SystemExit too must not end the thread
            return self._failed(error, perf_counter() - started)

    def piece(self, pieces: Streamed) -> str | Answered | Failed:
        """The next piece as JSON text; after the last, Answered with the function's whole time. Only in the one
        thread. Raises nothing.
        """
        try:
            return next(pieces)
        except StopIteration:
            return Answered(None, pieces.took_s * 1000)
        except BaseException as error:
            return self._failed(error, pieces.took_s)

    def leave(self, pieces: Streamed) -> str:
        """End the function between two pieces; the traceback where it fails, else "". Only in the one thread."""
        try:
            pieces.close()
        except BaseException as error:
            return trace_of(error)
        return ""

    def _load(self, load: Callable[[], Callable[..., object]]) -> None:
        self._thread_id = threading.get_ident()
        started = perf_counter()
        self._function = load()
        self.binding = Binding(self._name, self._function)
        self.load_ms = (perf_counter() - started) * 1000

    def _gathered(self, result: Any, *, in_pieces: bool) -> Any:
        if iscoroutine(result):
            result = self.awaited(result)
        pieces = streamed(result, self.awaited)
        if in_pieces:
            return pieces or Streamed(iter((result,)), "result")
        if pieces is None:
            return result
        self.gathers = pieces
        try:
            return pieces.all()
        finally:
            self.gathers = None

    def _failed(self, error: BaseException, took_s: float) -> Failed:
        if isinstance(error, NotJson):
            return Failed(f"{self._name}() returned what {error.holder} cannot hold: {error}", "", took_s * 1000)
        return Failed(described(error), trace_of(error), took_s * 1000)

    def awaited(self, coroutine: object) -> object:
        """What comes of it, in one event loop for all calls: what a library opened in an earlier call belongs to it.

        Only in the one thread.
        """
        import asyncio  # not before it is needed: it would be a tenth of a start

        if self._runner is None:
            self._runner = asyncio.Runner()
            self._loop = self._runner.get_loop()
        return self._runner.run(coroutine)  # type: ignore[arg-type]  # the caller has looked
