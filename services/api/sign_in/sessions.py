"""This file begins browser sessions, whatever the person proved themselves by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

from services.api.ports import Ledger
from services.api.sign_in.cookies import csrf_token, session_hash
from services.core.aggregates import PERSON
from services.core.commands import SignIn
from services.core.errors import Unauthenticated
from services.core.events import Actor, ActorKind, SignInMethod
from services.core.person import Person, Session
from services.kit.clock import now
from services.kit.ids import new_object_id, new_token

LASTS_S = 12 * 3600.0


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has just begun: the only moment at which its secret is known here."""

    person: Person
    session: Session
    secret: str

    def __repr__(self) -> str:
        return f"NewSession({self.person.user_name!r}, {self.session.id!r})"

    @property
    def csrf_token(self) -> str:
        return csrf_token(self.secret)

    @property
    def expires_at(self) -> datetime:
        return self.session.expires_at


class Sessions:
    """Begins them. They end `lasts_s` later, whatever is done in them: there is no sliding."""

    def __init__(self, ledger: Ledger, *, lasts_s: float = LASTS_S, clock: Callable[[], datetime] = now) -> None:
        self._ledger = ledger
        self._clock = clock
        self.lasts_s = lasts_s

    async def begin(
        self, person: Person, method: SignInMethod, address: str, *, secrets: Mapping[str, bytes | None] = {}
    ) -> NewSession:
        """A new session of `person`, as they were when they proved who they are; `secrets` are stored with it.

        Raises Refused for an account that is disabled, and Unauthenticated when the password that proved it is not the
        person's any more: who changes it because somebody knows it should not find them signed in afterwards.
        """
        secret, session_id = new_token(), new_object_id()
        expires_at = self._clock() + timedelta(seconds=self.lasts_s)
        expires_at = expires_at.replace(microsecond=expires_at.microsecond // 1000 * 1000)

        def sign_in(current: Person) -> SignIn:
            if method is SignInMethod.PASSWORD and current.password_revision != person.password_revision:
                raise Unauthenticated("the password was changed meanwhile: sign in again")
            return SignIn(
                session_id=session_id, session_hash=session_hash(secret), method=method, expires_at=expires_at
            )

        by = Actor(kind=ActorKind.PERSON, id=person.id, name=person.user_name, address=address)
        after = await self._ledger.execute(PERSON, person.id, sign_in, actor=by, secrets=secrets)
        began = next(each for each in after.sessions if each.id == session_id)
        return NewSession(person=after, session=began, secret=secret)
