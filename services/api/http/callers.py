"""This file is who calls: the person behind an API key, whether they may, and the actor that history will name."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from aiohttp import web

from services.api.http.routes import Handler
from services.api.ports import Store
from services.core.access import Action, may
from services.core.errors import Forbidden, Unauthenticated
from services.core.events import Actor, ActorKind
from services.core.person import Person

CALLER = web.RequestKey("caller", Person)
ADDRESS = web.RequestKey("address", str)

REMEMBERED_S = 3.0  # a revoked key opens nothing after this long
_REMEMBERED = 1000
_NO_KEY = "no valid API key came with this request: send one as X-Domino-Api-Key, or as Authorization: Bearer"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Gate:
    """Lets a request pass to its handler when a known person makes it, and may."""

    def __init__(
        self,
        store: Store,
        *,
        proxies: Sequence[Network] = LOOPBACK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._proxies = tuple(proxies)
        self._clock = clock
        self._known: OrderedDict[str, tuple[Person, float]] = OrderedDict()  # key hash -> person, until when

    def guard(self, handler: Handler, action: Action) -> Handler:
        """`handler`, for those who may do `action`."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            person = await self._person(request)
            if not may(person, action):
                raise Forbidden(f"{person.user_name} may not do this: it takes the permission {action}")
            request[CALLER] = person
            request[ADDRESS] = client_address(request, self._proxies)
            return await handler(request)

        return guarded

    async def _person(self, request: web.Request) -> Person:
        key = _key(request)
        if not key:
            raise Unauthenticated(_NO_KEY)
        key_hash = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        person, until = self._known.get(key_hash, (None, 0.0))
        if person is None or until < self._clock():
            self._known.pop(key_hash, None)
            person = await self._store.find_person(key_hash=key_hash)
            if person is None:
                raise Unauthenticated(_NO_KEY)
            self._remember(key_hash, person)
        return person

    def _remember(self, key_hash: str, person: Person) -> None:
        """Only keys that open something: a flood of wrong ones cannot push the right ones out."""
        self._known[key_hash] = (person, self._clock() + REMEMBERED_S)
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
