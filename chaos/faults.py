"""This file does harm: to processes by signals, and to the bus by what lies on its disk."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos.plan import HAPROXY, KILL, PAUSE, STEADY, Fault
from chaos.processes import kill, victims
from tests.e2e.platform import Platform
from tests.e2e.processes import command_of

_FOUND_WITHIN_S = 4.0
_UV_WITHIN_S = 15.0  # it comes with the next build that needs it, and lives for a second
_SERVES_AGAIN_S = 15.0  # after HAProxy's own death, its restart included
_AFTER_UP_S = 45.0  # instances that died are started again
_IN_FLIGHT_S = 8.0


@dataclass(frozen=True)
class Excuse:
    """Failed calls that a fault explains: those that overlap its time, `at_most` of them."""

    from_s: float
    to_s: float
    at_most: float


@dataclass
class Faults:
    """Carries faults out. `struck` says what was hit, and when; `wrong` what should not have happened."""

    platform: Platform
    steady: str = ""  # the end of the steady model's version id
    struck: list[str] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _older_bus: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Keep a copy of the bus's storage as it is now, for a roll-back."""
        self._older_bus = self.platform.home / "older-nats"
        shutil.rmtree(self._older_bus, ignore_errors=True)
        with self._bus_held():
            shutil.copytree(self._bus, self._older_bus, symlinks=True)

    def strike(self, fault: Fault, began_at: float) -> None:
        """Returns when the fault is over: a paused process goes on, a home that was killed is up."""
        match fault.whom[0]:
            case "tree":
                self._whole_tree(fault, began_at)
            case "supervisor" if fault.how == KILL:
                self._supervisor(fault, began_at)
            case "nats-deleted":
                self._note(fault, began_at, [])
                shutil.rmtree(self._bus / "jetstream", ignore_errors=True)
            case "nats-emptied":
                self._note(fault, began_at, [])
                self._swap_bus(None)
            case "nats-rolled-back":
                self._note(fault, began_at, [])
                self._swap_bus(self._older_bus)
            case _:
                self._signal(fault, began_at)

    def _signal(self, fault: Fault, began_at: float) -> None:
        found = [process for whom in fault.whom for process in self._find(whom)]
        self._note(fault, began_at, found)
        now = time.monotonic()
        if any(whom in HAPROXY for whom in fault.whom) and fault.how == KILL:
            self.excuses.append(Excuse(now, now + _SERVES_AGAIN_S, float("inf")))
        if any(whom in STEADY for whom in fault.whom):
            # A silent instance may be given up by the monitor and ended: the same as killed.
            self.excuses.append(Excuse(now, now + fault.for_s + _IN_FLIGHT_S, 1))
        if fault.how == PAUSE:
            self._pause(found, fault.for_s)
        else:
            kill(found)

    def _find(self, whom: str) -> list[psutil.Process]:
        until = time.monotonic() + (_UV_WITHIN_S if whom == "uv" else _FOUND_WITHIN_S)
        while True:
            found = victims(self.platform, whom, steady=self.steady)
            if found or time.monotonic() > until:
                return found
            time.sleep(0.02)

    def _pause(self, processes: Sequence[psutil.Process], for_s: float) -> None:
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        try:
            time.sleep(for_s)
        finally:
            for each in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()

    def _whole_tree(self, fault: Fault, began_at: float) -> None:
        now = time.monotonic()
        doomed = [each for each in self.platform.processes() if "modelway" not in Path(command_of(each)[-1]).name]
        self._note(fault, began_at, doomed)
        kill(doomed)
        self._up()
        self.excuses.append(Excuse(now, time.monotonic() + _AFTER_UP_S, float("inf")))

    def _supervisor(self, fault: Fault, began_at: float) -> None:
        found = self._find("supervisor")
        self._note(fault, began_at, found)
        kill(found)
        time.sleep(fault.for_s)
        now = time.monotonic()
        self._up()
        self.excuses.append(Excuse(now, time.monotonic() + _SERVES_AGAIN_S, float("inf")))

    def _up(self) -> None:
        ran = self.platform.embedded("up", "--no-example")
        if ran.code != 0:
            self.wrong.append(f"up ended with {ran.code}: {ran.err[-2000:]}{ran.out[-500:]}")

    @property
    def _bus(self) -> Path:
        return self.platform.home / "nats"

    @contextlib.contextmanager
    def _bus_held(self) -> Iterator[list[psutil.Process]]:
        found = victims(self.platform, "nats", steady="")
        for each in found:
            each.suspend()
        try:
            yield found
        finally:
            for each in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()

    def _swap_bus(self, older: Path | None) -> None:
        """The bus dies, and what starts in its place finds another storage."""
        with self._bus_held() as found:
            aside = self._bus.with_name("nats-aside")
            shutil.rmtree(aside, ignore_errors=True)
            self._bus.rename(aside)
            if older is None:
                self._bus.mkdir(mode=0o700)
            else:
                shutil.copytree(older, self._bus, symlinks=True)
                self._bus.chmod(0o700)
            kill(found)

    def _note(self, fault: Fault, began_at: float, found: Sequence[psutil.Process]) -> None:
        at_s = time.monotonic() - began_at
        is_named = fault.how in (KILL, PAUSE)
        missed = " (not there)" if is_named and not found else ""
        what = str(fault).partition(" s ")[2]
        with self._lock:
            self.struck.append(f"{at_s:.1f}s {what}{missed}")
