"""This file is the one thread in which a worker runs the user's code: the import, then one call at a time.

The same thread for all of it, because libraries keep state per thread (a database connection opened while the
script was imported must work in the calls). A Python thread cannot be interrupted: a call that passes its
deadline keeps the thread, and the process has to be ended by whoever caught TookTooLong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, perf_counter

from .binding import Binding, Call, DoesNotFit
from .encoding import NotJson, encode
from .traces import stack_of, trace_of
from .wording import described


class Busy(Exception):
    """Another call is running; this one was not started."""


class NoTimeLeft(Exception):
    """The call's time was over before it could start."""


class TookTooLong(Exception):
    """The call passed its deadline and is still running; `stack` is where."""

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self.stack = stack


@dataclass(frozen=True)
class Answered:
    """The function returned: its result as JSON text, and how long the function itself took."""

    result: str
    took_ms: float


@dataclass(frozen=True)
class Failed:
    """The function raised, or returned what JSON cannot hold: what the caller is told, and what is logged."""

    message: str
    trace: str


@dataclass(frozen=True)
class Unfit:
    """The arguments are not what the function's annotations want: what the caller is told. It was not called."""

    message: str


class Calls:
    """One function, called by one call at a time in one thread. `load` comes first, once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._turn = threading.Lock()
        self._deadline: float | None = None
        self._thread_id: int | None = None
        self._function: Callable[..., object]
        self.binding: Binding

    def load(self, load: Callable[[], Callable[..., object]]) -> Future[None]:
        """Import the script by calling `load` in the one thread; the future raises what `load` raises."""
        return self._thread.submit(self._load, load)

    @property
    def is_busy(self) -> bool:
        return self._turn.locked()

    @property
    def is_overdue(self) -> bool:
        """Whether the running call has passed its deadline."""
        deadline = self._deadline
        return deadline is not None and monotonic() > deadline

    def run(self, call: Call, *, within_s: float, hold_s: float = 0.0) -> Answered | Failed | Unfit:
        """What came of the call, encoding included, `within_s` seconds from now.

        While another call runs it is held for up to `hold_s`, then raises Busy. Raises NoTimeLeft when holding took all
        the time, and TookTooLong; after that the thread stays taken: every later call is refused as Busy.
        """
        deadline = monotonic() + within_s
        if not self._turn.acquire(timeout=max(0.0, min(hold_s, within_s))):
            raise Busy
        within_s = deadline - monotonic()
        if within_s <= 0:
            self._turn.release()
            raise NoTimeLeft
        self._deadline = deadline
        running = self._thread.submit(self._run, call)
        try:
            outcome = running.result(timeout=within_s)
        except TimeoutError:
            raise TookTooLong(stack_of(self._thread_id)) from None
        self._deadline = None
        self._turn.release()
        return outcome

    def _load(self, load: Callable[[], Callable[..., object]]) -> None:
        self._thread_id = threading.get_ident()
        self._function = load()
        self.binding = Binding(self._name, self._function)

    def _run(self, call: Call) -> Answered | Failed | Unfit:
        try:
            call = self.binding.convert(call)  # here, since classes of the user's may take their time over it
            started = perf_counter()
            result = self._function(*call.positional, **(call.named or {}))
            took_ms = (perf_counter() - started) * 1000
            return Answered(encode(result), took_ms)
        except DoesNotFit as error:
            return Unfit(str(error))
        except NotJson as error:
            return Failed(f"{self._name}() returned what JSON cannot hold: {error}", "")
        except BaseException as error:  # the user's SystemExit too must not end the thread
            return Failed(described(error), trace_of(error))
