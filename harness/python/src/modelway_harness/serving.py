"""This file is how a worker serves its socket: one thread reads, calls the function, and answers.

There is no step from one thread to another on a call's way. Only while the function runs for longer than a few
milliseconds does a second thread, the relief, do what is left to do: let in, read, answer health, hold or refuse second
calls, and put an end to a call that passes its deadline. All of it is done by whoever has the turn. The serving thread
has it always but inside the function; so no two threads ever touch a connection at once, and a call that the relief
refuses was never started.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, Protocol

from . import asking
from .binding import Call
from .calls import Answered, Calls, Failed, Unfit
from .connection import Connection
from .dialect import Asked
from .endpoint import Endpoint, Refused
from .flow import Flow
from .log import log
from .outflow import LEAVE_S, Outflow
from .reception import Reception
from .streaming import Streamed

PATIENCE_S = 0.004  # how long the function may run before the relief takes over
FLUSH_S = 2.0  # how long the answer to an overdue call may take to be sent
IDLE_S = 5.0  # that a connection may be kept without a request while the worker retires
LINGER_S = 0.05  # at the end, to refuse in words what is already on its way


class Shell(Protocol):
    """The process around it."""

    def wake_relief(self) -> None:
        """Have `relieve` called soon: a call has begun while the relief slept, or serving has ended."""

    def end(self) -> None:
        """End this process now; its supervisor replaces it. Does not return."""

    def end_child(self) -> None:
        """End a process that the function forked and did not end. Does not return."""


class _Lost(BaseException):
    """The call has ended after all, long after its deadline."""


class Running(NamedTuple):
    """The call that the function is in."""

    connection: Connection
    since: float


Outcome = Answered | Failed | Unfit


class Serving:
    """One worker's calls. `serve` is for the thread of `calls`, everything else for one other thread, the relief."""

    def __init__(self, reception: Reception, endpoint: Endpoint, calls: Calls, shell: Shell) -> None:
        self._reception = reception
        self._lobby = reception.lobby
        self._endpoint = endpoint
        self._calls = calls
        reception.timing_of_import = f"import;dur={calls.load_ms:.3f}"
        self._shell = shell
        self._turn = threading.Lock()
        self._nudged, self._nudge = os.pipe()
        self._is_stopping = False
        self._is_retiring = False
        self._dismisses_at: float | None = None
        self._is_forked = False
        self._ends_at: float | None = None
        self._running: Running | None = None
        self._outflow: Outflow | None = None  # what the call that runs has begun to answer
        self._leaves_by: float | None = None  # its caller has been told that the time is over, and the function to end
        self.relief_sleeps = False  # set by the relief: a call that begins is to wake it
        self.begun = 0  # calls

    def serve(self) -> None:
        """Serve until `stop`, and then what had begun."""
        self._lobby.watch(self._nudged)
        with suppress(_Lost), self._turn:
            while not self._has_ended():
                until = self._dismisses_at if self._ends_at is None else self._ends_at
                self._lobby.look(None if until is None else max(0.0, until - monotonic()))
                self._serve_waiting()
        self._shell.wake_relief()

    def _has_ended(self) -> bool:
        if not self._is_stopping:
            return self._is_retiring and self._has_retired()
        self._close_door()
        if self._ends_at is None and self._lobby.is_quiet():
            self._ends_at = monotonic() + LINGER_S
        return self._lobby.is_empty or (self._ends_at is not None and monotonic() >= self._ends_at)

    def _has_retired(self) -> bool:
        if not self._reception.is_retiring:
            self._reception.is_retiring = True
            self._lobby.close_door()
            os.read(self._nudged, 1)
            self._dismisses_at = monotonic() + IDLE_S
        elif self._dismisses_at is not None and monotonic() >= self._dismisses_at:
            self._lobby.dismiss_idle()
            self._dismisses_at = monotonic() + IDLE_S
        return self._lobby.is_empty

    def _close_door(self) -> None:
        if not self._reception.is_stopping:
            self._reception.is_stopping = True
            self._lobby.close_door()
            os.read(self._nudged, 1)

    def _serve_waiting(self) -> None:
        """One call after the other. Whoever else has come meanwhile is seen to in between."""
        waiting = self._reception.waiting
        looked = monotonic()
        while waiting:
            connection = waiting.popleft()
            self._call(connection)
            self._lobby.go_on(connection)
            if waiting and monotonic() - looked > PATIENCE_S:
                self._lobby.look(0)
                self._has_ended()  # or callers who are never through would keep it from beginning to end
                looked = monotonic()

    def _call(self, connection: Connection) -> None:
        endpoint, reception = self._endpoint, self._reception
        dialect = connection.dialect or endpoint
        timing = ""
        try:
            head = connection.head
            asked = dialect.asked(head, endpoint.plain(head, connection.reader.body()), self._calls.binding)
            now = monotonic()
            if now >= connection.deadline:
                raise endpoint.no_time_left()
            outcome = self._run(Running(connection, now), asked)
            if self._outflow is not None or outcome is None:
                self._finish(outcome)
                return
            timing = reception.timing(connection, now)
            if isinstance(outcome, Answered):
                timing = f"{timing}, compute;dur={outcome.took_ms:.3f}, encode;dur={outcome.encode_ms:.3f}"
                answer = dialect.answered(asked, outcome, connection.request_id)
            else:
                timing += _compute(outcome)
                answer = endpoint.failed(outcome, dialect, connection.request_id)
        except Refused as error:
            reception.refuse(connection, error, timing=timing)
            return
        except Exception as error:
            if self._running is not None:  # nobody knows what state this is in: a fresh process does
                raise
            answer = endpoint.own_failure(error, dialect, connection.request_id)
            if self._outflow is not None:
                self._finish(Failed("the harness failed; the instance's log says why", ""))
                return
        reception.answer(connection, answer, timing)

    def _run(self, running: Running, asked: Asked) -> Outcome | None:
        """The one place where the turn is given away. None when all has been told that can be."""
        self._running = running
        asking.now = running.connection.request_id
        self._reception.note_call(running.connection)
        self._reception.is_busy = True
        self.begun += 1
        if self.relief_sleeps:
            self._shell.wake_relief()
        self._turn.release()
        try:
            if asked.flow is None:
                outcome: Any = self._calls.call(asked.call, asked.encode)
            else:
                outcome = self._streamed(running, asked.flow, asked.call)
        finally:
            self._take_turn_again()
        if self._leaves_by is not None:  # the function has ended after all, though not in time for its caller
            self._leaves_by = None
            if isinstance(outcome, Failed):
                log("call_failed", outcome.trace, request_id=running.connection.request_id)
            return None
        return outcome  # type: ignore[no-any-return]  # not in pieces

    def _streamed(self, running: Running, flow: Flow, call: Call) -> Outcome | None:
        """Nothing has been sent when it fails before the first piece: that is an answer like any other."""
        pieces = self._calls.call(call, in_pieces=True)
        if not isinstance(pieces, Streamed):
            return pieces
        first = self._calls.piece(pieces)
        if isinstance(first, Failed):
            self._calls.leave(pieces)
            return first
        if self._is_forked:
            self._shell.end_child()
        with self._turn:
            if self._reception.is_overdue:
                raise _Lost
            outflow = Outflow(running.connection, flow, running.since, self._reception, self._endpoint)
            self._outflow = outflow
        return outflow.run(pieces, first, self._turn, self._calls)

    def _finish(self, outcome: Outcome | None) -> None:
        outflow, self._outflow = self._outflow, None
        if outflow is not None:
            outflow.finish(outcome)

    def _take_turn_again(self) -> None:
        if self._is_forked:
            self._shell.end_child()
        self._turn.acquire()
        if self._reception.is_overdue:  # its caller has been answered, and this process is ending
            raise _Lost
        self._reception.note_return()
        self._reception.is_busy = False
        asking.now = ""
        self._running = None

    def leave_to_parent(self) -> None:
        """In a process that the function forked: nothing here is its own."""
        self._is_forked = True
        if self._outflow is not None:
            self._outflow.is_over = True
        self.close()

    def close(self) -> None:
        """Let go of all connections and the socket. For when `serve` has ended."""
        self._lobby.forget()
        for end in (self._nudge, self._nudged):
            os.close(end)

    # The relief's part

    def stop(self) -> None:
        """Let nobody new in, and have `serve` end."""
        if not self._is_stopping:
            self._is_stopping = True
            os.write(self._nudge, b"!")

    def retire(self) -> None:
        """Another worker has the socket's path now: answer all who are here or at the door, and have `serve` end."""
        if not self._is_retiring:
            self._is_retiring = True
            os.write(self._nudge, b"!")

    @property
    def is_overdue(self) -> bool:
        """A call has passed its deadline: `relieve` ends the process as soon as its caller has been told."""
        return self._reception.is_overdue

    @property
    def is_relieved(self) -> bool:
        """The function runs for so long that the relief has to look at what comes."""
        running = self._running
        return running is not None and monotonic() - running.since >= PATIENCE_S

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._lobby.fileno()

    def relieve(self) -> float:
        """Do what there is to do while the function runs; seconds until it is time to do so again."""
        running = self._running
        if running is None:
            return PATIENCE_S
        early_s = running.since + PATIENCE_S - monotonic()
        if early_s > 0:
            return early_s
        if not self._turn.acquire(blocking=False):
            return PATIENCE_S
        try:
            return self._stand_in(running) if self._running is running else PATIENCE_S
        finally:
            self._turn.release()

    def _stand_in(self, running: Running) -> float:
        if self._is_stopping:
            self._close_door()
        if monotonic() >= self._until(running) and not self._reception.is_overdue:
            self._give_up(running)
        self._lobby.look(0)
        held_until = self._reception.refuse_impatient()
        if self._reception.is_overdue:
            return self._end_when_told(running)
        return max(0.0, min(min(self._until(running), held_until) - monotonic(), self._lobby.next_s()))

    def _until(self, running: Running) -> float:
        if self._leaves_by is not None:
            return self._leaves_by
        return running.connection.deadline if self._outflow is None else self._outflow.until

    def _give_up(self, running: Running) -> None:
        """Answer a call that runs past its deadline. The thread it is in is lost, and so is the process, unless it
        makes pieces: between two of them it can be told to end.
        """
        connection, outflow = running.connection, self._outflow
        if outflow is not None and not outflow.is_over:
            outflow.break_off()
            return
        named = {"request_id": connection.request_id, "after_s": f"{monotonic() - connection.began:.3f}"}
        gathers = self._calls.gathers if self._leaves_by is None else None
        if gathers is not None:
            log("stream_overdue", **named, worker=self._endpoint.worker)
            gathers.leave()
            connection.is_kept = False
            self._tell_late(running)
            self._leaves_by = monotonic() + LEAVE_S
            return
        log("call_overdue", self._calls.stack, **named, worker=self._endpoint.worker)
        self._reception.is_overdue = True
        self._ends_at = monotonic() + FLUSH_S
        self._lobby.close_door()
        if outflow is None and self._leaves_by is None:
            self._tell_late(running)

    def _tell_late(self, running: Running) -> None:
        timing = f"{self._reception.timing(running.connection, running.since)}, compute;dur="
        took_ms = (monotonic() - running.since) * 1000
        self._reception.refuse(running.connection, self._endpoint.too_long(), timing=f"{timing}{took_ms:.3f}")

    def _end_when_told(self, running: Running) -> float:
        if not running.connection.has_unsent or monotonic() >= (self._ends_at or 0.0):
            self._shell.end()
        return PATIENCE_S


def _compute(outcome: Failed | Unfit) -> str:
    return f", compute;dur={outcome.took_ms:.3f}" if isinstance(outcome, Failed) else ""
