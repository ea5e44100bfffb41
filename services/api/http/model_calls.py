"""This file calls a model at its router, as any caller would, and gives back what it answered.

A call is made once. Where an answer did not come, whether the function ran is not known.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine, Mapping
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy

from services.core.errors import ModelwayError, Overloaded, Unavailable

T = TypeVar("T")

MEBIBYTE = 1024 * 1024
ANSWER_BYTES = 16 * MEBIBYTE
AT_ONCE = 64  # each may hold a body and an answer in memory
BEYOND_REQUEST_TIMEOUT_S = 10.0  # the router ends a call that is too long; this only outlasts it

_CONNECT_S = 2.0
_LOOK_FOR_CALLER_S = 0.25
_CHUNK_BYTES = 64 * 1024
_CHALLENGE = 'Bearer realm="Modelway"'  # of the router; an instance is not asked for a token


class CallBroken(ModelwayError):
    """No whole answer came. Whether the function ran is not known."""

    code = "call_broken"
    status = 502


class CallTooLong(ModelwayError):
    code = "call_too_long"
    status = 504


class CallerGone(ModelwayError):
    """Nobody hears this."""

    code = "caller_gone"
    status = 499


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What came back from a router: the model's own answer, or the router's."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_token_refused(self) -> bool:
        """By the router: no instance has heard of the call."""
        return self.status == 401 and _CHALLENGE in self.headers.getall("WWW-Authenticate", [])


class ModelCalls:
    """Calls of models. One session for all of them, from the first one on until `close`."""

    def __init__(self, predictions_url: str) -> None:
        self._url = predictions_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._room = asyncio.Semaphore(AT_ONCE)

    async def call(self, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout_s: float) -> Answered:
        """The answer, whatever its status. Without a body it is a GET. `timeout_s`: the model's request timeout.

        Raises Overloaded, Unavailable when no router takes the call, CallTooLong and CallBroken.
        """
        if self._room.locked():
            raise Overloaded(f"{AT_ONCE} models are being called by the API already; try again soon")
        async with self._room:
            try:
                return await self._called(path, body, headers, timeout_s + BEYOND_REQUEST_TIMEOUT_S)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise Unavailable("no router takes calls at the moment; try again soon") from error
            except TimeoutError as error:
                raise CallTooLong("the model did not answer in time") from error
            except aiohttp.ClientError as error:
                raise CallBroken("the connection to the model broke before it had answered") from error

    async def _called(self, path: str, body: bytes | None, headers: Mapping[str, str], deadline_s: float) -> Answered:
        timeout = aiohttp.ClientTimeout(total=deadline_s, connect=_CONNECT_S)
        session = self._opened()
        method, data = ("GET", None) if body is None else ("POST", io.BytesIO(body))
        async with session.request(
            method, self._url + path, data=data, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            whole = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                whole += chunk
                if len(whole) > ANSWER_BYTES:
                    raise CallBroken(
                        f"the model's answer has more than {ANSWER_BYTES} bytes: call its endpoint with an access token"
                    )
            return Answered(status=response.status, headers=response.headers, body=bytes(whole))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # A connection that is kept may be closed under a call, which then cannot be told from a lost one.
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),  # what one model sets is nothing to another
                auto_decompress=False,
            )
        return self._session

    async def close(self, _app: web.Application | None = None) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def while_caller_waits(request: web.Request, work: Coroutine[None, None, T]) -> T:
    """What `work` gives; it is cancelled when nobody waits for the answer any more, which raises CallerGone."""
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_FOR_CALLER_S)
            if request.transport is None or request.transport.is_closing():
                raise CallerGone("the caller went away")
        return task.result()
    finally:
        task.cancel()
