"""This file is how requests reach the platform and how its answers become values or errors."""

from __future__ import annotations

import ipaddress
import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from modelway.configuration import Configuration
from modelway.errors import (
    ConnectionLost,
    Forbidden,
    Misunderstood,
    ModelwayError,
    NotFound,
    PlatformFailed,
    Rejected,
    TemporaryFailure,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from modelway.patience import Patience
from modelway.records import Json

T = TypeVar("T")

SERVING = "/api/modelServing/v1"

_TEMPORARY = {429, 502, 503, 504}
_LONGEST_RETRY_AFTER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Content:
    """A request body that is not JSON. `chunks` gives it from its beginning each time it is called."""

    chunks: Callable[[], Iterator[bytes]]
    size_bytes: int


@dataclass(frozen=True)
class Transport:
    """Requests to one platform with one key. `patience`: until when temporary failures are tried again."""

    configuration: Configuration
    http: httpx.Client
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def to(cls, configuration: Configuration) -> Transport:
        return cls(configuration, open_http(configuration.url))

    def patient(self, patience: Patience) -> Transport:
        """The same connection with another patience."""
        return Transport(self.configuration, self.http, patience)

    def get(self, path: str, read: Callable[[Json], T], **params: str | int | None) -> T:
        return self.repeat("GET", path, read, params=_without_none(params))

    def repeat(self, method: str, path: str, read: Callable[[Json], T], **options: Any) -> T:
        """For requests that may safely be carried out twice."""
        if method != "GET":
            options["headers"] = _new_idempotency_key()
        attempt = 1
        while True:
            try:
                return self.once(method, path, read, **options)
            except TemporaryFailure as failure:
                self.patience.wait_after(failure, attempt)
                attempt += 1

    def post(self, path: str, body: Json, read: Callable[[Json], T], *, find: Callable[[], T | None]) -> T:
        """For what must not be made twice: before another attempt, `find` looks for what a lost one has made.

        All attempts carry the same Idempotency-Key.
        """
        headers = _new_idempotency_key()
        attempt = 1
        while True:
            try:
                return self.once("POST", path, read, body=body, headers=headers)
            except TemporaryFailure as failure:
                self.patience.wait_after(failure, attempt)
                attempt += 1
                found = find()
                if found is not None:
                    return found

    def once(
        self,
        method: str,
        path: str,
        read: Callable[[Json], T],
        *,
        params: Mapping[str, str | int] | None = None,
        body: Json = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> T:
        """One attempt. Raises the errors of this package, never httpx's."""
        sent = {"X-Domino-Api-Key": self.configuration.api_key, **(headers or {})}
        if content is not None:
            sent |= {"Content-Length": str(content.size_bytes), "Content-Type": "application/octet-stream"}
        response = self.send(
            method,
            self.configuration.url + path,
            params=params,
            json=body,
            content=content.chunks() if content else None,
            headers=sent,
            **({} if timeout is None else {"timeout": timeout}),
        )
        if not response.is_success:
            raise self._error(response)
        return understand(read, json_of(response))

    def stream(
        self, path: str, *, headers: Mapping[str, str], timeout: httpx.Timeout, **params: str | int | None
    ) -> Iterator[bytes]:
        """A body in pieces as it arrives, asked for once. Raises ConnectionLost when it ends before it is whole."""
        sent = {"X-Domino-Api-Key": self.configuration.api_key, **headers}
        url, given = self.configuration.url + path, _without_none(params)
        with self._told(), self.http.stream("GET", url, params=given, headers=sent, timeout=timeout) as response:
            if not response.is_success:
                response.read()
                raise self._error(response)
            yield from response.iter_bytes()

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """The raw answer. Connection errors become TemporaryFailure."""
        with self._told():
            return self.http.request(method, url, **options)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What breaks inside is told in our own errors."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"No platform is reachable at {self.configuration.url}: run `make up`.") from error
        except httpx.RequestError as error:
            raise ConnectionLost(f"The connection to {self.configuration.url} broke: {_kind(error)}.") from error

    def _error(self, response: httpx.Response) -> ModelwayError:
        said = "; ".join(said_in(response)).rstrip(".")
        url = self.configuration.url
        match response.status_code:
            case status if status in _TEMPORARY:
                text = f"The platform at {url} cannot answer now ({said}); try again in a moment."
                return Unavailable(text, retry_after_s=_retry_after_s(response))
            case 401:
                where = self.configuration.source
                return Unauthorized(f"The API key{f' in {where}' if where else ''} is not accepted by {url}.")
            case 403:
                return Forbidden(f"{said}.")
            case 404:
                return NotFound(f"{said}.")
            case status if status >= 500:
                return PlatformFailed(f"The platform failed while answering: {said}; its logs say why.")
            case _:
                return Rejected(f"{said}.")


def open_http(url: str) -> httpx.Client:
    # A proxy from the environment cannot reach this machine's own loopback, and would be handed the key.
    return httpx.Client(
        timeout=httpx.Timeout(60.0, connect=5.0), trust_env=not is_loopback(url), follow_redirects=False
    )


def is_loopback(url: str) -> bool:
    """True for an address of this machine.

    >>> is_loopback("http://127.0.0.1:8080"), is_loopback("http://[::1]"), is_loopback("https://example.org")
    (True, True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def understand(read: Callable[[Json], T], answer: Json) -> T:
    """What `read` makes of `answer`. Raises Misunderstood."""
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Misunderstood(f"The platform's answer is not understood ({what}).") from error


def json_of(response: httpx.Response) -> Json:
    """The body as JSON, None when it is empty or not JSON."""
    try:
        return response.json() if response.content else None
    except ValueError:
        return None


def said_in(response: httpx.Response) -> tuple[str, ...]:
    """What an error answer says went wrong, in either of the two shapes; else its status."""
    answer = json_of(response)
    if isinstance(answer, dict):
        errors = answer.get("errors") or [answer.get("error")]
        said = tuple(str(each) for each in errors if each) if isinstance(errors, list) else (str(errors),)
        if said:
            return said
    return (f"{response.status_code} {response.reason_phrase}".strip(),)


def _new_idempotency_key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(16)}


def _kind(error: httpx.RequestError) -> str:
    return "it took too long" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__


def _retry_after_s(response: httpx.Response) -> float:
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_S) if math.isfinite(seconds) else 0.0


def _without_none(params: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in params.items() if value is not None}
