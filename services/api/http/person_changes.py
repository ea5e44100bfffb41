"""This file is how the routes of people change one: as the caller, once per request, and in effect at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from services.api.http.callers import Callers, actor
from services.api.http.intent import intent
from services.api.ports import Ledger
from services.core.aggregates import PERSON
from services.core.commands import PersonCommand
from services.core.person import Person


class PersonChanges:
    """Whatever this process remembers of the person's keys and sessions is forgotten with each change."""

    def __init__(self, ledger: Ledger, callers: Callers) -> None:
        self._ledger = ledger
        self._callers = callers

    async def execute(
        self,
        request: web.Request,
        person_id: str,
        command: PersonCommand | Callable[[Person], PersonCommand],
        *,
        step: str,
        secrets: Mapping[str, bytes | None] = {},
    ) -> Person:
        """`step` tells the commands of one request apart, so that a repeated request repeats none. Raises as `Ledger`
        does."""
        command_id = intent(request).command_id(step)
        try:
            return await self._ledger.execute(
                PERSON, person_id, command, actor=actor(request), command_id=command_id, secrets=secrets
            )
        finally:
            self._callers.forget(person_id)
