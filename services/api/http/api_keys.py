"""This file answers for API keys: several a person, each with a name. A secret is in one answer, and stored nowhere."""

from __future__ import annotations

import hashlib
from typing import Annotated

from aiohttp import web

from services.api.http.body import Body, read
from services.api.http.callers import CALLER
from services.api.http.intent import intent
from services.api.http.people import NOTHING, PERSON_AT
from services.api.http.permits import Permits, about
from services.api.http.person_changes import PersonChanges
from services.api.http.routes import Route, answer
from services.api.http.session import NO_STORE
from services.api.http.shapes import says
from services.api.http.views import people as views
from services.api.ports import Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import PERSON
from services.core.commands import AddApiKey, RevokeApiKey
from services.core.errors import NotFound, Refused
from services.core.person import Person
from services.kit.ids import new_token

KEYS_AT = PERSON_AT + "/apiKeys"


class KeyBody(Body, frozen=True, kw_only=True):
    """A new API key."""

    name: Annotated[str, says("what to call it: 1 to 100 printable characters", longest=100)]


class ApiKeys:
    """The API keys of one person: theirs to make, theirs and administrators' to list and to revoke."""

    def __init__(self, store: Store, permits: Permits, changes: PersonChanges) -> None:
        self._store = store
        self._permits = permits
        self._changes = changes

    def routes(self) -> list[Route]:
        return [
            Route("GET", KEYS_AT, self.index, Action.CHANGE_PERSON, gives={200: views.Keys}),
            Route("POST", KEYS_AT, self.create, Action.CHANGE_PERSON, takes=KeyBody, gives={201: views.NewKey}),
            Route("DELETE", KEYS_AT + "/{key}", self.revoke, Action.CHANGE_PERSON, gives=NOTHING, also=(404,)),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """A person's API keys, without their secrets."""
        keys = about(request, PERSON).api_keys
        return answer(views.keys(keys, await self._store.people.key_uses([key.id for key in keys])))

    async def create(self, request: web.Request) -> web.Response:
        """Make an API key. Its secret is in the answer, and told only now.

        A repeated request is refused: only the hash is stored, so the secret of the first cannot be told again.
        """
        person = about(request, PERSON)
        if person.id != request[CALLER].id:
            reason = f"only {person.user_name} can make API keys of {person.user_name}: who has one acts as them"
            await self._permits.refuse(request, Action.CHANGE_PERSON, reason, about_id=person.id)
        body = await read(request, KeyBody)
        secret = new_token()
        command = AddApiKey(
            key_id=intent(request).new_id("key"),
            name=names.check_key_name(body.name),
            key_hash=hashlib.sha256(secret.encode()).hexdigest(),
        )
        after = await self._changes.execute(request, person.id, command, step="add key")
        made = next((key for key in after.api_keys if key.key_hash == command.key_hash), None)
        if made is None:
            raise Refused(_made_before(after, command))
        return answer(views.new_key(made, secret), status=201, at=f"{request.path}/{made.id}", headers=NO_STORE)

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke an API key: it opens nothing any more."""
        person, key_id = about(request, PERSON), request.match_info["key"]
        if not any(key.id == key_id for key in person.api_keys):
            raise NotFound(f"{person.user_name} has no API key {names.shortened(key_id)}")
        await self._changes.execute(request, person.id, RevokeApiKey(key_id=key_id), step="revoke key")
        await self._store.people.forget_key_use(key_id)
        return web.Response(status=204)


def _made_before(person: Person, command: AddApiKey) -> str:
    if not any(key.id == command.key_id for key in person.api_keys):
        return "this request made an API key before, which was revoked since: send another Idempotency-Key"
    return (
        f"this request made the API key {command.key_id} before, and its secret was in that answer only: "
        "revoke it and make another"
    )
