"""This file calls a model, and reads its document, for its collaborators, who need no access token and are shown none.

A restricted model is called with a token of the platform's own, made when it is first needed. It is listed nowhere,
and nobody can show, regenerate or revoke it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from services.api.http.body import JSON_BYTES, chunks
from services.api.http.intent import Intent
from services.api.http.model_calls import Answered, ModelCalls, while_caller_waits
from services.api.http.permits import about
from services.api.http.query import PlainText
from services.api.http.routes import API, Raw, Route
from services.api.http.tokens import NewToken
from services.api.http.views import endpoint
from services.api.ports import Ledger, Store
from services.api.recorder import service_actor
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.canary import HEADER as CANARY_HEADER
from services.core.commands import RegenerateAccessToken
from services.core.errors import NotFound, Refused, Unavailable
from services.core.model import LATEST, PROD, Model
from services.core.names import shortened
from services.kit.config import ConfigError
from services.kit.ids import new_object_id, new_token
from services.kit.vault import Vault

CALLED_AS = "X-Modelway-Request-Id"  # what the call itself was called, as the model's own answer says

_HEARD_WITHIN_S = 5.0  # after which every router that lives has heard of a new token
_AGAIN_AFTER_S = 0.1
_GIVEN_BACK = ("Content-Type", "Content-Encoding", "Retry-After", "Server-Timing")
_SENT_ON = ("Content-Type", "Accept", CANARY_HEADER)
_JSON = "application/json"

_LABEL = PlainText("label", "the label whose version is called", among=(LATEST, PROD), default=LATEST)
_BODY = Raw(_JSON, 'the whole body of the call, such as {"data": {"x": 1}} or {"parameters": [1]}')
_ANSWER = Raw(_JSON, "the model's own answer, as a call of its endpoint has it")
_REFUSAL = Raw(_JSON, "the model's own refusal, or why it was not called")
_DOCUMENT = Raw(_JSON, "an OpenAPI 3.1 document, of the version that answers: what its function takes and gives")
_NOT_TOLD = (404, 502, 503, 504)
_REFUSALS = (400, 404, 408, 413, 415, 502, 503, 504)


class Invocation:
    """Calls of models by people."""

    def __init__(self, store: Store, ledger: Ledger, vault: Vault, calls: ModelCalls) -> None:
        self._store = store
        self._ledger = ledger
        self._vault = vault
        self._calls = calls

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                API + "/modelApis/{model}/invoke",
                self.invoke,
                Action.INVOKE,
                takes=_BODY,
                gives={200: _ANSWER, **dict.fromkeys(_REFUSALS, _REFUSAL)},
                query=(_LABEL,),
            ),
            Route(
                "GET",
                API + "/modelApis/{model}/openapi.json",
                self.describe,
                Action.INVOKE,
                gives={200: _DOCUMENT, **dict.fromkeys(_NOT_TOLD, _REFUSAL)},
                also=(422,),  # a token is made where there is none, and that is a change
                query=(_LABEL,),
            ),
        ]

    async def invoke(self, request: web.Request) -> web.Response:
        """Call a model as its collaborator, without an access token.

        It is called once. The answer is the model's own, with its status.
        """
        model = about(request, MODEL)
        label = _label(request, model)
        body = b"".join([chunk async for chunk in chunks(request, limit_bytes=JSON_BYTES)])
        headers = {name: request.headers[name] for name in _SENT_ON if name in request.headers}
        path = endpoint("", model.id, label)
        called = self._called(model, path, body, {"Content-Type": _JSON, "Accept-Encoding": "identity", **headers})
        return _given_back(await while_caller_waits(request, called))

    async def describe(self, request: web.Request) -> web.Response:
        """Read what a model's function takes and gives, as its collaborator, without an access token.

        The document is the model's own, of the version that the label leads to.
        """
        model = about(request, MODEL)
        path = endpoint("", model.id, _label(request, model), "openapi.json")
        asked = self._called(model, path, None, {"Accept-Encoding": "identity"})
        return _given_back(await while_caller_waits(request, asked))

    async def _called(self, model: Model, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answered:
        """A token that is new is tried again until the router knows it: refused calls reached no instance."""
        until = time.monotonic() + _HEARD_WITHIN_S
        while True:
            token = await self._token(model) if model.is_restricted else None
            shown = {} if token is None else {"Authorization": f"Bearer {token}"}
            answered = await self._calls.call(path, body, {**headers, **shown}, timeout_s=model.request_timeout_s)
            if not answered.is_token_refused:
                return answered
            if time.monotonic() > until:
                raise Unavailable("the router has not heard yet who may call this model; try again soon")
            await asyncio.sleep(_AGAIN_AFTER_S)
            model = await self._store.load(MODEL, model.id)

    async def _token(self, model: Model) -> str:
        """The secret of the platform's own token for the model."""
        token = model.internal_token
        if token is None:
            drawn = NewToken.make(Intent(new_object_id()), "internal")
            after = await self._ledger.execute(
                MODEL,
                model.id,
                drawn.internal_creation,
                actor=service_actor("api"),
                secrets=drawn.sealed(self._vault),
            )
            token = after.internal_token
        if token is None:
            raise NotFound(f"there is no model {model.id}")
        try:
            return self._vault.open((await self._store.secret(token.id)).decode())
        except ConfigError:  # the key it was sealed with is gone
            return await self._anew(model, token.id)

    async def _anew(self, model: Model, token_id: str) -> str:
        drawn = NewToken(id=token_id, name="", secret=new_token())
        command = RegenerateAccessToken(token_id=token_id, token_hash=drawn.hash, is_internal=True)
        secrets = drawn.sealed(self._vault)
        await self._ledger.execute(MODEL, model.id, command, actor=service_actor("api"), secrets=secrets)
        return drawn.secret


def _label(request: web.Request, model: Model) -> str:
    label = _LABEL.of(request) or LATEST
    if label not in model.known_labels:
        known = ", ".join(model.known_labels)
        raise NotFound(f"model {model.name!r} has no label {shortened(label)}, only {known}")
    if model.is_archived:
        raise Refused(f"model {model.name!r} is archived: restore it first")
    return label


def _given_back(answered: Answered) -> web.Response:
    """What a browser shows of a model's answer is never taken for a page of the platform."""
    headers = {name: answered.headers[name] for name in _GIVEN_BACK if name in answered.headers}
    safe = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Security-Policy": "sandbox"}
    called_as = answered.headers.get("X-Request-Id", "")
    return web.Response(status=answered.status, body=answered.body, headers={**headers, **safe, CALLED_AS: called_as})
