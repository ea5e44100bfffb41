"""This file answers for access tokens: made, shown, made anew and revoked. A secret leaves in three answers only."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.intent import Intent, intent
from services.api.http.permits import about
from services.api.http.query import PART, part
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import says
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
from services.core.errors import Refused
from services.core.model import AccessToken, Model
from services.kit import ids
from services.kit.config import ConfigError
from services.kit.vault import Vault

TOKENS_AT = API + "/modelApis/{model}/accessTokens"
TOKEN_AT = TOKENS_AT + "/{token}"


class TokenBody(Body, frozen=True, kw_only=True):
    """An access token to be made."""

    name: Annotated[str, says("its name: printable, at most 100 characters", longest=100)]


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

    @property
    def internal_creation(self) -> CreateAccessToken:
        """For the platform's own use."""
        return CreateAccessToken(token_id=self.id, name=self.name, token_hash=self.hash, is_internal=True)

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
            Route("GET", TOKENS_AT, self.index, Action.SEE_TOKENS, query=PART, gives={200: list[views.Token]}),
            Route(
                "POST", TOKENS_AT, self.create, Action.CREATE_TOKEN, takes=TokenBody, gives={201: views.TokenWithSecret}
            ),
            Route("GET", TOKEN_AT + "/secret", self.show, Action.SEE_TOKENS, gives={200: views.Secret}, also=(422,)),
            Route(
                "POST",
                TOKEN_AT + "/regenerate",
                self.regenerate,
                Action.REGENERATE_TOKEN,
                gives={200: views.TokenWithSecret},
            ),
            Route("DELETE", TOKEN_AT, self.revoke, Action.REVOKE_TOKEN, gives={204: None}),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """The access tokens of a Model API, without their secrets."""
        model = about(request, MODEL)
        tokens, total = part(request, model.listed_tokens)
        return answer([views.token(token) for token in tokens], headers=total)

    async def create(self, request: web.Request) -> web.Response:
        """Make an access token. Its secret is in the answer."""
        body = await read(request, TokenBody)
        once = intent(request)
        drawn = NewToken.make(once, names.check_token_name(body.name))
        model = await self._execute(request, drawn.creation, once, drawn)
        token = model.token(drawn.id)
        return answer(await self._with_secret(request, token, drawn), status=201, at=f"{request.path}/{token.id}")

    async def show(self, request: web.Request) -> web.Response:
        """The secret of an access token.

        Showing is recorded first: nobody sees a secret unseen.
        """
        secret = await self._shown(request, request.match_info["token"])
        return answer(views.Secret(token=secret), headers={"Cache-Control": "no-store"})

    async def regenerate(self, request: web.Request) -> web.Response:
        """Draw a new secret for an access token: the old one opens nothing any more."""
        once = intent(request)
        drawn = NewToken(id=request.match_info["token"], name="", secret=ids.new_token())
        command = RegenerateAccessToken(token_id=drawn.id, token_hash=drawn.hash)
        model = await self._execute(request, command, once, drawn)
        return answer(await self._with_secret(request, model.token(drawn.id), drawn))

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke an access token: it opens nothing any more."""
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

    async def _with_secret(self, request: web.Request, token: AccessToken, drawn: NewToken) -> views.TokenWithSecret:
        """A repeated request drew a secret that was not stored: it is shown the stored one, as who asks for that is."""
        secret = drawn.secret if token.token_hash == drawn.hash else await self._shown(request, token.id)
        return views.TokenWithSecret(**msgspec.structs.asdict(views.token(token)), token=secret)

    async def _shown(self, request: web.Request, token_id: str) -> str:
        """The secret, once its showing is recorded: each time anew, whatever key a repeated request comes with."""
        await self._execute(request, ShowAccessToken(token_id=token_id), Intent(ids.new_object_id()))
        try:
            return self._vault.open((await self._store.secret(token_id)).decode())
        except ConfigError:
            raise Refused("the key that this access token is sealed with is not here any more: regenerate it") from None
