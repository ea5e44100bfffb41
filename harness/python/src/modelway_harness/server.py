"""This file is the parent process of an instance: a gunicorn arbiter with one worker per socket.

What differs from gunicorn's own: every worker has a socket of its own (several on one would not share the
calls evenly), and why a worker ended decides what follows. One that could not load the script ends the
instance; one that was ready is replaced, whatever status it ended with, and the others are left alone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import NoReturn

from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from .application import Application, number
from .config import Instance
from .exits import HUNG, LOAD_FAILED, TOO_MUCH_MEMORY, Ending, end_now, ending_of, write_exit
from .log import log
from .memory import Guard, family
from .ondemand import import_if_hidden
from .preloading import Preloading
from .records import name_requests
from .streams import make_streams_forgiving
from .succession import ANSWERS_EXAMPLE, IMPORTS, READY, Succession
from .traces import trace_of
from .worker import ModelWorker
from .zygote import Post

EARLY_ENDS = 5  # workers in a row that end before they are ready, when earlier ones had been


def serve(instance: Instance) -> int:
    """Run the instance until it is stopped; the exit status of the process."""
    make_streams_forgiving()
    name_requests()
    util._setproctitle = lambda title: None  # by its command line the platform finds an instance again
    instance.exit_file.unlink(missing_ok=True)
    import_if_hidden(instance)
    try:
        Supervisor(Application(instance)).run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


class Supervisor(Arbiter):  # type: ignore[misc]  # gunicorn comes without types
    """Starts the workers and judges their ends."""

    worker_age: int
    post: tuple[int, ModelWorker | None]  # of the worker that is made next: its index, and whom it follows

    def __init__(self, app: Application) -> None:
        self._is_stopping = False
        self._was_ever_ready = False
        self._early_ends = 0
        self._succession = Succession(app.stages)
        self._preloading = Preloading(app.instance)
        self._guard = Guard(app.instance.memory_bytes if len(app.instance.sockets) > 1 else 0)
        self._signalled, self._signal = os.pipe()
        super().__init__(app)

    def start(self) -> None:
        super().start()
        for end in (self._signalled, self._signal):
            os.set_blocking(end, False)
        self.app.keeper.wake_by(self._signalled)
        signal.set_wakeup_fd(self._signal, warn_on_full_buffer=False)

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """And look after the workers' connections meanwhile."""
        self.app.keeper.tend(min(timeout, self._guard.next_s()))
        with suppress(BlockingIOError):
            os.read(self._signalled, 4096)
        signals: list[int] = super().wait_for_signals(timeout=0)
        return signals

    def manage_workers(self) -> None:
        """Have a worker at every socket, and successors for those that are due."""
        if not self._preloading.is_ready(self._become_worker):
            return
        held = {worker.index for worker in self.WORKERS.values() if not worker.is_retiring}
        for index in range(self.num_workers):
            if index not in held:
                self._spawn(index)
        due = self._succession.turn(self.WORKERS.values())
        if due is not None:
            log("successor_started", worker=due.index, reason="recycle_after_calls")
            self._spawn(due.index, follows=due)

    def _spawn(self, index: int, *, follows: ModelWorker | None = None) -> None:
        self.post = index, follows
        try:
            if self._preloading.is_wanted:
                self._fork_preloaded()
            else:
                self.spawn_worker()
        except OSError as error:  # no process can be made now, or no file: an instance that serves goes on
            if max(self.app.stages[:]) < READY:
                raise
            log("worker_not_made", worker=index, reason=str(error).replace(" ", "_"))
            if follows is not None:
                self._succession.note_failure(follows, "no_process")

    def _fork_preloaded(self) -> None:
        worker = self._made(self.worker_age + 1)
        number(self, worker)
        if self._preloading.fork(worker):
            self.worker_age = worker.age
            self.WORKERS[worker.pid] = worker
        else:
            worker.tmp.close()

    def _made(self, age: int) -> ModelWorker:
        return ModelWorker(age, self.pid, [], self.app, self.timeout / 2.0, self.cfg, self.log)

    def _become_worker(self, post: Post) -> NoReturn:
        """In a process that was forked from the zygote: be what it is to be."""
        try:
            worker = self._made(post.age)
            worker.tmp.close()
            worker.tmp._tmp = os.fdopen(post.life, "w+b", 0)  # what the supervisor looks at
            worker.pid, worker.index, worker.slot = os.getpid(), post.socket, post.slot
            worker.is_spare, worker.sourced = post.is_spare, post.sourced
            worker.init_process()
        except SystemExit:
            raise
        except BaseException as error:  # must not come to the supervisor's own code
            log("worker_failed", trace_of(error), worker=post.socket)
            end_now(1)
        sys.exit(0)

    def murder_workers(self) -> None:
        """End those that show no life, and the one that takes the others' memory."""
        for worker in list(self.WORKERS.values()):
            if self._is_hung(worker):
                self._end_hung(worker)
        self._guard_memory()

    def _is_hung(self, worker: ModelWorker) -> bool:
        with suppress(OSError, ValueError):
            return bool(monotonic() - worker.tmp.last_update() > self.timeout)
        return False

    def _end_hung(self, worker: ModelWorker) -> None:
        if worker.aborted:
            self.kill_worker(worker.pid, signal.SIGKILL)
            return
        request_id = self.app.keeper.running(worker.slot)
        if request_id:
            worker.ending = HUNG
            log("call_overdue", request_id=request_id, worker=worker.index, ended_by="supervisor")
        else:
            log("worker_hung", worker=worker.index, pid=worker.pid)
        worker.aborted = True
        self.kill_worker(worker.pid, signal.SIGABRT)

    def _guard_memory(self) -> None:
        """Where none works that could be spared, or one is ending already, it is left to the platform."""
        workers = self.WORKERS
        if max(self.app.stages[:]) < READY or any(worker.ending for worker in workers.values()):
            return
        most = self._guard.look([pid for pid in (self.pid, self._preloading.pid) if pid], list(workers))
        if most is None:
            return
        pid, held = most
        worker = workers[pid]
        worker.ending = TOO_MUCH_MEMORY
        named = _named(self.app.keeper.running(worker.slot))
        log("worker_over_memory", worker=worker.index, **named, memory_bytes=held)
        for each in family(pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)

    def reap_workers(self) -> None:
        for pid, status in _ended_children():
            if pid == self._preloading.pid:
                self._judge_zygote(status)
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                worker.tmp.close()
                ending = worker.ending or ending_of(status)
                request_id = self.app.keeper.running(worker.slot)
                self.app.keeper.settle(worker.slot, ending.said)
                self._judge(worker, status, ending, request_id)
        if self._is_stopping:
            self.kill_workers(signal.SIGTERM)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Without gunicorn's last words where ours have been said."""
        if exit_status == LOAD_FAILED:
            self.log.error_log.setLevel(logging.CRITICAL)
        super().halt(exit_status=exit_status)

    def stop(self, graceful: bool = True) -> None:
        self._is_stopping = True
        self._preloading.end()
        super().stop(graceful)
        self.app.keeper.linger()

    def _judge(self, worker: ModelWorker, status: int, ending: Ending, request_id: str) -> None:
        """Have the worker replaced, by returning (what is missing is started), or end the instance."""
        if self._is_stopping:
            return
        stage = self.app.stages[worker.slot]
        if worker.is_retiring:
            log("worker_recycled", worker=worker.index, pid=worker.pid, ended_with=ending.word, **_named(request_id))
        elif worker.is_spare and stage < READY:
            self._succession.note_failure(worker, ending.word)
        elif self._may_replace(stage, has_told=status == LOAD_FAILED):
            log("worker_replaced", worker=worker.index, ended_with=ending.word, **_named(request_id))
        else:
            self._end_instance(ending.said, stage)

    def _judge_zygote(self, status: int) -> None:
        if self._is_stopping or self._preloading.has_refused:
            return
        if not self._preloading.is_done and (status == LOAD_FAILED or not self._was_ever_ready):
            self._end_instance(ending_of(status).said, IMPORTS)
        self._preloading.lose(ending_of(status).word)

    def _may_replace(self, stage: int, *, has_told: bool) -> bool:
        was_ready = stage >= READY
        self._was_ever_ready |= max(self.app.stages[:]) >= READY
        self._early_ends = 0 if was_ready else self._early_ends + 1
        return was_ready or (self._was_ever_ready and not has_told and self._early_ends < EARLY_ENDS)

    def _end_instance(self, how: str, stage: int) -> NoReturn:
        instance: Instance = self.app.instance
        if not instance.exit_file.exists():
            reason = f"a worker {how} while it imported {instance.file}"
            if stage == ANSWERS_EXAMPLE:
                reason = f"its example input failed: the worker {how} while it answered"
            log("load_failed", f"{reason}\n")
            with suppress(OSError):
                write_exit(instance.exit_file, reason=reason, detail="")
        raise HaltServer("the script could not be loaded", LOAD_FAILED)

    def _ignore(self) -> None:
        """Gunicorn's ways to reload itself and to change the number of workers: a worker is a socket here."""

    handle_hup = handle_usr2 = handle_ttin = handle_ttou = handle_winch = _ignore


def _named(request_id: str) -> dict[str, str]:
    return {"request_id": request_id} if request_id else {}


def _ended_children() -> Iterator[tuple[int, int]]:
    """Process id and status (negative: the signal) of every child that has ended since the last time."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)
