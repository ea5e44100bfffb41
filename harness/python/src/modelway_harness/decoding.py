"""This file is how the bytes of a request's body become a document, or one message that says why they cannot.

msgspec reads nearly all of them, many times faster than `json` does. What it refuses `json` reads, or finds words for.

What JSON leaves open is answered so: of a key that comes twice the last counts; half a surrogate pair is text as any
other; a number that no float can hold is refused, and so is a whole one of more digits than Python reads (4300).
"""

from __future__ import annotations

import json
import sys
from math import isinf

from msgspec import DecodeError
from msgspec.json import Decoder

from .wording import cut


class NotReadable(Exception):
    """The body is no JSON document, or no computer reads it; the text tells the caller what to change."""


def decode(body: bytes) -> object:
    """The body as JSON. Raises NotReadable, and nothing else.

    >>> decode(b'{"data": {"x": 1}}')
    {'data': {'x': 1}}
    """
    try:
        return _read(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(body)


def _read_slowly(body: bytes) -> object:
    """Also in other encodings than UTF-8, and with half surrogate pairs."""
    if not body.strip():
        raise NotReadable('the body is empty; send a JSON object with "data" or "parameters"')
    try:
        document: object = _DECODE(_text(body))
    except RecursionError as error:
        raise NotReadable("the body is nested too deeply") from error
    except UnicodeDecodeError as error:
        name = error.encoding.upper()
        raise NotReadable(f"the body is no text in {name} at byte {error.start}; send JSON in UTF-8") from error
    except ValueError as error:
        raise NotReadable(f"the body is not JSON: {error}") from error
    return document


def _text(body: bytes) -> str:
    """UTF-8, or UTF-16 or -32 where the first bytes show it, as `json` itself finds out."""
    return body.decode(json.detect_encoding(body), "surrogatepass")


def _finite(written: str) -> float:
    number = float(written)
    if isinf(number):
        raise NotReadable(
            f"the body holds {cut(written, 40)}, which is larger than the numbers that a computer calculates with"
            " (1.8e308)"
        )
    return number


def _whole(written: str) -> int:
    try:
        return int(written)
    except ValueError:
        most = sys.get_int_max_str_digits()
        raise NotReadable(f"the body holds a whole number of more than {most} digits") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which JSON does not have; send null")


_read = Decoder().decode
_DECODE = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole).decode
