"""This file is signing in with OpenID Connect: the authorization code flow, from the first redirect to what is known.

The order matters: a browser that has no ticket of ours costs the provider nothing; the code is exchanged before
anything that came with it is believed; nothing is believed that the ID token does not say for this very sign-in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from joserfc.jwk import KeySet

from services.api.sign_in.id_token import Expected, UnknownKey, verified_claims
from services.api.sign_in.provider import Account, Provider, Tokens
from services.api.sign_in.ticket import Ticket, new_ticket, open_ticket, seal
from services.core.errors import Forbidden, Invalid, Unavailable
from services.core.identity import Claimed, claimed
from services.kit.clock import now
from services.kit.vault import Vault

DEADLINE_S = 15.0  # for all that is asked of the provider in one request
_MAX_CODE = 4096
_ERROR_CODE = re.compile(r"[a-z_]{1,50}")
_WANTED = ("name", "email")


class Begun(NamedTuple):
    url: str  # at the provider
    sealed: str  # for the browser to keep


class Proven(NamedTuple):
    who: Claimed
    connects_id: str  # the person whose account is to be connected; "" when it is a sign-in


class OpenIdConnect:
    """The flow with one provider."""

    def __init__(self, provider: Provider, vault: Vault, *, clock: Callable[[], datetime] = now) -> None:
        self._provider = provider
        self._vault = vault
        self._clock = clock

    @property
    def account(self) -> Account:
        return self._provider.account

    @property
    def name(self) -> str:
        return self.account.name

    async def close(self, _app: object = None) -> None:
        """Gives back the connections to the provider."""
        await self._provider.close()

    async def begin(self, *, connects_id: str = "") -> Begun:
        """Raises Unavailable."""
        ticket = new_ticket(self._clock(), connects_id=connects_id)
        async with self._in_time():
            url = await self._provider.authorization_url(
                state=ticket.state, nonce=ticket.nonce, verifier=ticket.verifier
            )
        return Begun(url, seal(ticket, self._vault))

    async def complete(self, sealed: str, query: Mapping[str, str]) -> Proven:
        """Whom the provider vouches for, when the browser comes back with its ticket and these parameters.

        Raises Invalid for what did not begin here or cannot be believed, Forbidden when the provider refused, and
        Unavailable.
        """
        ticket = open_ticket(sealed, self._vault, state=query.get("state", ""), at=self._clock())
        async with self._in_time():
            await self._check_answer(query)
            tokens = await self._provider.exchange(query["code"], verifier=ticket.verifier)
            claims = await self._claims(tokens, ticket)
            return Proven(await self._who(claims, tokens), ticket.connects_id)

    async def _check_answer(self, query: Mapping[str, str]) -> None:
        """The issuer's name comes along so that one provider's answer is not taken for another's (RFC 9207)."""
        offer = await self._provider.offer()
        issuer = query.get("iss")
        if issuer != offer.issuer and (issuer is not None or offer.authorization_response_iss_parameter_supported):
            raise Invalid(f"this answer is not from {self.name}: begin again")
        if "error" in query:
            error = query["error"]
            why = error if _ERROR_CODE.fullmatch(error) else "it does not say why"
            raise Forbidden(f"{self.name} did not sign you in: {why}")
        if not 1 <= len(query.get("code", "")) <= _MAX_CODE:
            raise Invalid(f"the answer of {self.name} holds no code: begin again")

    async def _claims(self, tokens: Tokens, ticket: Ticket) -> dict[str, Any]:
        """Keys are asked for once more when the token was signed with one that is not known yet."""
        account, offer = self.account, await self._provider.offer()
        expected = Expected(
            issuer=account.issuer,
            client_id=account.client_id,
            nonce=ticket.nonce,
            access_token=tokens.access_token,
            algorithms=offer.id_token_signing_alg_values_supported,
        )
        keys = await self._provider.keys()
        try:
            return verified_claims(tokens.id_token, keys, expected)
        except UnknownKey:
            return await self._with_new_keys(tokens.id_token, keys, expected)

    async def _with_new_keys(self, token: str, old: KeySet, expected: Expected) -> dict[str, Any]:
        try:
            return verified_claims(token, await self._provider.keys(other_than=old), expected)
        except UnknownKey as error:
            raise Invalid(
                "the provider's ID token is not acceptable: it was signed with no key of the provider"
            ) from error

    async def _who(self, claims: dict[str, Any], tokens: Tokens) -> Claimed:
        """Userinfo is asked only for what the ID token does not say."""
        subject = claims["sub"]
        wanted = (*_WANTED, "groups") if self.account.administrators_group else _WANTED
        if not all(each in claims for each in wanted):
            claims = _together(claims, await self._provider.userinfo(tokens.access_token, subject=subject))
        return claimed(claims, issuer=self.account.issuer, subject=subject)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """A deadline over all questions of one request."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                yield
        except TimeoutError as error:
            reason = f"{self.name} does not answer in time: try again soon, or sign in another way"
            raise Unavailable(reason) from error


def _together(claims: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """What the ID token says counts; userinfo fills the gaps, and verifies no other address than its own."""
    if claims.get("email", told.get("email")) != told.get("email"):
        told = {claim: value for claim, value in told.items() if claim != "email_verified"}
    return {**told, **claims}
