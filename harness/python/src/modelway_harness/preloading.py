"""This file is what the supervisor does about pre-loading: it keeps a zygote, or does without when that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from .config import Instance
from .log import log
from .worker import ModelWorker
from .zygote import Lost, Post, Zygote, is_possible, spawn

ZYGOTES = 3  # that may be lost in a row before workers are made without


class Preloading:
    """Of one instance. Where it is not wanted, or turns out not to be possible, there is nothing to it."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._zygote: Zygote | None = None
        self._lost = 0
        self.is_wanted = instance.preload

    @property
    def pid(self) -> int:
        """Of the zygote; 0 is none."""
        return 0 if self._zygote is None else self._zygote.pid

    @property
    def is_done(self) -> bool:
        """The script has been imported, and can be forked."""
        return self._zygote is not None and self._zygote.verdict == ""

    @property
    def has_refused(self) -> bool:
        """The script has been imported, and must not be forked."""
        return self._zygote is not None and bool(self._zygote.verdict)

    def is_ready(self, become: Callable[[Post], NoReturn]) -> bool:
        """Whether workers can be made now. In a process that is to be a worker, forked later, `become` is called."""
        if not self.is_wanted:
            return True
        if self._zygote is None:
            if is_possible() and self._lost < ZYGOTES:
                self._begin(become)
            else:
                self._do_without("its process was lost too often" if is_possible() else "this system cannot")
        elif self._zygote.verdict:
            self._do_without(self._zygote.verdict)
        return self.is_done or not self.is_wanted

    def fork(self, worker: ModelWorker) -> bool:
        """Make its process, and note the id; whether that went well. It may be tried again once this `is_ready`."""
        if self._zygote is None:
            return False
        try:
            worker.pid = self._zygote.fork(worker)
        except Lost as error:
            self.lose(str(error))
            return False
        self._lost = 0
        return True

    def lose(self, how: str) -> None:
        """The zygote has ended, or is of no use any more."""
        self._lost += 1
        log("zygote_lost", reason=how.replace(" ", "_"))
        self.end()

    def end(self) -> None:
        if self._zygote is not None:
            self._zygote.end()
            self._zygote = None

    def _begin(self, become: Callable[[Post], NoReturn]) -> None:
        try:
            begun = spawn(self._instance)
        except OSError as error:
            self.lose(str(error))
            return
        if isinstance(begun, Post):
            become(begun)
        self._zygote = begun

    def _do_without(self, why: str) -> None:
        log("not_preloaded", f"not pre-loaded: {why}; every worker imports the script for itself\n")
        self.is_wanted = False
        self.end()
