"""This file finds, makes or connects the person whom an OpenID Connect provider vouches for. core/identity decides."""

from __future__ import annotations

from collections.abc import Callable

from services.api.ports import Ledger, Store
from services.api.sign_in.provider import Account
from services.core import identity
from services.core.aggregates import PERSON
from services.core.commands import AddPerson, AnyCommand, LinkIdentity, RefuseSignIn, SetAdministrator
from services.core.errors import Forbidden, Refused
from services.core.events import Actor, ActorKind, SignInMethod
from services.core.identity import Claimed
from services.core.person import Person


class Identities:
    """Those of one provider."""

    def __init__(self, store: Store, ledger: Ledger, account: Account) -> None:
        self._store = store
        self._ledger = ledger
        self._provider = account.name
        self._creates_people = account.creates_people
        self._group = account.administrators_group

    async def person_of(self, who: Claimed, *, address: str) -> Person:
        """The person who signs in, made or connected when this is the first time. Raises Forbidden with the reason."""
        person = await self._store.find_person_by_identity(issuer=who.issuer, subject=who.subject)
        if person is None:
            person = await self._first_time(who, address)
        if person.is_disabled:
            refused = RefuseSignIn(method=SignInMethod.OPENID_CONNECT, reason="the account is disabled")
            await self._execute(person, refused, address)
            raise Forbidden(f"the account of {person.user_name} is disabled: ask an administrator")
        if self._group and person.is_administrator != (self._group in who.groups):
            decided = SetAdministrator(is_administrator=self._group in who.groups)
            person = await self._execute(person, decided, address)
        return person

    async def connect(self, person: Person, who: Claimed, *, address: str) -> Person:
        """`person`, who is signed in, from now on also signs in as `who`. Raises Refused."""
        known = await self._store.find_person_by_identity(issuer=who.issuer, subject=who.subject)
        if known is not None and known.id != person.id:
            raise Refused(f"this identity of {self._provider} belongs to the account of {known.user_name}")
        return await self._execute(person, LinkIdentity(issuer=who.issuer, subject=who.subject), address)

    async def _first_time(self, who: Claimed, address: str) -> Person:
        same_email = await self._store.find_people_by_email(who.email) if who.email else []
        made = identity.person_id(who.issuer, who.subject)
        others = [each for each in same_email if each.id != made]  # made, but not linked: the last try died half way
        person = identity.match(who, others, creates_people=self._creates_people, provider=self._provider)
        if person is None:
            person = await self._make(who, address)
        return await self.connect(person, who, address=address)

    async def _make(self, who: Claimed, address: str) -> Person:
        """A new person under the first name that nobody has."""
        made = identity.person_id(who.issuer, who.subject)
        for user_name in identity.user_names(who):
            if await self._store.people.who_is_called(user_name) is not None:
                continue
            try:
                command = AddPerson(user_name=user_name, email=who.email, full_name=who.full_name)
                return await self._ledger.execute(PERSON, made, command, actor=_actor(address))
            except Refused:
                continue  # somebody else took the name just now
        raise Forbidden("there is no user name left for you here: ask an administrator for an account")

    async def _execute(
        self, person: Person, command: AnyCommand | Callable[[Person], AnyCommand], address: str
    ) -> Person:
        return await self._ledger.execute(PERSON, person.id, command, actor=_actor(address))


def _actor(address: str) -> Actor:
    """Api itself, upon what the provider says, for somebody at this address."""
    return Actor(kind=ActorKind.SERVICE, id="api", name="api", address=address)
