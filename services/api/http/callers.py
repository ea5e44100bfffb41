"""This file is who calls: the person behind an API key or a browser session, and the actor that history will name."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from aiohttp import web

from services.api.http.rates import Rates
from services.api.key_uses import KeyUses
from services.api.ports import Store
from services.api.sign_in.cookies import CSRF_HEADER, SAFE_METHODS, SessionCookie, is_own, session_hash
from services.core.errors import Forbidden, Unauthenticated
from services.core.events import Actor, ActorKind
from services.core.person import Person, Session
from services.core.standing import Caller
from services.kit.clock import now

CALLER = web.RequestKey("caller", Person)
WHO = web.RequestKey("who", Caller)
ADDRESS = web.RequestKey("address", str)
SESSION = web.RequestKey("session", Session)  # where the request came with the cookie of one

REMEMBERED_S = 3.0  # a revoked key, an ended session or a lost membership opens nothing after this long
_REMEMBERED = 1000
_NO_KEY = "no valid API key came with this request: send one as X-Domino-Api-Key, or as Authorization: Bearer"
_NO_SESSION = "the session has ended: sign in again"
_NO_TOKEN = f"a change from a browser needs the header {CSRF_HEADER}: the csrfToken that came with the session"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


_OVER_HTTP = SessionCookie(is_secure=False)


class Callers:
    """Knows people by what their requests carry. `uses`: who is told which keys are used."""

    def __init__(
        self,
        store: Store,
        *,
        proxies: Sequence[Network] = LOOPBACK,
        cookie: SessionCookie = _OVER_HTTP,
        uses: KeyUses | None = None,
        rates: Rates | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._store = store
        self._proxies = tuple(proxies)
        self._cookie = cookie
        self._uses = uses
        self._rates = rates or Rates(clock=monotonic)
        self._monotonic = monotonic
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()  # hash of what was shown -> who, until when
        self._ended = 0  # how often something was ended here: what was read before is not remembered after

    async def identify(self, request: web.Request) -> Caller:
        """Who makes the request; says so in the request. Raises Unauthenticated, and Forbidden for a forged change."""
        request[ADDRESS] = client_address(request, self._proxies)
        key, cookie = _key(request), self._cookie.secret(request)
        if key:
            who = await self._by_key(key, request[ADDRESS])
        elif cookie:
            who, request[SESSION] = await self._by_cookie(cookie, request[ADDRESS])
            if request.method not in SAFE_METHODS and not is_own(cookie, request.headers.get(CSRF_HEADER, "")):
                raise Forbidden(_NO_TOKEN)
        else:
            self._rates.meet("", request[ADDRESS])
            raise Unauthenticated(_NO_KEY)
        request[CALLER], request[WHO] = who.person, who
        return who

    async def _by_key(self, key: str, address: str) -> Caller:
        key_hash = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        who = await self._holder(key_hash, address, lambda: self._store.find_person(key_hash=key_hash))
        if who is None:
            raise Unauthenticated(_NO_KEY)
        if self._uses is not None:
            self._uses.note(who.person, key_hash)
        return who

    async def _by_cookie(self, cookie: str, address: str) -> tuple[Caller, Session]:
        shown = session_hash(cookie)
        known_as = f"cookie {shown}"  # the secret of a session is no API key, not even for a moment
        who = await self._holder(known_as, address, lambda: self._store.find_person_by_session(session_hash=shown))
        session = None if who is None else who.person.session(shown, self._clock())
        if who is None or session is None:
            raise Unauthenticated(_NO_SESSION)
        return who, session

    async def _holder(self, shown: str, address: str, find: Callable[[], Awaitable[Person | None]]) -> Caller | None:
        """Whose key or session this is the hash of, at their pace. Raises TooMany."""
        who = self._remembered(shown)
        if who is None:
            until, ended = self._monotonic() + REMEMBERED_S, self._ended  # of what is about to be read
            with self._rates.looking_up(shown, address) as found:
                who = await self._caller(await find())
                found.is_right = who is not None
            if who is not None and ended == self._ended:
                self._remember(shown, who, until)
        if who is not None:
            self._rates.admit(shown, is_administrator=who.person.is_administrator)
        return who

    async def _caller(self, person: Person | None) -> Caller | None:
        if person is None:
            return None
        if person.is_disabled:
            raise Unauthenticated(f"the account of {person.user_name} is disabled")
        organisations = await self._store.organisations_of(person.id)
        return Caller(person=person, organisations=frozenset(each.id for each in organisations))

    def address(self, request: web.Request) -> str:
        """Where a request comes from, also one of somebody who is nobody yet."""
        return client_address(request, self._proxies)

    def forget(self, person_id: str) -> None:
        """What was just ended of this person opens nothing here any more; elsewhere, after `REMEMBERED_S`."""
        self._ended += 1
        theirs = [shown for shown, (who, _) in self._known.items() if who.person.id == person_id]
        for shown in theirs:
            del self._known[shown]

    def _remembered(self, shown: str) -> Caller | None:
        who, until = self._known.get(shown, (None, 0.0))
        if who is None or until >= self._monotonic():
            return who
        del self._known[shown]
        return None

    def _remember(self, shown: str, who: Caller, until: float) -> None:
        """Only what opens something: a flood of wrong keys cannot push the right ones out."""
        self._known[shown] = (who, until)
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
    """As a header of its own, as a bearer's, or, as some scripts send it, as both user name and password."""
    if given := request.headers.get("X-Domino-Api-Key", ""):
        return given
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            return _of_pair(credentials.strip())
        case _:
            return ""


def _of_pair(credentials: str) -> str:
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return name if name == password else ""
