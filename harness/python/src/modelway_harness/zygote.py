"""This file is pre-loading: one process, the zygote, imports the script; the workers are forked from it.

It is a child of the supervisor, which so never runs the user's code, and can turn to workers that import for themselves
when the import has left something that a fork would tear. A worker is forked twice and handed up: the kernel gives the
orphan to the supervisor, which declared that it takes them. So it is its parent, waits for it, and takes it along.

They talk in packets: the zygote tells its verdict, and then for each worker that is asked for, with the file of its
signs of life, the process id.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from .exits import LOAD_FAILED, end_now, write_exit
from .forkable import descriptors, end_children, why_not
from .loader import LoadFailed, Sourced, source
from .log import log

if TYPE_CHECKING:
    from .config import Instance
    from .worker import ModelWorker

FORK_S = 10.0  # that the zygote may take to fork
ADOPTION_S = 5.0
_PACKET = 4096
_SET_CHILD_SUBREAPER, _SET_PDEATHSIG = 36, 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Lost(Exception):
    """The zygote does not answer."""


class Post(NamedTuple):
    """What a process is told that was forked to be a worker."""

    age: int
    socket: int  # its index
    slot: int
    is_spare: bool
    life: int  # the descriptor by which it shows that it lives
    sourced: Sourced


class Zygote:
    """The supervisor's end."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel
        self._verdict: str | None = None

    @property
    def verdict(self) -> str | None:
        """Why it must not be forked, or nothing when it is ready to be; None as long as it imports."""
        if self._verdict is None:
            with suppress(BlockingIOError, ConnectionError):
                told = self._channel.recv(_PACKET, socket.MSG_DONTWAIT)
                self._verdict = told.decode()[1:] if told else None
        return self._verdict

    def fork(self, worker: ModelWorker) -> int:
        """The id of a new process that has become `worker`. Raises Lost."""
        asked = json.dumps([worker.age, worker.index, worker.slot, worker.is_spare]).encode()
        self._channel.settimeout(FORK_S)
        try:
            socket.send_fds(self._channel, [asked], [worker.tmp.fileno()])
            told = self._channel.recv(_PACKET)
        except OSError as error:
            raise Lost(str(error)) from error
        if not told.isdigit():
            raise Lost(told.decode() or "it has ended")
        return int(told)

    def end(self) -> None:
        """End it, and wait for that. One that has ended is no error."""
        self._channel.close()
        with suppress(ChildProcessError):  # waited for already
            if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


def is_possible() -> bool:
    """Whether this system can do it."""
    return _libc is not None


def spawn(instance: Instance) -> Zygote | Post:
    """A zygote that has begun to import; in a process that is to be a worker, forked from it, what it is to be."""
    assert _libc is not None  # noqa: S101 - for the type checker
    _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    supervisor = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return Zygote(pid, ours)
    try:
        ours.close()
        return _Parent(instance, supervisor, theirs).run()
    except BaseException as error:  # must not come to the supervisor's own code
        log("zygote_failed", f"{error!r}\n")
        end_now(1)


class _Parent:
    """The zygote itself."""

    def __init__(self, instance: Instance, supervisor: int, channel: socket.socket) -> None:
        self._instance = instance
        self._supervisor = supervisor
        self._channel = channel

    def run(self) -> Post:
        """Import, tell, and fork for as long as the supervisor lives; returns in workers only."""
        assert _libc is not None  # noqa: S101 - for the type checker
        _libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        if os.getppid() != self._supervisor:
            end_now(0)
        before = descriptors()
        sourced = self._sourced()
        why = why_not(before)
        if why:
            end_children()
        self._channel.send(f"!{why}"[: _PACKET // 4].encode())
        os.kill(self._supervisor, signal.SIGCHLD)  # it looks at once, then
        if why:
            end_now(0)
        gc.collect()
        gc.freeze()  # what was imported is not looked at again, and so stays shared
        return self._fork_as_asked(sourced)

    def _sourced(self) -> Sourced:
        told, started = self._instance, monotonic()
        try:
            sourced = source(told.project_dir, told.file, told.function)
        except LoadFailed as error:
            log("load_failed", error.detail or f"{error.reason}\n")
            with suppress(OSError):
                write_exit(told.exit_file, reason=error.reason, detail=error.detail)
            end_now(LOAD_FAILED)
        log("imported_once", pid=os.getpid(), load_s=f"{monotonic() - started:.3f}")
        return sourced

    def _fork_as_asked(self, sourced: Sourced) -> Post:
        while True:
            asked, files, _, _ = socket.recv_fds(self._channel, _PACKET, 1)
            if not asked:
                end_now(0)
            try:
                worker = _forked_and_handed_up(self._supervisor)
            except OSError as error:
                worker, answer = -1, str(error)
            else:
                answer = str(worker)
            if worker == 0:
                self._channel.close()
                age, index, slot, is_spare = json.loads(asked)
                return Post(age, index, slot, is_spare, files[0], sourced)
            os.close(files[0])
            self._channel.send(answer.encode())


def _forked_and_handed_up(supervisor: int) -> int:
    """Fork a child of `supervisor`: its process id, and 0 in the child."""
    reads, writes = os.pipe()
    middle = os.fork()
    if middle == 0:
        worker = _forked_in_the_middle(writes)
        if worker:
            os._exit(0)
        os.close(reads)
        _await_adoption(supervisor)
        return 0
    os.close(writes)
    with open(reads, "rb") as file:
        told = file.read()
    os.waitpid(middle, 0)
    if not told:
        raise OSError("no process could be made")
    return int(told)


def _forked_in_the_middle(writes: int) -> int:
    try:
        worker = os.fork()
        if worker:
            os.write(writes, str(worker).encode())
    except OSError:
        os._exit(1)
    os.close(writes)
    return worker


def _await_adoption(supervisor: int) -> None:
    until = monotonic() + ADOPTION_S
    while os.getppid() != supervisor:
        if monotonic() > until:
            end_now(1)
        time.sleep(0.0005)
