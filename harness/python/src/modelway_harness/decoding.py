"""This file is how the bytes of a request's body become a document, or one message that says why they cannot.

What JSON leaves open is answered so: of a key that comes twice the last counts; half a surrogate pair is text as any
other; a number that no float can hold is refused, and so is a whole one of more digits than Python reads (4300).
"""

from __future__ import annotations

import json
import re
from math import isinf

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_TOO_LONG = b"0" * 309  # the shortest number without an exponent that can be too large for a float
_EXPONENTS = (re.compile(rb"e\+?[0-9]{3}"), re.compile(rb"E\+?[0-9]{3}"))  # apart: each is found by its first letter


class NotReadable(Exception):
    """The body is no JSON document; the text tells the caller what to change."""


def decode(body: bytes) -> object:
    """The body as JSON. Raises NotReadable, and nothing else.

    >>> decode(b'{"data": {"x": 1}}')
    {'data': {'x': 1}}
    """
    if not body.strip():
        raise NotReadable('the body is empty; send a JSON object with "data" or "parameters"')
    try:
        document: object = (_DECODE_WARILY if _may_hold_infinity(body) else _DECODE).decode(_text(body))
    except RecursionError as error:
        raise NotReadable("the body is nested too deeply") from error
    except ValueError as error:
        raise NotReadable(f"the body is not JSON: {error}") from error
    return document


def _text(body: bytes) -> str:
    """UTF-8, or UTF-16 or -32 where the first bytes show it, as `json` itself finds out."""
    return body.decode(json.detect_encoding(body), "surrogatepass")


def _may_hold_infinity(body: bytes) -> bool:
    """Whether a look at every number is worth its time: in 1 MB, this takes a fiftieth of what decoding takes."""
    if any(exponent.search(body) for exponent in _EXPONENTS) or b"\0" in body:
        return True
    return len(body) > len(_TOO_LONG) and _TOO_LONG in body.translate(_DIGITS)


def _finite(written: str) -> float:
    number = float(written)
    if isinf(number):
        shown = written if len(written) <= 40 else f"{written[:39]}…"
        raise ValueError(
            f"it holds {shown}, which is larger than the numbers that a computer calculates with (1.8e308)"
        )
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which JSON does not have; send null")


_DECODE = json.JSONDecoder(parse_constant=_refuse_constant)
_DECODE_WARILY = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
