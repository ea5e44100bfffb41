"""This file is how the bytes of a request's body become a document, or one message that says why they cannot."""

from __future__ import annotations

import json


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
        document: object = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise NotReadable("the body is nested too deeply") from error
    except ValueError as error:
        raise NotReadable(f"the body is not JSON: {error}") from error
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which JSON does not have; send null")
