"""This file is what becomes of a worker's signals in the processes that its function forks."""

from __future__ import annotations

import os
import signal
import threading

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1)


class Signals:
    """In a process that the user's code forks, signals end it as they end any; they are this worker's no more.

    They are held back over the fork: one that came in between would be taken by nobody.
    """

    def __init__(self) -> None:
        self._usual = threading.local()
        os.register_at_fork(before=self._hold, after_in_parent=self._let_go, after_in_child=self._forget)

    def _hold(self) -> None:
        self._usual.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def _let_go(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._usual.mask)

    def _forget(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._let_go()
