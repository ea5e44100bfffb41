"""This file answers for access tokens: made, shown, made anew and revoked. A secret leaves in three answers only."""

from __future__ import annotations

import hashlib

import msgspec
from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.intent import Intent, intent
from services.api.http.routes import API, Route, answer
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.commands import (
    CreateAccessToken,
    ModelCommand,
    RegenerateAccessToken,
    RevokeAccessToken,
    ShowAccessToken,
)
from services.core.model import AccessToken, Model
from services.kit import ids
from services.kit.vault import Vault

TOKENS_AT = API + "/modelApis/{model}/accessTokens"
TOKEN_AT = TOKENS_AT + "/{token}"


class TokenBody(Body, frozen=True, kw_only=True):
    name: str


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was just drawn. Only its hash goes into a command, and only its ciphertext is stored."""

    id: str
    name: str
    secret: str

    @classmethod
    def make(cls, once: Intent, name: str) -> NewToken:
        return cls(id=once.new_id("token"), name=name, secret=ids.new_token())

    def __repr__(self) -> str:
        return f"NewToken(id={self.id!r})"

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @property
    def creation(self) -> CreateAccessToken:
        return CreateAccessToken(token_id=self.id, name=self.name, token_hash=self.hash)

    def sealed(self, vault: Vault) -> dict[str, bytes | None]:
        """What the ledger stores beside the command."""
        return {self.id: vault.seal(self.secret).encode()}


class Tokens:
    """The access tokens of one model."""

    def __init__(self, store: Store, ledger: Ledger, vault: Vault) -> None:
        self._store = store
        self._ledger = ledger
        self._vault = vault

    def routes(self) -> list[Route]:
        return [
            Route("GET", TOKENS_AT, self.index, Action.SEE_TOKENS),
            Route("POST", TOKENS_AT, self.create, Action.CREATE_TOKEN),
            Route("GET", TOKEN_AT + "/secret", self.show, Action.SEE_TOKENS),
            Route("POST", TOKEN_AT + "/regenerate", self.regenerate, Action.REGENERATE_TOKEN),
            Route("DELETE", TOKEN_AT, self.revoke, Action.REVOKE_TOKEN),
        ]

    async def index(self, request: web.Request) -> web.Response:
        model = await self._store.load(MODEL, request.match_info["model"])
        return answer([views.token(token) for token in model.tokens])

    async def create(self, request: web.Request) -> web.Response:
        body = await read(request, TokenBody)
        once = intent(request)
        drawn = NewToken.make(once, names.check_token_name(body.name))
        model = await self._execute(request, drawn.creation, once, drawn)
        token = model.token(drawn.id)
        return answer(await self._with_secret(token, drawn), status=201, at=f"{request.path}/{token.id}")

    async def show(self, request: web.Request) -> web.Response:
        """Showing is recorded first: nobody sees a secret unseen."""
        token_id = request.match_info["token"]
        await self._execute(request, ShowAccessToken(token_id=token_id), intent(request))
        return answer({"token": await self._secret(token_id)}, headers={"Cache-Control": "no-store"})

    async def regenerate(self, request: web.Request) -> web.Response:
        once = intent(request)
        drawn = NewToken(id=request.match_info["token"], name="", secret=ids.new_token())
        command = RegenerateAccessToken(token_id=drawn.id, token_hash=drawn.hash)
        model = await self._execute(request, command, once, drawn)
        return answer(await self._with_secret(model.token(drawn.id), drawn))

    async def revoke(self, request: web.Request) -> web.Response:
        token_id = request.match_info["token"]
        await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            RevokeAccessToken(token_id=token_id),
            actor=actor(request),
            command_id=intent(request).command_id("revoke"),
            secrets={token_id: None},
        )
        return web.Response(status=204)

    async def _execute(
        self, request: web.Request, command: ModelCommand, once: Intent, drawn: NewToken | None = None
    ) -> Model:
        return await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=once.command_id(type(command).__name__),
            secrets={} if drawn is None else drawn.sealed(self._vault),
        )

    async def _with_secret(self, token: AccessToken, drawn: NewToken) -> views.View:
        """A repeated request drew a token that was not stored: what is answered is always the stored one."""
        secret = drawn.secret if token.token_hash == drawn.hash else await self._secret(token.id)
        return {**views.token(token), "token": secret}

    async def _secret(self, token_id: str) -> str:
        return self._vault.open((await self._store.secret(token_id)).decode())
