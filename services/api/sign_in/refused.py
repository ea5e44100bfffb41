"""This file records refused sign-ins in the history of those whose name was given, after the answer is out: it would
take longer for a name that exists.
"""

from __future__ import annotations

import asyncio

import structlog

from services.api import patience
from services.api.ports import Ledger
from services.core.aggregates import PERSON
from services.core.commands import RefuseSignIn
from services.core.errors import ModelwayError
from services.core.events import Actor, ActorKind, SignInMethod
from services.core.person import Person

MOST_WAITING = 200
SETTLED_WITHIN_S = 5.0

log = structlog.get_logger()


class RefusedSignIns:
    """Who is refused is limited (`Attempts`), so the history does not fill up with them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._recording: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()  # they are often of one person, and would only collide

    def record(self, person: Person, method: SignInMethod, reason: str, *, address: str) -> None:
        """Returns at once. The actor is the platform: whoever it was did not prove to be the person."""
        if len(self._recording) >= MOST_WAITING:
            log.warning("sign_in_refusal_not_recorded", person=person.id, reason="too many wait")
            return
        by = Actor(kind=ActorKind.SERVICE, id="api", name="api", address=address)
        recording = asyncio.create_task(self._record(person, RefuseSignIn(method=method, reason=reason), by))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)

    async def settle(self) -> None:
        """Returns once all are recorded, or not much later."""
        if self._recording:
            await asyncio.wait(set(self._recording), timeout=SETTLED_WITHIN_S)

    async def close(self, _app: object) -> None:
        """Nothing is recorded any more once this returns."""
        await self.settle()
        for recording in set(self._recording):
            recording.cancel()

    async def _record(self, person: Person, command: RefuseSignIn, by: Actor) -> None:
        try:
            async with self._one_at_a_time:
                with patience.one_request():
                    await self._ledger.execute(PERSON, person.id, command, actor=by)
        except ModelwayError as error:
            log.warning("sign_in_refusal_not_recorded", person=person.id, reason=error.reason)
