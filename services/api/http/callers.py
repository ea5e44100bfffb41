"""This file is who calls: the person behind an API key or a browser session, and the actor that history will name."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web

from services.api.ports import Store
from services.api.sign_in.cookies import COOKIE, CSRF_HEADER, SAFE_METHODS, is_own, session_hash
from services.core.errors import Forbidden, Unauthenticated
from services.core.events import Actor, ActorKind
from services.core.person import Person
from services.core.standing import Caller
from services.kit.clock import now

CALLER = web.RequestKey("caller", Person)
WHO = web.RequestKey("who", Caller)
ADDRESS = web.RequestKey("address", str)

REMEMBERED_S = 3.0  # a revoked key, an ended session or a lost membership opens nothing after this long
_REMEMBERED = 1000
_NO_KEY = "no valid API key came with this request: send one as X-Domino-Api-Key, or as Authorization: Bearer"
_NO_SESSION = "the session has ended: sign in again"
_NO_TOKEN = f"a change from a browser needs the header {CSRF_HEADER}: the csrfToken that came with the session"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Callers:
    """Knows people by what their requests carry."""

    def __init__(
        self,
        store: Store,
        *,
        proxies: Sequence[Network] = LOOPBACK,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._store = store
        self._proxies = tuple(proxies)
        self._monotonic = monotonic
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()  # hash of what was shown -> who, until when

    async def identify(self, request: web.Request) -> Caller:
        """Who makes the request; says so in the request. Raises Unauthenticated, and Forbidden for a forged change."""
        request[ADDRESS] = client_address(request, self._proxies)
        key, cookie = _key(request), request.cookies.get(COOKIE, "")
        if key:
            who = await self._by_key(key)
        elif cookie:
            who = await self._by_cookie(cookie)
            if request.method not in SAFE_METHODS and not is_own(cookie, request.headers.get(CSRF_HEADER, "")):
                raise Forbidden(_NO_TOKEN)
        else:
            raise Unauthenticated(_NO_KEY)
        request[CALLER], request[WHO] = who.person, who
        return who

    async def _by_key(self, key: str) -> Caller:
        key_hash = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        who = self._remembered(key_hash)
        if who is None:
            who = await self._caller(key_hash, await self._store.find_person(key_hash=key_hash))
        if who is None:
            raise Unauthenticated(_NO_KEY)
        return who

    async def _by_cookie(self, cookie: str) -> Caller:
        shown = session_hash(cookie)
        who = self._remembered(shown)
        if who is None:
            who = await self._caller(shown, await self._store.find_person_by_session(session_hash=shown))
        if who is None or who.person.session(shown, self._clock()) is None:
            raise Unauthenticated(_NO_SESSION)
        return who

    async def _caller(self, shown: str, person: Person | None) -> Caller | None:
        if person is None:
            return None
        if person.is_disabled:
            raise Unauthenticated(f"the account of {person.user_name} is disabled")
        organisations = await self._store.organisations_of(person.id)
        who = Caller(person=person, organisations=frozenset(each.id for each in organisations))
        self._remember(shown, who)
        return who

    def _remembered(self, shown: str) -> Caller | None:
        who, until = self._known.get(shown, (None, 0.0))
        if who is None or until >= self._monotonic():
            return who
        del self._known[shown]
        return None

    def _remember(self, shown: str, who: Caller) -> None:
        """Only what opens something: a flood of wrong keys cannot push the right ones out."""
        self._known[shown] = (who, self._monotonic() + REMEMBERED_S)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def actor(request: web.Request) -> Actor:
    """The caller, as history will name them."""
    person = request[CALLER]
    return Actor(kind=ActorKind.PERSON, id=person.id, name=person.user_name, address=request[ADDRESS])


def client_address(request: web.Request, proxies: Sequence[Network]) -> str:
    """Where the request came from: what our own proxy says it heard from, else the peer itself."""
    peer = request.remote or ""
    if not _is_in(peer, proxies):
        return peer
    heard_from = request.headers.getall("X-Forwarded-For", [])
    last = heard_from[-1].rpartition(",")[2].strip() if heard_from else ""
    return last if _address(last) is not None else peer


def _is_in(text: str, networks: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _key(request: web.Request) -> str:
    given = request.headers.get("X-Domino-Api-Key", "")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return given or (credentials.strip() if scheme.lower() == "bearer" else "")
