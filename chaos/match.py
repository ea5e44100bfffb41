"""This file plays rounds on one platform: operations and faults at their moments, then settling, then the verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from chaos.faults import Excuse, Faults
from chaos.findings import Findings
from chaos.operations import Operations
from chaos.plan import Fault, Operation, Round
from tests.e2e.platform import Callers, FailedCall, Platform

SETTLE_S = 180.0
_LOOK_S = 0.5
_STEADY = "steady"


@dataclass(frozen=True)
class Played:
    """How a round went. It is lost when `wrong` has anything in it."""

    seed: int
    number: int
    struck: tuple[str, ...]
    operations: int
    refused: int
    sent: int
    failed: int
    longest_s: float
    settled_s: float
    settled_last: str  # what took the longest
    wrong: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"seed {self.seed}, round {self.number}"


class Match:
    """A platform that is up, a model of two instances that is always called, and what is remembered between rounds."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self._platform = platform
        self._operations = Operations(platform.home / "cli.toml", folder / "projects")
        project = folder / _STEADY
        project.mkdir(parents=True)
        (project / "predict.py").write_text("def predict(x):\n    return x\n")
        shown = platform.done(
            "publish", str(project), "--name", _STEADY, "--file", "predict.py", "--function", "predict"
        )
        self._endpoint = shown["endpoint"]
        self._token = self._operations.client.token(self._operations.client.model(_STEADY))
        self._steady = self._operations.client.versions(_STEADY)[0].id[-8:]

    def close(self) -> None:
        self._operations.close()

    def play(self, plan: Round) -> Played:
        operations = self._operations
        operations.done.clear()
        operations.wrong.clear()
        faults = Faults(self._platform, steady=self._steady)
        if any(fault.whom[0] == "nats-rolled-back" for fault in plan.faults):
            faults.begin()
        with Callers(self._endpoint, self._token or "", {"parameters": [1]}).calling() as callers:
            began_at = time.monotonic()
            self._act(plan, faults, began_at)
            acted_at = time.monotonic()
            left, last = self._settle(acted_at + SETTLE_S)
            settled_at = time.monotonic()
            operations.finish(SETTLE_S)
        done = {what: count for what, count in operations.done.items() if what != "refused"}
        unexcused = unexplained(callers.failed, faults.excuses)
        wrong = [*left, *operations.wrong, *faults.wrong]
        wrong += _told(unexcused, began_at)
        return Played(
            seed=plan.seed,
            number=plan.number,
            struck=tuple(faults.struck),
            operations=sum(done.values()),
            refused=operations.done["refused"],
            sent=callers.sent,
            failed=len(callers.failed),
            longest_s=callers.longest_s,
            settled_s=settled_at - acted_at,
            settled_last=last,
            wrong=tuple(wrong),
        )

    def _act(self, plan: Round, faults: Faults, began_at: float) -> None:
        acts: list[tuple[float, Callable[[], None]]] = [
            *((each.at_s, _later(self._operations.carry_out, each)) for each in plan.operations),
            *((each.at_s, _later(faults.strike, each, began_at)) for each in plan.faults),
        ]
        threads = []
        for at_s, act in sorted(acts, key=lambda pair: pair[0]):
            time.sleep(max(0.0, began_at + at_s - time.monotonic()))
            thread = threading.Thread(target=act)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def _settle(self, until: float) -> tuple[list[str], str]:
        """Waits until nothing is wrong any more; what still is at the deadline, and what was so the longest."""
        with httpx.Client(base_url=self._platform.url, headers=self._headers(), timeout=70) as http:
            findings = Findings(self._platform, http, self._operations.kept)
            last = ""
            while True:
                left = findings.find()
                if not left or time.monotonic() > until:
                    return left, last
                last = left[0]
                time.sleep(_LOOK_S)

    def _headers(self) -> dict[str, str]:
        return {"X-Domino-Api-Key": self._operations.transport.configuration.api_key}


def _later(act: Callable[..., None], *arguments: Operation | Fault | float) -> Callable[[], None]:
    return lambda: act(*arguments)


def unexplained(failed: Sequence[FailedCall], excuses: Sequence[Excuse]) -> list[FailedCall]:
    """The failed calls that no fault of the round accounts for."""
    left = {place: excuse.at_most for place, excuse in enumerate(excuses)}
    unexcused = []
    for call in failed:
        for place, excuse in enumerate(excuses):
            if left[place] > 0 and call.began_at <= excuse.to_s and call.ended_at >= excuse.from_s:
                left[place] -= 1
                break
        else:
            unexcused.append(call)
    return unexcused


def _told(failed: Sequence[FailedCall], began_at: float, *, at_most: int = 5) -> list[str]:
    said = [f"a call failed at {each.began_at - began_at:.1f} s: {each.what}" for each in failed]
    return said if len(said) <= at_most else [*said[:at_most], f"{len(said) - at_most} more calls failed"]
