"""This file is the parent process of an instance: a gunicorn arbiter with one worker per socket.

What differs from gunicorn's own: every worker has a socket of its own (several on one would not share the
calls evenly), and why a worker ended decides what follows. One that could not load the script ends the
instance; one that was ready is replaced, whatever status it ended with, and the others are left alone.
"""

from __future__ import annotations

import math
import mmap
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from .config import Instance
from .exits import LOAD_FAILED, write_exit
from .keeper import Keeper
from .log import log
from .ondemand import import_if_hidden
from .streams import make_streams_forgiving
from .worker import ANSWERS_EXAMPLE, IMPORTS, READY, ModelWorker

HUNG_MARGIN_S = 5  # past the request timeout, after which a worker that shows no life at all is killed
EARLY_ENDS = 5  # workers in a row that end before they are ready, when earlier ones had been


def serve(instance: Instance) -> int:
    """Run the instance until it is stopped; the exit status of the process."""
    make_streams_forgiving()
    util._setproctitle = lambda title: None  # by its command line the platform finds an instance again
    instance.exit_file.unlink(missing_ok=True)
    import_if_hidden(instance)
    try:
        Supervisor(Application(instance)).run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn comes without types
    """Gunicorn's configuration, and what supervisor and workers share: `stages` holds a byte per worker."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.stages = mmap.mmap(-1, len(instance.sockets))  # shared memory, written by the workers
        self.keeper = Keeper(len(instance.sockets))
        super().__init__()

    def load_config(self) -> None:
        instance = self.instance
        settings = {
            "bind": [],
            "control_socket_disable": True,
            "graceful_timeout": math.ceil(instance.grace_s),
            "loglevel": "error",
            "on_exit": _remove_sockets,
            "pre_fork": _number,
            "proc_name": f"modelway_harness --instance {instance.instance_id}",
            "timeout": math.ceil(instance.request_timeout_s) + HUNG_MARGIN_S,
            "worker_class": ModelWorker,
            "worker_tmp_dir": _memory_dir() or str(instance.exit_file.parent),
            "workers": len(instance.sockets),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)


class Supervisor(Arbiter):  # type: ignore[misc]  # gunicorn comes without types
    """Starts the workers and judges their ends."""

    def __init__(self, app: Application) -> None:
        self._is_stopping = False
        self._was_ever_ready = False
        self._early_ends = 0
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
        self.app.keeper.tend(timeout)
        with suppress(BlockingIOError):
            os.read(self._signalled, 4096)
        signals: list[int] = super().wait_for_signals(timeout=0)
        return signals

    def spawn_workers(self) -> None:
        for _ in range(self.num_workers - len(self.WORKERS)):
            self.spawn_worker()

    def reap_workers(self) -> None:
        for pid, status in _ended_children():
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                worker.tmp.close()
                how = f"signal {-status}" if status < 0 else f"status {status}"
                self.app.keeper.settle(worker.index, how)
                self._judge(worker.index, status, how)
        if self._is_stopping:
            self.kill_workers(signal.SIGTERM)

    def stop(self, graceful: bool = True) -> None:
        self._is_stopping = True
        super().stop(graceful)
        self.app.keeper.linger()

    def _judge(self, index: int, status: int, how: str) -> None:
        """Have the worker replaced, by returning (gunicorn starts what is missing), or end the instance."""
        if self._is_stopping:
            return
        was_ready = self.app.stages[index] == READY
        self._was_ever_ready |= READY in self.app.stages[:]  # a slice: iterating over an mmap gives no numbers
        self._early_ends = 0 if was_ready else self._early_ends + 1
        if was_ready or (self._was_ever_ready and status != LOAD_FAILED and self._early_ends < EARLY_ENDS):
            log("worker_replaced", worker=index, ended_with=how.replace(" ", "_"))
            return
        self._end_instance(how, self.app.stages[index])

    def _end_instance(self, how: str, stage: int) -> NoReturn:
        instance: Instance = self.app.instance
        if not instance.exit_file.exists():
            reason = f"a worker ended with {how} while it imported {instance.file}"
            if stage == ANSWERS_EXAMPLE:
                reason = f"its example input failed: the worker ended with {how} while it answered"
            log("load_failed", f"{reason}\n")
            with suppress(OSError):
                write_exit(instance.exit_file, reason=reason, detail="")
        raise HaltServer("the script could not be loaded", LOAD_FAILED)

    def _ignore(self) -> None:
        """Gunicorn's ways to reload itself and to change the number of workers: a worker is a socket here."""

    handle_hup = handle_usr2 = handle_ttin = handle_ttou = handle_winch = _ignore


def _number(supervisor: Supervisor, worker: ModelWorker) -> None:
    """Give a worker that is about to be forked the lowest number, and so the socket, that no other has."""
    taken = {other.index for other in supervisor.WORKERS.values()}
    worker.index = next(index for index in range(supervisor.num_workers) if index not in taken)
    supervisor.app.stages[worker.index] = IMPORTS


def _remove_sockets(supervisor: Supervisor) -> None:
    for path in supervisor.app.instance.sockets:
        path.unlink(missing_ok=True)


def _ended_children() -> Iterator[tuple[int, int]]:
    """Process id and status (negative: the signal) of every child that has ended since the last time."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, os.waitstatus_to_exitcode(status)


def _memory_dir() -> str | None:
    """A folder in memory, for the files by which workers show that they live: no slow disk is to blame."""
    folder = Path("/dev/shm")  # noqa: S108  # gunicorn makes its file there with a random name, and unlinks it
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK) else None
