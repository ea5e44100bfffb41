"""This file is one worker process: it loads the script, answers its example, opens its own socket and serves it.

The socket is opened last and belongs to this process alone. So nobody can connect to a worker that is not
ready, and a connection to one that has died is refused at once and can be made elsewhere, instead of waiting
for the next.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import FrameType

from gunicorn.workers.base import Worker

from .calls import Calls
from .config import Instance
from .endpoint import Endpoint
from .example import answer_example
from .exits import FAILED, LOAD_FAILED, OVERDUE, Ending, end_now, write_exit
from .hooks import Hooks
from .inference.dialect import Inference
from .loader import LoadFailed, Sourced, begin, load
from .log import log
from .ondemand import OnDemand
from .reception import Reception
from .relief import Relief
from .serving import Serving
from .signals import Signals
from .streams import flush, write_through_in_children
from .succession import ANSWERS_EXAMPLE, DUE, READY, RETIRES, drawn
from .traces import trace_of
from .wording import described

BACKLOG = 64
SHUTDOWN_S = 5.0  # how long the `shutdown` of a script may take; the grace of the instance may be over before
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded once, before any fork


class ModelWorker(Worker):  # type: ignore[misc]  # gunicorn comes without types
    """One worker. The supervisor sets these before the fork, or in its own copy; the rest is the new process's."""

    index: int  # of its socket
    slot: int  # of its byte in `stages`: for a moment two workers may have one index
    made_at: float
    follows: ModelWorker | None = None  # the one that works until this one is ready
    is_spare = False  # it followed another: if it cannot load, that is no harm
    is_retiring = False
    ending: Ending | None = None  # why the supervisor has ended it
    sourced: Sourced | None = None  # the script, where it was imported before the fork
    _calls: Calls
    _serving: Serving
    _hooks: Hooks
    _recycle_at: float  # calls

    def init_process(self) -> None:
        _die_with(self.ppid)
        write_through_in_children()
        super().init_process()

    def notify(self) -> None:
        """Show life by a clock that the user's code has not replaced: the supervisor compares it with its own."""
        now = monotonic()
        os.utime(self.tmp.fileno(), (now, now))

    def load_wsgi(self) -> None:
        """Import the script, answer the example, open the socket; if any fails, so do the process and the instance."""
        instance: Instance = self.app.instance
        started = monotonic()
        try:
            self._calls = self._loaded(instance)
            endpoint = Endpoint(instance, self.index)
            function = self._calls.binding.function
            app, dialects = OnDemand(endpoint, function), (Inference(instance, function),)
            listener, deposit = listen(instance.sockets[self.index]), self.app.keeper.deposit(self.slot)
            reception = Reception(listener, endpoint, app, dialects, deposit)
            self._serving = Serving(reception, endpoint, self._calls, self)
        except LoadFailed as error:
            self._fail(error.reason, error.detail, kind="load_failed")
        except Exception as error:
            self._fail(f"the worker could not start: {described(error)}", trace_of(error), kind="start_failed")
        self._recycle_at = drawn(instance.recycle_after_calls)
        self.app.stages[self.slot] = READY
        if self.is_spare:
            wake(self.ppid)
        log("worker_ready", worker=self.index, pid=os.getpid(), load_s=f"{monotonic() - started:.3f}")

    def _loaded(self, instance: Instance) -> Calls:
        calls = Calls(instance.function)
        self._hooks = Hooks(calls.awaited)
        self._finish(calls.load(self._function))
        if instance.example_input:
            self._answer_example(calls, instance)
        return calls

    def _function(self) -> Callable[..., object]:
        instance = self.app.instance
        if self.sourced is not None:
            return begin(self.sourced, self._hooks)
        return load(instance.project_dir, instance.file, instance.function, self._hooks)

    def _answer_example(self, calls: Calls, instance: Instance) -> None:
        started = monotonic()
        self.app.stages[self.slot] = ANSWERS_EXAMPLE
        self.notify()  # from the first sign of life on, the supervisor ends a worker that gives none for too long
        aside = ThreadPoolExecutor(max_workers=1)
        answer = aside.submit(answer_example, calls, instance.example_input, within_s=instance.request_timeout_s)
        self._finish(answer, shows_life=True)
        aside.shutdown()
        log("example_answered", worker=self.index, took_s=f"{monotonic() - started:.3f}")

    def _finish(self, work: Future[None], *, shows_life: bool = False) -> None:
        """Wait for it however long it takes. An import, which may block all threads for long, shows no life."""
        while not wait([work], timeout=0.05).done:
            flush()
            if shows_life:
                self.notify()
            if not self.alive:  # asked to stop: nothing runs yet that is worth waiting for
                end_now(0)
        work.result()

    def _fail(self, reason: str, detail: str, *, kind: str) -> None:
        log(kind, detail or f"{reason}\n", worker=self.index)
        with suppress(OSError):  # a full disk: the reason is on stderr all the same
            if not self.is_spare:
                write_exit(self.app.instance.exit_file, reason=reason, detail=detail, kind=kind)
        end_now(LOAD_FAILED)

    def run(self) -> None:
        """The relief, until the serving has ended. What goes wrong here ends the process, whatever still runs."""
        try:
            self._relieve()
        except BaseException as error:  # the user's code can raise what it likes in this thread, or close all files
            log("worker_failed", trace_of(error), worker=self.index)
            end_now(FAILED)
        _end_within(SHUTDOWN_S)

    def _relieve(self) -> None:
        Signals()
        os.register_at_fork(after_in_child=self._serving.leave_to_parent)
        served = self._calls.give_thread(self._serving.serve)
        served.add_done_callback(lambda _: self.wake_relief())  # also when it has failed
        relief = Relief(self._serving, self.PIPE[0])
        while self._serving.is_overdue or not served.done():
            self.notify()
            self._obey()
            flush()
            relief.turn()
        served.result()
        self._shut_down()
        self._calls.close()

    def _obey(self) -> None:
        """What the supervisor has asked for, by signal or in `stages`; and what this worker asks for itself."""
        stages, serving = self.app.stages, self._serving
        if not self.alive:
            serving.stop()
        elif stages[self.slot] == RETIRES:
            serving.retire()
        elif serving.begun >= self._recycle_at and stages[self.slot] == READY:
            stages[self.slot] = DUE
            log("worker_due", worker=self.index, after_calls=serving.begun)
            wake(self.ppid)

    def _shut_down(self) -> None:
        """Run the script's own `shutdown`; past its time the process ends all the same."""
        if not self._hooks.has_end:
            return
        ended = self._calls.give_thread(self._end_hooks)
        patience_s = monotonic() + SHUTDOWN_S
        while not wait([ended], timeout=0.05).done:
            self.notify()
            if monotonic() > patience_s:
                log("shutdown_overdue", self._calls.stack, worker=self.index)
                end_now(0)

    def _end_hooks(self) -> None:
        trace = self._hooks.end()
        if trace:
            log("shutdown_failed", trace, worker=self.index)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT and SIGINT: at once, whatever runs."""
        end_now(0)

    def wake_relief(self) -> None:
        with suppress(BlockingIOError):  # full of reasons to wake up
            os.write(self.PIPE[1], b"!")

    def end(self) -> None:
        end_now(OVERDUE)

    def end_child(self) -> None:
        end_now(0)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600, in place of whatever was there.

    It is made under another name and renamed, so that at no moment others may connect or nothing is found.
    """
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(aside))
    aside.chmod(0o600)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    aside.rename(path)
    return listener


def _end_within(wait_s: float) -> None:
    """Threads of the user's code that never end would keep the process, which waits for them."""
    last = threading.Timer(wait_s, end_now, (0,))
    last.daemon = True
    last.start()


def wake(supervisor: int) -> None:
    """Have it look at its workers now, and not only within a second."""
    with suppress(ProcessLookupError):
        os.kill(supervisor, signal.SIGCHLD)


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent ends, however that happens. Elsewhere gunicorn polls."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        end_now(0)
