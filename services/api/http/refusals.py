"""This file records refused attempts in the history of who made them: each once a minute, however often repeated.

Who tries more different things than a person would is only logged: history is kept for ever, and nobody may fill it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from aiohttp import web

from services.api.meter import Meter
from services.api.ports import Ledger
from services.core.access import Action
from services.core.aggregates import PERSON
from services.core.commands import RefuseAttempt
from services.core.errors import ModelwayError
from services.core.events import Actor
from services.core.pace import Pace

AGAIN_AFTER_S = 60.0
ATTEMPTS = Pace(burst=300, every_s=1.0)  # of one person
_REMEMBERED = 5000
_PATH = 300  # characters of it that are recorded

log = structlog.get_logger()


class Refusals:
    """What people tried and may not."""

    def __init__(self, ledger: Ledger, *, pace: Pace = ATTEMPTS, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._people = Meter(pace, clock=clock)
        self._recorded: OrderedDict[tuple[str, Action, str], float] = OrderedDict()

    async def record(self, request: web.Request, action: Action, *, about_id: str, by: Actor) -> None:
        """That it cannot be recorded is no reason to let it pass, or to say anything else."""
        attempt = (by.id, action, about_id)
        until = self._recorded.get(attempt)
        if until is not None and until > self._clock():
            return
        if self._people.spend(by.id):
            log.warning("refusal_not_recorded", action=str(action), person=by.id, reason="too many of them")
            return
        self._recorded[attempt] = self._clock() + AGAIN_AFTER_S
        self._recorded.move_to_end(attempt)
        while len(self._recorded) > _REMEMBERED:
            self._recorded.popitem(last=False)
        command = RefuseAttempt(action=str(action), method=request.method, path=request.path[:_PATH], about_id=about_id)
        try:
            await self._ledger.execute(PERSON, by.id, command, actor=by)
        except ModelwayError as error:
            self._recorded.pop(attempt, None)
            log.warning("refusal_not_recorded", action=str(action), person=by.id, reason=error.reason)
