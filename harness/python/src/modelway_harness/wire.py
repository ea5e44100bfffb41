"""This file is HTTP/1.1 as bytes: a request read piece by piece, an answer written.

The common shape of the two requests that matter is read here, by one pattern that takes nothing in doubt: whatever it
does not match to the letter goes, from its first byte on, to gunicorn's parser, which is strict and takes six times as
long. So there is one opinion about what is odd, and it is not ours.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gunicorn.asgi.parser import LimitRequestHeaders, LimitRequestLine, ParseError, PythonProtocol

HEAD_BYTES = 64 * 1024
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_ENDS = b"\r\n\r\n"
_ENDS_KEPT = "\r\n"
_ENDS_CLOSED = "Connection: close\r\n\r\n"
_PLAIN = re.compile(
    r"(POST /model|GET /health) HTTP/1\.1\r\n"
    r"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}:[\t -~\x80-\xff]{0,4000}\r\n){1,100})\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,15}")
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


class Malformed(Exception):
    """What came is not HTTP/1.1: nothing after it on this connection can be trusted."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Head(NamedTuple):
    """What a request says before its body. `length` is None when only its end will tell."""

    method: str
    target: str
    headers: dict[str, str]  # names in lower case; several of one name are one, with commas
    length: int | None
    is_kept: bool  # the connection, after the answer
    is_old: bool = False  # HTTP/1.0, which knows no chunks

    @property
    def path(self) -> str:
        target = self.target
        return unquote(urlsplit(target).path if "://" in target else target.partition("?")[0], "latin-1")

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def milliseconds(self, name: str) -> int | None:
        """A header that is a whole number; None where it is anything else, or absent."""
        told = self.headers.get(name)
        return int(told) if told is not None and _MILLISECONDS.fullmatch(told) else None


_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")


class Answer(NamedTuple):
    """What is said to a request, before it is bytes."""

    status: int
    body: str | bytes
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"  # the content type


class Reader:
    """One request after the other from the bytes of one connection.

    `head` is there as soon as it has been read; `size` is how much of the body has come.
    """

    __slots__ = ("_body", "_odd", "_rest", "head", "is_whole")

    def __init__(self) -> None:
        self._rest = b""  # what was received and belongs to no request yet
        self.next()

    def next(self) -> None:
        """Forget the request that was read."""
        self.head: Head | None = None
        self.is_whole = False
        self._body: bytes | bytearray = b""
        self._odd: PythonProtocol | None = None

    @property
    def size(self) -> int:
        return len(self._body)

    @property
    def is_between(self) -> bool:
        """No byte of a request has come yet."""
        return self.head is None and self._odd is None and not self._rest

    @property
    def has_more(self) -> bool:
        """Something of the next request has come, too."""
        return bool(self._rest)

    def body(self) -> bytes:
        return bytes(self._body)

    def feed(self, data: bytes) -> bool:
        """Take in what was received; whether a whole request is here now. Raises Malformed."""
        if self._odd is not None:
            return self._fed_odd(data)
        if self.head is None:
            data = self._rest + data
            ends = data.find(_ENDS) + len(_ENDS)
            if ends < len(_ENDS):
                return self._wait_for_head(data)
            self.head = _plain(data[:ends].decode("latin-1"))
            if self.head is None:
                return self._fed_odd(data)
            data = data[ends:]
        return self._fed_body(data, self.head.length or 0)

    def _wait_for_head(self, data: bytes) -> bool:
        if len(data) > HEAD_BYTES:
            raise Malformed(431, "the head of the request is too long")
        self._rest = data
        return False

    def _fed_body(self, data: bytes, length: int) -> bool:
        missing = length - len(self._body)
        self._rest = data[missing:]
        if not self._body:
            self._body = data[:missing]
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data[:missing]
        self.is_whole = len(data) >= missing
        return self.is_whole

    def _fed_odd(self, data: bytes) -> bool:
        if self._odd is None:
            self._rest = b""
            self._body = bytearray()
            self._odd = PythonProtocol(on_headers_complete=self._note_head, on_body=self._body.extend)
        try:
            self._odd.feed(data)
        except (LimitRequestLine, LimitRequestHeaders) as error:
            raise Malformed(431, f"the head of the request is too long: {error}") from error
        except ParseError as error:
            raise Malformed(400, f"the request is not HTTP/1.1 as it is understood here: {error}") from error
        if self._odd.is_complete:
            self._rest = self._odd.remaining()
            self.is_whole = True
        return self.is_whole

    def _note_head(self) -> bool:
        odd = self._odd
        assert odd is not None  # noqa: S101 - for the type checker
        headers: dict[str, str] = {}
        for raw_name, raw_value in odd.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        length = None if odd.is_chunked else odd.content_length or 0
        is_old = odd.http_version < (1, 1)
        is_kept = odd.should_keep_alive and not is_old
        self.head = Head(odd.method.decode("latin-1"), odd.path.decode("latin-1"), headers, length, is_kept, is_old)
        return False


def _plain(head: str) -> Head | None:
    """The head of one of the two requests in its common shape; None when there is anything else about it."""
    match = _PLAIN.fullmatch(head)
    if match is None:
        return None
    lines = match[2].split("\r\n")
    lines.pop()
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    if len(headers) != len(lines) or "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        return None
    method, _, target = match[1].partition(" ")
    is_kept = "connection" not in headers or "close" not in headers["connection"].lower()
    return Head(method, target, headers, int(length), is_kept)


def written(answer: Answer, request_id: str, *, is_kept: bool, timing: str = "") -> bytes:
    """`answer` as it is sent; `timing` is the value of `Server-Timing`."""
    status, body, headers, kind = answer
    if isinstance(body, str):
        body = body.encode()
    more = "".join([f"{name}: {value}\r\n" for name, value in headers]) if headers else ""
    if timing:
        more = f"{more}Server-Timing: {timing}\r\n"
    ends = _ENDS_KEPT if is_kept else _ENDS_CLOSED
    return (
        f"{_STATUS[status]}\r\nDate: {_date()}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\n{more}{ends}"
    ).encode("latin-1") + body


def begun(kind: str, request_id: str, *, is_kept: bool, timing: str) -> bytes:
    """The head of an answer whose body comes in chunks, as soon as each is there."""
    return (
        f"{_STATUS[200]}\r\nDate: {_date()}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
        f"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\nX-Request-Id: {request_id}\r\n"
        f"Server-Timing: {timing}\r\n{_ENDS_KEPT if is_kept else _ENDS_CLOSED}"
    ).encode("latin-1")


def chunk(text: str) -> bytes:
    """A part of such a body; `text` is not empty."""
    data = text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk() -> bytes:
    return b"0\r\n\r\n"


_dated = (0, "")


def _date() -> str:
    """Now, as HTTP writes it; made once a second."""
    global _dated
    second = int(time())
    if _dated[0] != second:
        _dated = second, formatdate(second, usegmt=True)
    return _dated[1]
