"""This file reads what a request says: bodies into typed values, and query parameters, or one sentence why not."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from services.core.errors import Invalid, TooLarge

T = TypeVar("T", bound=msgspec.Struct)

MEBIBYTE = 1024 * 1024
JSON_BYTES = 4 * MEBIBYTE
MANIFEST_BYTES = 64 * MEBIBYTE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FARTHEST_MS = 253_402_300_799_999  # the end of the year 9999

_WHOLE_BODY_S = 60.0
_NEXT_CHUNK_S = 30.0
_SLOWEST_BYTES_S = 4096  # who sends a blob more slowly than this on the whole is cut off
_IN_A_THREAD_BYTES = 256 * 1024  # a body that takes longer than a few milliseconds to decode must not stop the others

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_EXPECTED = re.compile(
    r"Expected `(?P<kinds>[^`]+)`(?P<length> of length)?(?: (?P<sign>[<>]=?) (?P<bound>\S+))?(?:, got `(?P<got>\w+)`)?"
)
_BOUND = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")
_PLACE = re.compile(r" - at `\$\.?(?P<place>.*)`$")


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client sends as JSON. Names are camelCase on the wire; unknown ones are left aside."""


async def read(request: web.Request, cls: type[T], *, limit_bytes: int = JSON_BYTES, is_optional: bool = False) -> T:
    """The body as `cls`. Raises `Invalid` naming field, fault and what is allowed, or `TooLarge`.

    An optional one that is empty says nothing: `{}`.
    """
    try:
        async with asyncio.timeout(_WHOLE_BODY_S):
            raw = b"".join([chunk async for chunk in chunks(request, limit_bytes=limit_bytes)])
    except TimeoutError:
        raise Invalid(f"the body did not arrive within {_WHOLE_BODY_S:g} seconds") from None
    if is_optional and not raw:
        raw = b"{}"
    if len(raw) > _IN_A_THREAD_BYTES:
        return await asyncio.to_thread(decode, raw, cls)
    return decode(raw, cls)


async def chunks(request: web.Request, *, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it arrives, at most `limit_bytes` of it; neither a chunk nor all of it may take for ever."""
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    taken, began = 0, time.monotonic()
    while True:
        left_s = _WHOLE_BODY_S + taken / _SLOWEST_BYTES_S - (time.monotonic() - began)
        try:
            async with asyncio.timeout(min(_NEXT_CHUNK_S, left_s)):
                chunk = await request.content.readany()
        except TimeoutError:
            raise Invalid("the body arrives too slowly") from None
        except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError, ConnectionError) as error:
            raise Invalid("the body ended before it was whole") from error
        if not chunk:
            return
        taken += len(chunk)
        if taken > limit_bytes:
            raise _too_large(limit_bytes)
        yield chunk


def decode(raw: bytes, cls: type[T]) -> T:
    """`raw` JSON as `cls`."""
    if not raw.strip():
        raise Invalid("the body is empty, and must be a JSON object")
    try:
        return msgspec.json.decode(raw, type=cls)
    except msgspec.ValidationError as error:
        field, reason = in_words(str(error))
        raise Invalid(reason, field=field) from None
    except RecursionError:
        raise Invalid("the body is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON in UTF-8: {error}") from None


def in_words(complaint: str) -> tuple[str | None, str]:
    """The field that msgspec complains about, and the complaint as a sentence for the person who sent it.

    >>> in_words("Expected `int | null`, got `str` - at `$.replicas`")
    ('replicas', 'replicas must be a whole number or null, got text')
    """
    found = _PLACE.search(complaint)
    field = found["place"] if found is not None else ""
    what = complaint[: found.start()] if found is not None else complaint
    if (missing := _MISSING.match(what)) is not None:
        name = f"{field}.{missing['name']}".lstrip(".")
        return name, f"{name} is required"
    subject = field or "the body"
    expected = _EXPECTED.match(what)
    reason = what[:1].lower() + what[1:] if expected is None else _must_be(expected)
    return field or None, f"{subject}{':' if expected is None else ''} {reason}"


def _must_be(expected: re.Match[str]) -> str:
    kinds = expected["kinds"].split(" | ")
    if expected["sign"] is not None:
        bound = f"{_BOUND[expected['sign']]} {expected['bound']}"
        unit = "characters" if kinds == ["str"] else "items"
        return f"must have {bound} {unit}" if expected["length"] else f"must be {bound}"
    got = expected["got"]
    found = "" if got is None else f", got {_KINDS.get(got, got)}"
    return f"must be {' or '.join(_KINDS.get(kind, kind) for kind in kinds)}{found}"


def whole_number(request: web.Request, name: str, *, default: int, low: int, high: int) -> int:
    """The query parameter `name` within its bounds."""
    text = request.query.get(name, "")
    if not text:
        return default
    is_number = re.fullmatch(r"-?[0-9]{1,20}", text) is not None
    if not is_number or not low <= int(text) <= high:
        raise Invalid(f"{name} must be a whole number from {low} to {high}, got {text[:40]!r}", field=name)
    return int(text)


def yes_or_no(request: web.Request, name: str) -> bool:
    """The query parameter `name`; False when it is missing or empty."""
    text = request.query.get(name, "")
    if text not in ("", "true", "false"):
        raise Invalid(f"{name} must be true or false, got {text[:40]!r}", field=name)
    return text == "true"


def plain_text(request: web.Request, name: str, *, at_most: int = 250) -> str | None:
    """The query parameter `name`; None when it is missing or empty."""
    text = request.query.get(name, "")
    if len(text) > at_most or not text.isprintable():
        raise Invalid(f"{name} must be at most {at_most} printable characters", field=name)
    return text or None


def instant(request: web.Request, name: str) -> datetime | None:
    """The query parameter `name`, epoch milliseconds; None when it is missing or empty."""
    text = request.query.get(name, "")
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) is None or int(text) > FARTHEST_MS:
        raise Invalid(f"{name} must be a time in epoch milliseconds, got {text[:40]!r}", field=name)
    return EPOCH + timedelta(milliseconds=int(text))


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body may have at most {limit_bytes} bytes")
