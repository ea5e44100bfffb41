"""This file is what a browser keeps while its person is at the provider: sealed, so that nobody else reads or makes it.

There is nothing on the server: any api process can finish what another began, and a flood of beginnings fills no
memory.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

import msgspec

from services.core.errors import Invalid
from services.kit.config import ConfigError
from services.kit.vault import Vault

LASTS = timedelta(minutes=10)
_CHARACTERS = 43  # 256 bits; of a code verifier also the least that PKCE takes
_BEGIN_AGAIN = "this sign-in was not begun in this browser, or too long ago: begin again"


class Ticket(msgspec.Struct, frozen=True, kw_only=True, tag="openid-connect"):
    """`state` comes back in the address, `nonce` in the ID token, and `verifier` proves that the code is ours."""

    state: str
    nonce: str
    verifier: str
    until: datetime
    connects_id: str = ""  # the person, signed in already, whose account is to be connected


def new_ticket(at: datetime, *, connects_id: str = "") -> Ticket:
    return Ticket(
        state=secrets.token_urlsafe(_CHARACTERS * 3 // 4),
        nonce=secrets.token_urlsafe(_CHARACTERS * 3 // 4),
        verifier=secrets.token_urlsafe(_CHARACTERS),
        until=at + LASTS,
        connects_id=connects_id,
    )


def seal(ticket: Ticket, vault: Vault) -> str:
    return vault.seal(msgspec.json.encode(ticket).decode())


def open_ticket(sealed: str, vault: Vault, *, state: str, at: datetime) -> Ticket:
    """The ticket to which `state` belongs. Raises Invalid, the same for every way in which it can be wrong."""
    try:
        ticket = msgspec.json.decode(vault.open(sealed), type=Ticket)
    except (ConfigError, msgspec.MsgspecError) as error:
        raise Invalid(_BEGIN_AGAIN) from error
    if ticket.until <= at or not secrets.compare_digest(ticket.state.encode(), state.encode("utf-8", "surrogatepass")):
        raise Invalid(_BEGIN_AGAIN)
    return ticket
