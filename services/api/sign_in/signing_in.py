"""This file is what signing in takes, put together: passwords, sessions, their cookie, and the count of attempts."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.api.ports import Ledger, Store
from services.api.sign_in.attempts import Attempts
from services.api.sign_in.cookies import SessionCookie
from services.api.sign_in.passwords import Passwords
from services.api.sign_in.refused import RefusedSignIns
from services.api.sign_in.sessions import LASTS_S, Sessions
from services.kit.vault import Vault


@dataclass(frozen=True, kw_only=True)
class SigningIn:
    """One of each for a process: attempts count together, and so do the passwords that are hashed at once."""

    passwords: Passwords
    sessions: Sessions
    refused: RefusedSignIns
    cookie: SessionCookie
    attempts: Attempts = field(default_factory=Attempts)

    @classmethod
    def of(cls, store: Store, ledger: Ledger, vault: Vault, *, public_url: str, lasts_s: float = LASTS_S) -> SigningIn:
        """`lasts_s`: how long a session lasts, in seconds."""
        return cls(
            passwords=Passwords(store, vault),
            sessions=Sessions(ledger, lasts_s=lasts_s),
            refused=RefusedSignIns(ledger),
            cookie=SessionCookie.of(public_url),
        )
