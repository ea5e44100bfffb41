"""This file is a provider that says whatever the test wants: what a good one would never say is said by this one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey
from joserfc.jws import JWSRegistry

from services.api.sign_in.provider import Account
from services.kit.config import Secret

CLIENT_ID, CLIENT_SECRET = "modelway", "the-secret-of-the-client"
KEY = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "other", "use": "sig"})

Token = Callable[["Hostile"], str]


class Hostile:
    """Answers rightly unless it is told otherwise. `claims` and `description` are laid over what is right."""

    def __init__(self) -> None:
        self.issuer = ""
        self.nonce = ""
        self.claims: dict[str, Any] = {
            "sub": "42",
            "preferred_username": "grace",
            "name": "Grace",
            "email": "g@x.example",
        }
        self.description: dict[str, Any] = {}
        self.keys: list[dict[str, Any]] = [KEY.as_dict(private=False)]
        self.userinfo: dict[str, Any] = {}
        self.token: Token = signed
        self.token_answer: Callable[[], web.StreamResponse] | None = None
        self.asked: list[str] = []

    def right_claims(self) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            **self.claims,
        }

    def account(self, **changes: Any) -> Account:
        given = {
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": Secret(CLIENT_SECRET),
            "name": "Provider",
        }
        return Account(**{**given, **changes})

    async def describe(self, request: web.Request) -> web.Response:
        self.asked.append("description")
        right = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        return web.json_response({**right, **self.description})

    async def give_keys(self, request: web.Request) -> web.Response:
        self.asked.append("keys")
        return web.json_response({"keys": self.keys})

    async def give_token(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("token")
        if self.token_answer is not None:
            return self.token_answer()
        form = await request.post()
        assert (form["client_id"], form["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        return web.json_response({"access_token": "at", "token_type": "Bearer", "id_token": self.token(self)})

    async def tell(self, request: web.Request) -> web.Response:
        self.asked.append("userinfo")
        assert request.headers["Authorization"] == "Bearer at"
        return web.json_response(self.userinfo)


@asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    provider = Hostile()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.describe)
    app.router.add_get("/keys", provider.give_keys)
    app.router.add_post("/token", provider.give_token)
    app.router.add_get("/userinfo", provider.tell)
    server = TestServer(app)
    await server.start_server()
    provider.issuer = str(server.make_url("")).rstrip("/")
    yield provider
    await server.close()


def signed(provider: Hostile) -> str:
    return jwt.encode({"alg": "RS256", "kid": "first"}, provider.right_claims(), KEY)


def saying(**changes: Any) -> Token:
    """A token rightly signed that says something else; None: that leaves it out."""

    def make(provider: Hostile) -> str:
        claims = {**provider.right_claims(), **changes}
        told = {claim: value for claim, value in claims.items() if value is not None}
        return _joined({"alg": "RS256", "kid": "first"}, json.dumps(told).encode(), KEY)

    return make


def unsigned(provider: Hostile) -> str:
    return f"{_encoded({'alg': 'none', 'kid': 'first'})}.{_encoded(provider.right_claims())}."


def signed_with_the_public_key(provider: Hostile) -> str:
    """As a verifier takes it that lets the token choose how it is verified."""
    signed_part = f"{_encoded({'alg': 'HS256', 'kid': 'first'})}.{_encoded(provider.right_claims())}"
    signature = hmac.digest(KEY.as_pem(private=False), signed_part.encode(), "sha256")
    return f"{signed_part}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def signed_with_the_clients_secret(provider: Hostile) -> str:
    key = OctKey.import_key(CLIENT_SECRET.encode() * 2)
    return jwt.encode({"alg": "HS256", "kid": "first"}, provider.right_claims(), key, registry=_ANY)


def signed_with_another_key(provider: Hostile) -> str:
    return jwt.encode({"alg": "RS256", "kid": "other"}, provider.right_claims(), OTHER_KEY)


def signed_with_another_key_under_a_known_name(provider: Hostile) -> str:
    return jwt.encode({"alg": "RS256", "kid": "first"}, provider.right_claims(), OTHER_KEY)


def signed_with_a_key_that_it_brings_along(provider: Hostile) -> str:
    header = {"alg": "RS256", "jwk": OTHER_KEY.as_dict(private=False), "jku": f"{provider.issuer}/keys"}
    return jwt.encode(header, provider.right_claims(), OTHER_KEY, registry=_ANY)


def tampered(provider: Hostile) -> str:
    header, _, signature = signed(provider).split(".")
    return f"{header}.{_encoded({**provider.right_claims(), 'sub': '1'})}.{signature}"


def cut(provider: Hostile) -> str:
    return signed(provider).rpartition(".")[0]


def for_another_access_token(provider: Hostile) -> str:
    half = hashlib.sha256(b"another").digest()[:16]
    return saying(at_hash=base64.urlsafe_b64encode(half).rstrip(b"=").decode())(provider)


class _Lenient(JWSRegistry):
    max_header_length = 4096


_ANY = _Lenient(algorithms=["HS256", "RS256"], strict_check_header=False)


def _joined(header: dict[str, Any], payload: bytes, key: RSAKey) -> str:
    """Signed as it is, also what no library would sign."""
    return jws.serialize_compact(header, payload, key)


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
