"""This file strikes at processes of a platform under load, and waits until nothing of it is to be seen any more."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil
from modelway import Client, ModelwayError
from modelway.awaiting import is_whole

from chaos.processes import instance_of, victims
from drill.strikes import INSTANCE, WORKER_OF, Strike
from drill.table import Struck
from tests.e2e.platform import Platform
from tests.load.load import Load

BACK_S = 90.0
_LOOK_S = 0.1
_AFTERWARDS_S = 3.0  # of calls once all is whole: some things show only then
_ANSWERED_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A platform, a model of it that is called all the time, and who calls it."""

    platform: Platform
    client: Client
    model_id: str
    version_id: str
    instances: int
    load: Load

    def carry_out(self, strike: Strike) -> Struck:
        """What `strike` cost, once all is whole and every lane was answered again."""
        began_at = time.monotonic()
        self.load.settle(began_at, within_s=_ANSWERED_S)
        struck_at = time.monotonic()
        old = self._strike(strike)
        back_s, missing = self._await_whole(struck_at, old)
        time.sleep(_AFTERWARDS_S)
        with contextlib.suppress(AssertionError):  # then the calls that fail say so
            self.load.settle(time.monotonic(), within_s=_ANSWERED_S)
        calls = self.load.summary(since=began_at)
        first = calls.failed[0].what if calls.failed else ""
        return Struck(
            what=strike.what,
            requests=len(calls.calls),
            failed=len(calls.failed),
            allowed=strike.allowed,
            longest_s=calls.longest_s,
            back_s=back_s,
            complaint="; ".join(filter(None, (missing, first))),
        )

    def _strike(self, strike: Strike) -> set[psutil.Process]:
        """The processes that are to be gone from now on."""
        struck = {process for whom in strike.whom for process in self._find(whom)}
        for process in struck:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(strike.signal)
        return struck

    def _find(self, whom: str) -> list[psutil.Process]:
        if whom == INSTANCE:
            return victims(self.platform, "steady-instance", steady=self.version_id[-8:])
        if whom.startswith(WORKER_OF):
            master = self.platform.find(whom.removeprefix(WORKER_OF))
            return [] if master is None else master.children()
        program = self.platform.find(whom)
        return [] if program is None else [program]

    def _await_whole(self, since: float, struck: set[psutil.Process]) -> tuple[float | None, str]:
        """Seconds until everything was there again, or None and what is still missing at the deadline."""
        while True:
            missing = self._missing(struck)
            took_s = time.monotonic() - since
            if not missing:
                return took_s, ""
            if took_s > BACK_S:
                return None, f"not within {BACK_S:g} s: {missing}"
            time.sleep(_LOOK_S)

    def _missing(self, struck: set[psutil.Process]) -> str:
        for name in self.platform.programs:
            program = self.platform.find(name)
            if program is None or program in struck:
                return f"{name} is not back"
        leaders = {each for each in self.platform.instances() if instance_of(each).startswith(self.version_id[-8:])}
        if len(leaders - struck) < self.instances:
            return f"{len(leaders - struck)} of {self.instances} instances run"
        try:
            troubles = self.client.platform().troubles
            versions = self.client.versions(self.model_id)
        except ModelwayError as error:
            return error.reason
        unwhole = [f"version {each.number} is not whole" for each in versions if not is_whole(each)]
        return next(iter((*troubles, *unwhole)), "")
